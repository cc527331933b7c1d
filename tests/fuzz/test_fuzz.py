"""Decoders and models give a documented result for any input, and within a time limit."""

import json
from pathlib import Path
import struct
from typing import Any

from hypothesis import HealthCheck, example, given, settings, strategies as st
import pytest

from custom_components.zaptec.api.subscription import (
    BODY_SIZE_MAX,
    BRACKETS_MAX,
    COMMAS_MAX,
)
from simulator.nbfx import encode

from .targets import CHARGER_ID, TARGETS, answer, message, models, nbfx, ocmf, value

pytestmark = pytest.mark.serial

CORPUS = Path(__file__).with_name("corpus")

SOME = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["1e999", "9" * 5000, "-0", "\ud800", "0x1", "٣", "NaN"])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=5)
        | st.dictionaries(st.text(max_size=8), children, max_size=5)
    ),
    max_leaves=20,
)
KEYS = [
    "Id",
    "ChargerId",
    "DeviceId",
    "DeviceType",
    "StateId",
    "Timestamp",
    "ValueAsString",
    "Value",
    "Circuits",
    "Chargers",
    "CurrentUserRoles",
    "AuthenticationType",
    "OperatingMode",
    "Warnings",
    "Host",
    "Port",
    "Username",
    "Password",
    "Topic",
    "Subscription",
    "SignedSession",
    "EnergyDetails",
    "CommitMetadata",
    "StartDateTime",
    "authorizedUser",
    "energyDetails",
    "tokenName",
]
OBJECTS = st.dictionaries(
    st.sampled_from(KEYS),
    DOCUMENTS | st.sampled_from([CHARGER_ID, "2026-05-20T12:41:41.5Z"]),
    max_size=12,
)
# Records of MC-NBFX with random lengths, some of which are right.
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(
            [*range(0x01, 0x0C), *range(0x40, 0x45), *range(0x80, 0xBC), 0x98, 0x9A]
        ),
        st.binary(max_size=12),
    ),
    max_size=12,
)


def as_json(document: Any) -> bytes:
    """Return a value as JSON, which may contain NaN and lone surrogates."""
    return json.dumps(document).encode()


@SOME
@given(
    st.binary()
    | RECORDS.map(lambda records: b"".join(bytes([a]) + b for a, b in records))
)
def test_nbfx(data: bytes) -> None:
    """Decoding any bytes returns a text or raises ValueError, so no body stops the link."""
    nbfx(data)


@SOME
@given(st.text())
def test_nbfx_round_trip(text: str) -> None:
    """Decoding an encoded text returns the same text."""
    text = text.encode("utf-8", "replace").decode()
    nbfx(encode(text))


@SOME
@given(st.binary() | DOCUMENTS.map(as_json))
def test_ocmf(data: bytes) -> None:
    """Any text gives a meter reading or None, because chargers send what they like."""
    ocmf(data)


@SOME
@given(OBJECTS.map(as_json) | DOCUMENTS.map(as_json) | st.binary())
def test_models(data: bytes) -> None:
    """Any JSON gives a model or raises ValueError, which callers handle."""
    models(data)


@SOME
@given(st.binary(min_size=3), SCALARS)
def test_value(data: bytes, scalar: Any) -> None:
    """Any text gives a value of the StateId's type, or None."""
    value(data)
    value(data[:3] + str(scalar).encode("utf-8", "replace"))


@SOME
@given(OBJECTS, st.binary())
def test_message(document: dict[str, Any], data: bytes) -> None:
    """Any message gives an observation or is counted as bad; it never stops the link."""
    message(data)
    message(encode(json.dumps(document)))
    message(as_json(document | {"ChargerId": CHARGER_ID, "StateId": 710}))


@SOME
@given(st.binary() | OBJECTS.map(as_json))
@example(b"\x00" + as_json({"Code": 528, "Details": "a\nb" * 500}))
def test_answer(data: bytes) -> None:
    """Any error response has a text that is fit for a log: short, and on one line."""
    answer(data)


def _worst_bodies() -> dict[str, bytes]:
    """Return bodies of the maximum size that are as slow as possible to decode."""
    size = BODY_SIZE_MAX

    def wrapped(text: str) -> bytes:
        octets = text.encode()
        return b"\x40\x01s\x9d" + struct.pack("<I", len(octets)) + octets

    def filled(head: str, part: str, tail: str) -> str:
        return head + part * ((size - 64 - len(head) - len(tail)) // len(part)) + tail

    def observation(text: str) -> str:
        head = f'{{"ChargerId":"{CHARGER_ID}","StateId":723,'
        return head + f'"Timestamp":"2026-05-20T12:41:41Z","ValueAsString":"{text}"}}'

    reading = {"TM": "2026-05-20T12:41:41,000+00:00 R", "RV": 1.5, "RU": "kWh"}
    readings = [reading] * 300
    strange = [reading | {"RI": "1" * 40_000}, *[{"RV": 1}] * 126]
    foreign = [reading | {"RU": "\u00e9" * 5_000}, *[{"RV": 1}] * 126]

    def signed(rows: list[dict[str, Any]]) -> bytes:
        meter = "OCMF|" + json.dumps({"RD": rows}, separators=(",", ":"))
        session = json.dumps({"SignedSession": meter})
        return wrapped(observation(json.dumps(session)[1:-1]))

    # A number halfway between two of the smallest floats takes long to round.
    tiny = ",".join(["2.4703282292062327208" + "0" * 740 + "1e-324"] * 77)
    return {
        "empty records": b"\x40\x01s" + b"\x80" * (size - 4) + b"\x01",
        "elements": b"\x40\x01s" * (size // 3),
        "attributes": b"\x40\x01s" + b"\x04\x00\xa8" * ((size - 4) // 3),
        "nothing but bytes": b"\xff" * size,
        "brackets": wrapped("[" * (size - 16)),
        "lists": wrapped(filled("[", "[],", "1]")),
        "objects": wrapped(filled("[", '{"":0},', "1]")),
        "numbers": wrapped(filled("[", "1,", "1]")),
        "digits": wrapped("9" * (size - 16)),
        "a long value": wrapped(observation("x" * (size - 300))),
        "escapes": wrapped(observation("\\u00e9" * ((size - 300) // 6))),
        "many readings": signed(readings),
        "as many objects as may be": wrapped(
            json.dumps([{str(number): 0} for number in range(BRACKETS_MAX - 1)])
        ),
        "as many numbers as may be": wrapped(json.dumps([1.5] * COMMAS_MAX)),
        "a strange register": signed(strange),
        "a foreign unit": signed(foreign),
        "tiny numbers": wrapped(json.dumps({"a": 0})[:-1] + f',"b":[{tiny}]}}'),
        "large numbers": wrapped('{"a":[' + ",".join(["9" * 4290] * 14) + "]}"),
        "surrogates": wrapped(observation("\\ud800" * ((size - 300) // 6))),
    }


@pytest.mark.parametrize("name", _worst_bodies())
def test_no_message_costs_more_than_a_millisecond(name: str) -> None:
    """Even the slowest body is decoded in time, because the event loop is blocked meanwhile."""
    body = _worst_bodies()[name]
    assert len(body) <= BODY_SIZE_MAX
    message(body)


@pytest.mark.parametrize(
    "path", sorted(CORPUS.iterdir()), ids=lambda path: str(path.name)
)
def test_corpus(path: Path) -> None:
    """Inputs that failed once, and inputs like the cloud's, pass every target."""
    data = path.read_bytes()
    for target in TARGETS.values():
        target(data)
