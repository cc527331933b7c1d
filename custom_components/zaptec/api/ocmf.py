"""Open Charge Metering Format: meter readings as StateIds 554 and 723 carry them.

`OCMF|{readings}|{signature}`; a Go does not sign.
"""

import json
import re

from .parsing import parse_float, parse_literal

_HEADER = "OCMF|"

# OBIS: active energy drawn from the grid, total. 1-0 is the usual medium and
# channel, *198 the billing period some meters add.
_IMPORTED_ENERGY = re.compile(r"(\d+-\d+:)?1\.8\.0([*.]\w+)?", re.ASCII)

# Status of a meter whose reading counts: good. Any other one, such as E (error), R (not
# found) or T (time-out), says that the number is none of the meter's.
_GOOD = "G"

# The error flag of a reading whose energy is wrong; the other one, t, is about its time.
_ENERGY_ERROR = "E"

_KWH_PER_UNIT = {"kwh": 1.0, "wh": 0.001}

# A session of a day has a hundred readings. Of a longer one the last ones will do, as
# the meter never falls.
_ROWS_MAX = 128

# No unit or register has more characters.
_NAME_MAX = 32

_DECODER = json.JSONDecoder(parse_float=parse_literal, parse_int=parse_literal)


def _name(value: object, before: str) -> str:
    """Return a unit or a register, which may be left out if it is the one before."""
    if not value:
        return before
    return value if isinstance(value, str) and len(value) <= _NAME_MAX else ""


def _is_good(row: dict[str, object]) -> bool:
    """Return whether the meter stands by a reading (fields ST and EF)."""
    status, flags = row.get("ST"), row.get("EF")
    return status in (None, "", _GOOD) and not (
        isinstance(flags, str) and _ENERGY_ERROR in flags
    )


def read_meter(text: str) -> float | None:
    """Return the highest good reading of the lifetime meter in kWh, None without any.

    A row that leaves out unit or register has those of the row before it.

    Source: Open Charge Metering Format 1.0, which names the status codes and flags.
    """
    if not text.startswith(_HEADER):
        return None
    try:
        # Up to where the JSON ends: a signature may hold further bars.
        payload, _ = _DECODER.raw_decode(text, len(_HEADER))
    except ValueError, RecursionError:
        return None
    rows = payload.get("RD") if isinstance(payload, dict) else None
    if not isinstance(rows, list):
        return None

    if len(rows) > _ROWS_MAX:
        # The first tells the unit, which may be left out later.
        rows = [rows[0], *rows[-_ROWS_MAX:]]
    readings: list[float] = []
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
            readings.append(value * factor)
    return max(readings, default=None)
