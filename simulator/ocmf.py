"""Meter readings in the Open Charge Metering Format, as the chargers write them.

The signature has the right form, but there is no key for it.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
import hashlib
import json

from .observations import Family


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of the lifetime meter, kWh."""

    time: datetime
    energy: float


@dataclass(frozen=True, slots=True)
class Meter:
    """The identification of a charger's meter in its documents."""

    family: Family
    serial: str
    firmware: str

    def fiscal(self, reading: Reading, count: int) -> str:
        """Return the periodic document (StateId 554)."""
        return self._document(f"F{count}", [_row(reading, None, unit=True)], {})

    def transaction(
        self, readings: list[Reading], count: int, session_id: str, token: str
    ) -> str:
        """Return the document of a session: begin, readings between, end."""
        last = len(readings) - 1
        rows = [
            # A Pro omits a unit that has not changed.
            _row(
                reading,
                "B" if index == 0 else "E" if index == last else "T",
                unit=self.family is Family.GO or index == 0,
            )
            for index, reading in enumerate(readings)
        ]
        return self._document(
            f"T{count}", rows, {"ID": token, "ZS": session_id, "IS": bool(token)}
        )

    def _document(
        self, pagination: str, rows: list[dict[str, object]], user: dict[str, object]
    ) -> str:
        head: dict[str, object] = {
            "FV": "1.0",
            "GI": "ZAPTEC GO" if self.family is Family.GO else "Zaptec Pro",
            "GS": self.serial,
            "GV": self.firmware,
        }
        if self.family is Family.PRO:
            head["MF"] = "v1.3.4"
        head["PG"] = pagination
        if self.family is Family.PRO and user:
            head |= {"IS": user["IS"], "IL": "NONE", "IF": [], "IT": "NONE"}
            head |= {"ID": user["ID"], "ZS": user["ZS"]}
        head["RD"] = rows
        text = json.dumps(head, separators=(",", ":"))
        if self.family is Family.GO:
            return f"OCMF|{text}"
        signature = {
            "SA": "ECDSA-secp384r1-SHA256",
            "SE": "base64",
            "SD": base64.b64encode(hashlib.sha384(text.encode()).digest()).decode(),
        }
        return f"OCMF|{text}|{json.dumps(signature, separators=(',', ':'))}"


def _row(reading: Reading, kind: str | None, *, unit: bool) -> dict[str, object]:
    time = reading.time.astimezone(UTC)
    row: dict[str, object] = {
        "TM": f"{time:%Y-%m-%dT%H:%M:%S},{time.microsecond // 1000:03d}+00:00 R"
    }
    if kind:
        row["TX"] = kind
    row |= {"RV": round(reading.energy, 3), "RI": "1-0:1.8.0"}
    if unit:
        row["RU"] = "kWh"
    return row | {"RT": "AC", "ST": "G"}
