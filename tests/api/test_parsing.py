"""Values of unusual types are read as what they mean, or count as missing."""

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
    """Booleans come as such, as numbers, and as text."""
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
    """Only finite numbers are numbers."""
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
    """Whole numbers keep all their bits, however they are written."""
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
    """Only what is a UUID may get into a URL."""
    assert parse_uuid(value) == expected


def test_texts() -> None:
    """An empty text is none."""
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
    """Zone or none, up to seven digits: it is the same moment."""
    assert parse_timestamp(text) == datetime(2026, 5, 20, 12, 41, 41, 554720, UTC)
    assert parse_timestamp(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "2" * 99],
)
def test_bad_timestamps(value: str) -> None:
    """What is no moment is an error, or none where that is allowed."""
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
    """As a stamp each is a moment that can be calculated with; as a value it is none."""
    assert parse_timestamp(text) == parse_stamp(text) == moment
    assert parse_moment(text) is None
    # Home Assistant shows a time in the zone of its user.
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
    """Neither as a stamp nor as a value, and no other error is raised."""
    assert parse_stamp(text) is None
    assert parse_moment(text) is None


@pytest.mark.parametrize(
    "text", ["9999-12-30T23:59:59.9999980Z", "0001-01-02T00:00:00.000001Z"]
)
def test_what_is_far_away_is_a_moment(text: str) -> None:
    """Only the last day at either end is no moment."""
    assert parse_moment(text) == parse_stamp(text) is not None


def test_new_members_of_enums(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected value becomes unknown, and is logged once."""
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
    """Ever new oddities fill neither log nor memory."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(parsing, "_REPORTED_MAX", 2)
    for number in range(5):
        log_once(f"oddity {number}")
    assert caplog.messages == ["oddity 0", "oddity 1"]
