"""Bodies of messages in .NET binary XML."""

from base64 import b64encode
import struct
from uuid import UUID

import pytest

from custom_components.zaptec.api.nbfx import decode

JSON = '{"StateId":710,"ValueAsString":"Grün 3"}'
UTF8 = JSON.encode()
UTF16 = JSON.encode("utf-16-le")

HEADER = b"\x40\x06string\x08\x33http://schemas.microsoft.com/2003/10/Serialization/"
END = b"\x01"


def test_header_is_that_of_the_vendor() -> None:
    """The text begins at byte 61."""
    assert len(HEADER) == 61


@pytest.mark.parametrize(
    "record",
    [
        b"\x98" + bytes([len(UTF8)]) + UTF8,
        b"\x9a" + struct.pack("<H", len(UTF8)) + UTF8,
        b"\x9c" + struct.pack("<I", len(UTF8)) + UTF8,
        b"\xb6" + bytes([len(UTF16)]) + UTF16,
        b"\xb8" + struct.pack("<H", len(UTF16)) + UTF16,
        b"\xba" + struct.pack("<I", len(UTF16)) + UTF16,
    ],
)
def test_text_records(record: bytes) -> None:
    """Every text record is read, whether or not it ends the element."""
    assert decode(HEADER + record + END) == JSON
    assert decode(HEADER + bytes([record[0] | 1]) + record[1:]) == JSON


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (b"\x80", "0"),
        (b"\x82", "1"),
        (b"\x84", "false"),
        (b"\x86", "true"),
        (b"\x88\xff", "-1"),
        (b"\x8a\x00\x80", "-32768"),
        (b"\x8c\x01\x00\x00\x00", "1"),
        (b"\x8e" + b"\xff" * 8, "-1"),
        (b"\x90" + struct.pack("<f", 0.1), "0.1"),
        (b"\x92" + struct.pack("<d", 0.1), "0.1"),
        (b"\x94" + struct.pack("<HBBIQ", 0, 3, 0x80, 0, 12345), "-12.345"),
        (b"\x94" + struct.pack("<HBBIQ", 0, 0, 0, 1, 0), str(1 << 64)),
        (b"\x9e\x03abc", b64encode(b"abc").decode()),
        (b"\xa0\x03\x00abc", b64encode(b"abc").decode()),
        (b"\xa2\x03\x00\x00\x00abc", b64encode(b"abc").decode()),
        (b"\xa8", ""),
        (b"\xb0" + UUID(int=5).bytes_le, str(UUID(int=5))),
        (b"\xb2" + b"\xff" * 8, str((1 << 64) - 1)),
        (b"\xb4\x01", "true"),
        (b"\xb4\x00", "false"),
    ],
)
def test_simple_values(record: bytes, text: str) -> None:
    """Every simple value is decoded to its text in XML."""
    assert decode(HEADER + record + END) == text
    assert decode(HEADER + bytes([record[0] | 1]) + record[1:]) == text


@pytest.mark.parametrize(
    "element",
    [
        b"\x40\x01e",
        b"\x41\x01p\x01e",
        b"\x42\x02",
        b"\x43\x01p\x02",
        b"\x44\x02",
        b"\x5d\x02",
        b"\x5e\x01e",
        b"\x77\x01e",
        b"\x42\xff\xff\xff\xff\x07",
        b"\x40\x80\x01" + b"e" * 128,
    ],
)
def test_elements(element: bytes) -> None:
    """All kinds of element names are accepted."""
    assert decode(element + b"\x98\x01x" + END) == "x"


@pytest.mark.parametrize(
    "attribute",
    [
        b"\x04\x01a\x98\x01v",
        b"\x05\x01p\x01a\x98\x01v",
        b"\x06\x02\xa8",
        b"\x07\x01p\x02\x86",
        b"\x08\x01n",
        b"\x09\x01p\x01n",
        b"\x0a\x02",
        b"\x0b\x01p\x02",
        b"\x0c\x02\x80",
        b"\x25\x02\x80",
        b"\x26\x01a\x82",
        b"\x3f\x01a\x82",
        b"\x02\x07comment",
    ],
)
def test_attributes_are_no_text(attribute: bytes) -> None:
    """Attributes, namespaces and comments are skipped."""
    assert decode(b"\x40\x01e" + attribute + b"\x98\x01x" + END) == "x"


def test_text_in_parts() -> None:
    """A text may be split into several records, of different kinds."""
    assert decode(HEADER + b"\x98\x02ab\xb6\x02c\x00\x99\x01d") == "abcd"


def test_nested_elements() -> None:
    """Text of nested elements is included, down to the maximum depth of a message."""

    def nested(depth: int) -> bytes:
        return b"\x42\x02" * depth + b"\x98\x01x" + END * depth

    assert decode(nested(30)) == "x"
    with pytest.raises(ValueError, match="too many records"):
        decode(nested(50_000))


@pytest.mark.parametrize("prefix", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf "])
def test_plain_json(prefix: bytes) -> None:
    """A body may be plain JSON."""
    assert decode(prefix + UTF8) == JSON


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "too early"),
        (HEADER, "too early"),
        (HEADER + END, "too early"),
        (HEADER[:20], "too early"),
        (HEADER + b"\x98\x05abc", "too early"),
        (HEADER + b"\x98\x03abc", "too early"),
        (HEADER + b"\x98\x02abc", "not supported|too early"),
        (HEADER + b"\x9c\xff\xff\xff\xff", "too early"),
        (HEADER + b"\x99\x01x" + END, "0x01 is outside"),
        (HEADER + b"\x99\x01x\x98\x01y", "0x98 is outside"),
        (b"\x98\x01x", "0x98 is outside"),
        (b"\x08\x01n", "0x08 is outside"),
        (HEADER + b"\x03", "0x03 is not supported"),
        (HEADER + b"\x78", "0x78 is not supported"),
        (HEADER + b"\x96" + bytes(8), "0x96 is not supported"),
        (HEADER + b"\xab\x02", "0xAA is not supported"),
        (b"\x40\x01e\x04\x01a\x99\x01v", "0x99 is not supported"),
        (b"\x40\xff\xff\xff\xff\xff\x01", "31 bits"),
        (HEADER + b"\x98\x01\xff" + END, "decode"),
        (HEADER + b"\xb6\x01x" + END, "decode"),
    ],
)
def test_damaged_bodies(body: bytes, message: str) -> None:
    """A damaged body raises an error that names the record."""
    with pytest.raises(ValueError, match=message):
        decode(body)


def test_no_body_hangs_or_breaks_the_decoder() -> None:
    """A body that is cut anywhere, or has any byte changed, gives a text or an error."""
    body = HEADER + b"\x9a" + struct.pack("<H", len(UTF8)) + UTF8 + END
    for position in range(len(body)):
        with pytest.raises(ValueError):
            decode(body[:position])
        for byte in (0x00, 0x01, 0x42, 0x7B, 0x80, 0x99, 0xFF):
            try:
                decode(body[:position] + bytes([byte]) + body[position + 1 :])
            except ValueError:
                continue
