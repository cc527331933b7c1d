"""The figures of the benchmark, and the table that shows them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement, with its yardstick from the same run.

    Other work on the machine can only make a sample larger. So the smallest of several
    samples is the best estimate, for the measurement as for the yardstick.
    """

    name: str
    samples: list[float]
    yardstick: list[float] | None = None
    unit: str = "s"
    target: str = ""
    of: Callable[[Iterable[float]], float] = min

    @property
    def value(self) -> float:
        """Return the value that stands for the samples."""
        return self.of(self.samples)

    @property
    def length(self) -> float | None:
        """Return the value that stands for the yardstick's samples."""
        return self.of(self.yardstick) if self.yardstick else None

    @property
    def ratio(self) -> float | None:
        """Return the value as a multiple of the yardstick."""
        return self.value / self.length if self.length else None

    def document(self) -> dict[str, Any]:
        """Return the figure as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "least": min(self.samples),
            "median": median(self.samples),
            "most": max(self.samples),
            "samples": len(self.samples),
            "yardstick": self.length,
            "ratio": self.ratio,
            "target": self.target,
        }

    def row(self) -> tuple[str, ...]:
        """Return the cells of the figure's row."""
        return (
            self.name,
            _shown(self.value, self.unit),
            self._spread(),
            _shown(self.length, self.unit) if self.length is not None else "",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            self.target,
        )

    def _spread(self) -> str:
        """Return the median and the maximum of several samples."""
        if len(self.samples) == 1:
            return ""
        return (
            f"{_shown(median(self.samples), self.unit)}"
            f" ({_shown(max(self.samples), self.unit)})"
        )


HEAD = ("figure", "value", "median (most)", "yardstick", "ratio", "target")


def _shown(value: float, unit: str) -> str:
    """Return a value as text, in a unit that is easy to read."""
    if unit != "s":
        return f"{value:,.6g} {unit}".rstrip()
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


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
