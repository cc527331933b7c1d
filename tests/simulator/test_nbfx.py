"""Tests of the binary XML that the simulator sends."""

import pytest

from simulator.nbfx import encode

HEADER = bytes.fromhex(
    "40 06 737472696e67"
    "08 33 687474703a2f2f736368656d61732e6d6963726f736f66742e636f6d"
    "2f323030332f31302f53657269616c697a6174696f6e2f"
)


def test_short_text() -> None:
    """A short observation is a Chars8Text after a header of 61 octets."""
    assert len(HEADER) == 61
    assert encode('{"StateId":510}') == HEADER + b'\x98\x0f{"StateId":510}\x01'


@pytest.mark.parametrize(
    ("length", "record"),
    [
        (0, "98 00"),
        (255, "98 ff"),
        (256, "9a 00 01"),
        (391, "9a 87 01"),
        (65535, "9a ff ff"),
        (65536, "9c 00 00 01 00"),
    ],
)
def test_the_shortest_record_that_holds_the_text(length: int, record: str) -> None:
    """Texts take Chars8Text, Chars16Text or Chars32Text by their length, little endian."""
    assert (
        encode("x" * length) == HEADER + bytes.fromhex(record) + b"x" * length + b"\x01"
    )


def test_lengths_count_octets() -> None:
    """A length is that of the UTF-8, not of the characters."""
    assert encode("blåbær" * 25)[61:64] == bytes.fromhex("98 c8 62")
    assert encode("å" * 128)[61:64] == bytes.fromhex("9a 00 01")
