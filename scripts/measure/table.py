"""Figures, and how they are shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, beside its yardstick measured in the same run."""

    name: str
    samples: list[float]
    yardstick: list[float] | None = None
    unit: str = "s"
    target: str = ""

    @property
    def value(self) -> float:
        """Return the median."""
        return median(self.samples)

    @property
    def ratio(self) -> float | None:
        """Return how many times the yardstick it is."""
        if not self.yardstick or not (length := median(self.yardstick)):
            return None
        return self.value / length

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.value,
            "least": min(self.samples),
            "most": max(self.samples),
            "samples": len(self.samples),
            "yardstick": median(self.yardstick) if self.yardstick else None,
            "ratio": self.ratio,
            "target": self.target,
        }

    def row(self) -> tuple[str, ...]:
        """Return the cells of its row."""
        return (
            self.name,
            _shown(self.value, self.unit),
            _spread(self.samples, self.unit),
            _shown(median(self.yardstick), self.unit) if self.yardstick else "",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            self.target,
        )


HEAD = ("figure", "median", "least to most", "yardstick", "ratio", "target")


def _shown(value: float, unit: str) -> str:
    """Return a value with a unit that is easy to read."""
    if unit != "s":
        return f"{value:,.6g} {unit}".rstrip()
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def _spread(samples: list[float], unit: str) -> str:
    """Return the least and the most of several samples."""
    if len(samples) == 1:
        return ""
    return f"{_shown(min(samples), unit)} to {_shown(max(samples), unit)}"


def lines(figures: Iterable[Figure]) -> list[str]:
    """Return the lines of a Markdown table."""
    rows = [HEAD, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    shown = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    ]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return shown
