"""Meter readings in Open Charge Metering Format."""

import json
from typing import Any

import pytest

from custom_components.zaptec.api.ocmf import read_meter


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
