"""Values of unexpected types are converted if their meaning is clear, or else are missing."""

from datetime import UTC, datetime, timedelta, timezone
import logging

import pytest

from custom_components.zaptec.api import NetworkType, parsing
from custom_components.zaptec.api.models import InstallationType
from custom_components.zaptec.api.parsing import (
    log_once,
    parse_bool,
    parse_enum,
    parse_float,
    parse_int,
    parse_moment,
    parse_stamp,
    parse_text,
    parse_timestamp,
    parse_uuid,
)

ID = "6f1c2f0e-5d6b-4a43-9d36-0f5b9e1f7a01"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        (" True ", True),
        ("false", False),
        ("yes", None),
        (2, None),
        (None, None),
        ([], None),
        (float("nan"), None),
    ],
)
def test_booleans(value: object, expected: bool | None) -> None:
    """Booleans are accepted as booleans, numbers and texts."""
    assert parse_bool(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (32, 32.0),
        (0.0215, 0.0215),
        ("32.000", 32.0),
        (" -1.5e2 ", -150.0),
        ("+6.", 6.0),
        ("nan", None),
        ("Infinity", None),
        ("1e999", None),
        (float("inf"), None),
        (float("nan"), None),
        (10**400, None),
        ("1_000", None),
        ("٣", None),
        ("", None),
        ("9" * 100, None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_floats(value: object, expected: float | None) -> None:
    """Only finite numbers are accepted as floats."""
    assert parse_float(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        ("5", 5),
        (" 5 ", 5),
        (5.0, 5),
        ("5.000", 5),
        ("72057594037927936", 1 << 56),
        ("9007199254740993", (1 << 53) + 1),
        (5.5, None),
        ("5.5", None),
        ("5x", None),
        ("9" * 5000, None),
        (False, None),
        (float("inf"), None),
        (None, None),
    ],
)
def test_integers(value: object, expected: int | None) -> None:
    """Integers keep all their digits, however they are written."""
    assert parse_int(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ID, ID),
        (ID.upper(), ID),
        (f"{ID}/x", None),
        (f"{ID}\n", None),
        ("../../secret", None),
        (None, None),
        (7, None),
    ],
)
def test_uuids(value: object, expected: str | None) -> None:
    """Only UUIDs are accepted as ids, because ids become part of URLs."""
    assert parse_uuid(value) == expected


def test_texts() -> None:
    """An empty text counts as missing."""
    assert parse_text("Home") == "Home"
    assert parse_text("") is None
    assert parse_text(5) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-20T12:41:41.5547201Z",
        "2026-05-20T12:41:41.55472Z",
        "2026-05-20T12:41:41.55472",
        "2026-05-20T14:41:41.554720+02:00",
    ],
)
def test_timestamps_are_utc(text: str) -> None:
    """Timestamps are UTC, with or without a zone and with up to seven decimals."""
    assert parse_timestamp(text) == datetime(2026, 5, 20, 12, 41, 41, 554720, UTC)
    assert parse_timestamp(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2" * 99],
)
def test_bad_timestamps(value: str) -> None:
    """An invalid timestamp raises an error, or gives None if it is optional."""
    with pytest.raises(ValueError):
        parse_timestamp(value)
    assert parse_moment(value) is None
    assert parse_moment(5) is None


LATEST = datetime(9999, 12, 30, 23, 59, 59, 999999, UTC)
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("9999-12-31T23:59:59.9999999Z", LATEST),
        ("9999-12-31T23:59:59.9999999+14:00", LATEST),
        ("9999-12-31T00:00:00", LATEST),
        ("0001-01-01T00:00:00", EARLIEST),
        ("0001-01-01T00:00:00-12:00", EARLIEST),
        ("0001-01-01T23:59:59.9999999Z", EARLIEST),
    ],
)
def test_the_ends_of_the_calendar_are_never(text: str, moment: datetime) -> None:
    """The first and last days stand for "never".

    As timestamps they are moved so far that they can be calculated with; as values they are None.
    """
    assert parse_timestamp(text) == parse_stamp(text) == moment
    assert parse_moment(text) is None
    # Home Assistant converts times to the time zone of the user, which must not overflow.
    assert moment.astimezone(timezone(timedelta(hours=14))).year
    assert moment.astimezone(timezone(timedelta(hours=-12))).year


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59.9999999-00:01",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T24:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
    ],
)
def test_beyond_the_calendar_there_is_no_moment(text: str) -> None:
    """Times beyond the calendar give None, as timestamps and as values, and raise no other error."""
    assert parse_stamp(text) is None
    assert parse_moment(text) is None


@pytest.mark.parametrize(
    "text", ["9999-12-30T23:59:59.9999980Z", "0001-01-02T00:00:00.000001Z"]
)
def test_what_is_far_away_is_a_moment(text: str) -> None:
    """All times except the first and last day of the calendar are valid values."""
    assert parse_moment(text) == parse_stamp(text) is not None


def test_new_members_of_enums(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown member of an enum becomes UNKNOWN, and is logged once."""
    caplog.set_level(logging.DEBUG)
    assert parse_enum(NetworkType, "4") is NetworkType.TN_3_PHASE
    assert parse_enum(NetworkType, 9.0) is NetworkType.UNKNOWN
    assert parse_enum(NetworkType, 9) is NetworkType.UNKNOWN
    assert parse_enum(InstallationType, 9) is None
    assert parse_enum(NetworkType, None) is None
    assert caplog.messages == [
        "NetworkType 9 is not known",
        "InstallationType 9 is not known",
    ]


def test_the_memory_of_oddities_is_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of logged oddities is limited, which protects log and memory."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(parsing, "_REPORTED_MAX", 2)
    for number in range(5):
        log_once(f"oddity {number}")
    assert caplog.messages == ["oddity 0", "oddity 1"]
