"""The report of many walks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Self


@dataclass(slots=True)
class Report:
    """Collects the recovery times of walks."""

    walks: int = 0
    simulated_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, tuple[float, int]] = field(default_factory=dict)
    """The slowest recovery by fault (simulated seconds), with its seed."""

    def recovered(self, fault: str, seconds: float, seed: int) -> None:
        """Record a recovery."""
        self.faults[fault] += 1
        if seconds >= self.slowest.get(fault, (-1.0, 0))[0]:
            self.slowest[fault] = (seconds, seed)

    def save(self, path: Path) -> None:
        """Write the report to a file."""
        document = {
            "walks": self.walks,
            "simulated_seconds": self.simulated_seconds,
            "faults": dict(self.faults),
            "slowest": self.slowest,
        }
        path.write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """Return the sum of saved reports."""
        total = cls()
        for path in paths:
            part = json.loads(path.read_text(encoding="utf-8"))
            total.walks += part["walks"]
            total.simulated_seconds += part["simulated_seconds"]
            total.faults.update(part["faults"])
            for name, (seconds, seed) in part["slowest"].items():
                if seconds >= total.slowest.get(name, (-1.0, 0))[0]:
                    total.slowest[name] = (seconds, seed)
        return total

    def lines(self) -> list[str]:
        """Return the lines of a table."""
        return [
            (
                f"{self.walks} walks, {self.simulated_seconds / 86400:.0f} simulated days,"
                f" {self.faults.total()} faults"
            ),
            *(
                f"{name:36} {self.faults[name]:5}, slowest {seconds:5.0f} s (seed {seed})"
                for name, (seconds, seed) in sorted(self.slowest.items())
            ),
        ]
