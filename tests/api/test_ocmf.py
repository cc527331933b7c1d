"""Meter readings in Open Charge Metering Format."""

from datetime import UTC, datetime, timedelta
import json
from typing import Any

import pytest

from custom_components.zaptec.api.ocmf import (
    MeterReading,
    read_meter,
    read_readings,
    read_session,
)


def ocmf(*rows: Any, signature: str = "") -> str:
    """Return a meter document in the form that chargers send."""
    readings = {"FV": "1.0", "GI": "A | B", "PG": "F1", "RD": rows}
    return f"OCMF|{json.dumps(readings)}{signature}"


ROW = {"RV": 179.715, "RI": "1-0:1.8.0", "RU": "kWh", "ST": "G"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ocmf(ROW), 179.715),
        (ocmf(ROW, signature='|{"SA":"ECDSA","SD":"30|31"}'), 179.715),
        (ocmf(ROW, {"RV": 200.5}), 200.5),
        (ocmf(ROW, {"RV": 100.0}), 179.715),
        (ocmf({"RV": 179715, "RI": "1-0:1.8.0", "RU": "Wh"}), 179.715),
        (ocmf({"RV": 1000, "RU": "Wh"}, {"RV": 2000}), 2.0),
        (ocmf({"RV": 7.5}), 7.5),
        (ocmf({"RV": "7.5"}), 7.5),
        (ocmf({"RV": 0}), 0.0),
        (ocmf(ROW, {"RV": 999, "RI": "1-0:2.8.0"}, {"RV": 998}), 179.715),
        (ocmf({**ROW, "RI": "1-0:1.8.0*198"}), 179.715),
        (ocmf({**ROW, "RU": "mOhm"}), None),
        (ocmf({**ROW, "RI": "1-0:1.8.1"}), None),
        (ocmf({"RV": -1}), None),
        (ocmf({"RV": float("inf")}), None),
        (ocmf({"RV": None}, 7, {}), None),
        (ocmf(), None),
        ("OCMF|{}", None),
        ('OCMF|{"RD":{}}', None),
        ("OCMF|[]", None),
        ("OCMF|{", None),
        ("OCMF|" + "[" * 200_000, None),
        ("OCMF", None),
        ("", None),
        ('{"RD":[]}', None),
    ],
)
def test_reading(text: str, expected: float | None) -> None:
    """The result is the highest reading of the lifetime meter, or None without a reading."""
    assert read_meter(text) == (None if expected is None else pytest.approx(expected))


def test_a_long_session() -> None:
    """The last readings give the meter value, in the unit of the first."""
    rows = [{"RV": 1000, "RU": "Wh"}, *({"RV": 1000 + count} for count in range(1000))]
    document = json.dumps({"RD": rows})
    assert read_meter(f"OCMF|{document}") == pytest.approx(1.999)


def timed(minute: int, energy: float, **more: Any) -> dict[str, Any]:
    """Return a reading some minutes after ten."""
    return {"TM": f"2026-01-05T10:{minute:02}:00,250+00:00 R", "RV": energy} | more


def at(minute: int, energy: float) -> MeterReading:
    """Return the same reading, parsed."""
    time = datetime(2026, 1, 5, 10, minute, 0, 250_000, UTC)
    return MeterReading(time, pytest.approx(energy))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ocmf(timed(0, 100.5, TX="B"), timed(15, 101), timed(20, 103.25)),
            (at(0, 100.5), at(15, 101.0), at(20, 103.25)),
        ),
        (
            ocmf(timed(0, 1000, RU="Wh"), timed(5, 2000)),
            (at(0, 1.0), at(5, 2.0)),
        ),
        (
            ocmf(timed(0, 1.0), timed(1, 9.0, ST="E"), 7, timed(2, 2.0)),
            (at(0, 1.0), at(2, 2.0)),
        ),
        (ocmf(timed(0, 1.0), {"RV": 2.0}), ()),
        (ocmf(timed(0, 1.0), {"RV": 2.0, "TM": 7}), ()),
        (ocmf(timed(0, 1.0), {"RV": 2.0, "TM": "late"}), ()),
        (ocmf(), ()),
        ("OCMF|{", ()),
        ("", ()),
    ],
)
def test_readings_with_their_times(
    text: str, expected: tuple[MeterReading, ...]
) -> None:
    """All valid readings are returned in order, or none if one has no time."""
    assert read_readings(text) == expected


def test_the_number_of_readings_is_limited() -> None:
    """A part of the readings would hide when the rest was drawn, so none is returned."""
    rows = [
        {
            "TM": f"{datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=number):%FT%TZ}",
            "RV": number,
        }
        for number in range(1025)
    ]
    assert len(read_readings(ocmf(*rows[:1024]))) == 1024
    assert read_readings(ocmf(*rows)) == ()
    assert read_session(ocmf(*rows)) == (1024.0, ())


def test_a_session_is_decoded_once() -> None:
    """The highest reading and all readings are read together."""
    text = ocmf(timed(0, 100.5), timed(15, 101))
    assert read_session(text) == (read_meter(text), read_readings(text))
