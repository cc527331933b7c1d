"""Open Charge Metering Format: the meter readings in StateIds 554 and 723.

The form is `OCMF|{readings}|{signature}`; a Go does not sign.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
import json
import re
from typing import Any

from .parsing import (
    parse_float,
    parse_float_literal,
    parse_integer_literal,
    parse_moment,
)

_HEADER = "OCMF|"

# OBIS: active energy drawn from the grid, total. 1-0 is the usual medium and
# channel, *198 the billing period that some meters add.
_IMPORTED_ENERGY = re.compile(r"(\d+-\d+:)?1\.8\.0([*.]\w+)?", re.ASCII)

# The status of a valid reading: good. Any other status, such as E (error), R (not
# found) or T (time-out), says that the number does not come from the meter.
_GOOD = "G"

# The error flag of a reading with a wrong energy; the other flag, t, concerns its time.
_ENERGY_ERROR = "E"

_KWH_PER_UNIT = {"kwh": 1.0, "wh": 0.001}

# Maximum number of readings that are evaluated. A session of a day has about a hundred.
# The last ones suffice for longer sessions, because the meter never decreases.
_ROWS_MAX = 128

# Maximum number of readings that are returned with their times: a week of readings
# every ten minutes.
_TIMED_ROWS_MAX = 1024

# Maximum length of a unit or a register.
_NAME_MAX = 32

_DECODER = json.JSONDecoder(
    parse_float=parse_float_literal, parse_int=parse_integer_literal
)


def _name(value: object, before: str) -> str:
    """Return a unit or a register, by default that of the previous reading."""
    if not value:
        return before
    return value if isinstance(value, str) and len(value) <= _NAME_MAX else ""


def _is_good(row: dict[str, object]) -> bool:
    """Return whether the meter declares a reading valid (fields ST and EF)."""
    status, flags = row.get("ST"), row.get("EF")
    return status in (None, "", _GOOD) and not (
        isinstance(flags, str) and _ENERGY_ERROR in flags
    )


@dataclass(frozen=True, slots=True)
class MeterReading:
    """A reading of the lifetime meter (kWh), and its time."""

    time: datetime
    energy: float


def _rows(text: str) -> list[Any]:
    """Return the readings of a document as they are, none if it is not valid."""
    if not text.startswith(_HEADER):
        return []
    try:
        # Decode only the first JSON document: the signature may contain further bars.
        payload, _ = _DECODER.raw_decode(text, len(_HEADER))
    except ValueError, RecursionError:
        return []
    rows = payload.get("RD") if isinstance(payload, dict) else None
    return rows if isinstance(rows, list) else []


def _valid(rows: list[Any]) -> Iterator[tuple[object, float]]:
    """Yield the time, as it is written, and the energy (kWh) of each valid reading.

    A reading without unit or register has those of the previous reading.
    """
    unit, register = "kWh", "1-0:1.8.0"
    for row in rows:
        if not isinstance(row, dict):
            continue
        unit = _name(row.get("RU"), unit)
        register = _name(row.get("RI"), register)
        value = parse_float(row.get("RV"))
        factor = _KWH_PER_UNIT.get(unit.lower())
        if (
            value is not None
            and value >= 0
            and _is_good(row)
            and factor is not None
            and _IMPORTED_ENERGY.fullmatch(register)
        ):
            yield row.get("TM"), value * factor


def _highest(rows: list[Any]) -> float | None:
    """Return the highest valid reading (kWh), None without one."""
    if len(rows) > _ROWS_MAX:
        # The first reading has the unit, which later ones may leave out.
        rows = [rows[0], *rows[-_ROWS_MAX:]]
    return max((energy for _, energy in _valid(rows)), default=None)


def _timed(rows: list[Any]) -> tuple[MeterReading, ...]:
    """Return all valid readings; none if a time is missing, or if there are too many."""
    if len(rows) > _TIMED_ROWS_MAX:
        return ()
    readings: list[MeterReading] = []
    for written, energy in _valid(rows):
        # The state of the clock follows the time, such as S for a synchronized one.
        text = written.partition(" ")[0] if isinstance(written, str) else None
        if (time := parse_moment(text)) is None:
            return ()
        readings.append(MeterReading(time, energy))
    return tuple(readings)


def read_meter(text: str) -> float | None:
    """Return the highest valid reading of the lifetime meter (kWh), None without one.

    Source: Open Charge Metering Format 1.0, which names the status codes and flags.
    """
    return _highest(_rows(text))


def read_readings(text: str) -> tuple[MeterReading, ...]:
    """Return the valid readings of a session in their order.

    There are none if one of them has no time, or if there are too many, because a part
    of them would not say when the rest of the energy was drawn.
    """
    return _timed(_rows(text))


def read_session(text: str) -> tuple[float | None, tuple[MeterReading, ...]]:
    """Return the highest reading of a session (kWh), and all its readings."""
    rows = _rows(text)
    return _highest(rows), _timed(rows)
