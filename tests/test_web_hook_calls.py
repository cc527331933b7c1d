"""The calls of the Zaptec cloud to web hooks: what is understood, and what is not."""

from datetime import UTC, datetime
import json
from typing import Any

import pytest

from custom_components.zaptec.authorization import EndedSession, Request
from custom_components.zaptec.web_hook_calls import (
    BODY_SIZE_MAX,
    BRACKETS_MAX,
    COMMAS_MAX,
    ENERGY_MAX,
    TOKEN_LENGTH_MAX,
    MalformedCallError,
    StartCall,
    parse_end,
    parse_start,
)

CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
INSTALLATION = "5b0a4ec1-2f86-4c76-9e59-0f8f5f3b0001"
SESSION = "c9a5b2a0-41e0-4d6c-9a80-1d2b6c0e0007"

START = {
    "token": "nfc-04A2B3C4",
    "chargerId": CHARGER,
    "chargerName": "Space 1",
    "installationId": INSTALLATION,
    "installationName": "Home",
}
END = {
    "sessionId": SESSION,
    "sessionStart": "2026-11-28T06:00:00.1234567Z",
    "sessionEnd": "2026-11-28T09:30:00Z",
    "energy": 12.345,
}


def body(fields: dict[str, Any]) -> bytes:
    """Return a call as JSON."""
    return json.dumps(fields).encode()


def test_a_start_call() -> None:
    """The charger, its installation and the card are what a decision is made of."""
    assert parse_start(body(START)) == StartCall(
        INSTALLATION, Request(CHARGER, "nfc-04A2B3C4")
    )


@pytest.mark.parametrize("change", [str.lower, str.upper, str.capitalize])
def test_field_names_in_any_case(change: Any) -> None:
    """The vendor does not document how the names are written on the wire."""
    assert parse_start(
        body({change(name): value for name, value in START.items()})
    ) == parse_start(body(START))
    assert parse_end(
        body({change(name): value for name, value in END.items()})
    ) == parse_end(body(END))


def test_ids_in_any_case() -> None:
    """Ids are compared with those of the lists, which are kept in lower case."""
    call = START | {
        "chargerId": CHARGER.upper(),
        "installationId": INSTALLATION.upper(),
    }
    assert parse_start(body(call)) == parse_start(body(START))


@pytest.mark.parametrize("token", [None, "", " \t"])
def test_no_card(token: str | None) -> None:
    """Before a card is shown, the token may be null or empty."""
    assert parse_start(body(START | {"token": token})).request.token is None


def test_no_token() -> None:
    """Before a card is shown, the token may be absent."""
    call = {name: value for name, value in START.items() if name != "token"}
    assert parse_start(body(call)).request.token is None


def test_names_are_not_needed() -> None:
    """Only the ids are read: names may be anything."""
    call = START | {"chargerName": None, "installationName": ["x"]}
    assert parse_start(body(call)) == parse_start(body(START))


def test_other_tokens() -> None:
    """A number is the code that its digits spell, and white space does not belong to it."""
    assert parse_start(body(START | {"token": 4711})).request.token == "4711"
    assert parse_start(body(START | {"token": " a "})).request.token == "a"
    longest = "x" * TOKEN_LENGTH_MAX
    assert parse_start(body(START | {"token": longest})).request.token == longest


@pytest.mark.parametrize(
    "change",
    [
        {"token": True},
        {"token": ["nfc-04A2B3C4"]},
        {"token": {"code": "nfc-04A2B3C4"}},
        {"token": 1.5},
        {"token": "x" * (TOKEN_LENGTH_MAX + 1)},
        {"token": "a\nb"},
        {"TOKEN": None},
        {"chargerId": None},
        {"chargerId": "1"},
        {"chargerId": f"{CHARGER}\n"},
        {"chargerId": [CHARGER]},
        {"CHARGERID": CHARGER},
        {"installationId": 5},
        {"InstallationId": "1"},
    ],
    ids=str,
)
def test_a_malformed_start_call(change: dict[str, Any]) -> None:
    """A call that could be read in two ways, or lacks an id, is not guessed at."""
    with pytest.raises(MalformedCallError) as raised:
        parse_start(body(START | change))
    assert "04A2" not in str(raised.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}",
        b"\xff",
        b"[" * BODY_SIZE_MAX,
        b'{"a":' * 3000,
        b"9" * 5000,
        b'{"sessionId":NaN}',
        body(START).replace(b"}", b" " * BODY_SIZE_MAX + b"}"),
        body(START | END | {"x": [1] * (COMMAS_MAX + 1)}),
        body(START | END | {"x": [[]] * BRACKETS_MAX}),
    ],
    ids=range(14),
)
def test_a_malformed_body(data: bytes) -> None:
    """Whatever else is sent is neither of the calls."""
    for parse in (parse_start, parse_end):
        with pytest.raises(MalformedCallError):
            parse(data)


def test_a_byte_order_mark() -> None:
    """Programs in .NET may write a byte order mark before JSON."""
    assert parse_start(b"\xef\xbb\xbf" + body(START)) == parse_start(body(START))


def test_an_end_call() -> None:
    """The session, when it was, in UTC, and what it took."""
    assert parse_end(body(END)) == EndedSession(
        SESSION,
        datetime(2026, 11, 28, 6, 0, 0, 123456, UTC),
        datetime(2026, 11, 28, 9, 30, tzinfo=UTC),
        12.345,
    )


def test_an_end_call_without_a_zone() -> None:
    """The cloud's times are in UTC, with and without a Z, and its numbers may be texts."""
    call = END | {"sessionEnd": "2026-11-28T09:30:00", "energy": "12.345"}
    assert parse_end(body(call)) == parse_end(body(END))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"energy": None}, ["energy"]),
        ({"energy": -1}, ["energy"]),
        ({"energy": ENERGY_MAX * 2}, ["energy"]),
        ({"energy": True}, ["energy"]),
        ({"energy": "NaN"}, ["energy"]),
        ({"sessionStart": None}, ["start"]),
        ({"sessionStart": "yesterday"}, ["start"]),
        ({"sessionStart": "2026-11-29T00:00:00Z"}, ["start"]),
        ({"sessionEnd": 5}, ["end"]),
        ({"sessionEnd": "9999-12-31T23:59:59Z"}, ["end"]),
        (
            {"sessionStart": "", "sessionEnd": "", "energy": ""},
            ["start", "end", "energy"],
        ),
    ],
    ids=str,
)
def test_an_end_call_without_all_values(
    change: dict[str, Any], missing: list[str]
) -> None:
    """A session has ended although something of it is missing or makes no sense."""
    session = parse_end(body(END | change))
    assert session.session_id == SESSION
    assert [
        name for name in ("start", "end", "energy") if getattr(session, name) is None
    ] == missing


def test_an_end_call_needs_an_id() -> None:
    """Without its id, nobody knows which session has ended."""
    with pytest.raises(MalformedCallError):
        parse_end(body(END | {"sessionId": "1"}))
    with pytest.raises(MalformedCallError):
        parse_end(body(END | {"SessionID": SESSION}))
