"""The figures and the table of the benchmark."""

from statistics import median

from scripts.measure.imports import libraries, modules
from scripts.measure.start import kinds
from scripts.measure.table import Figure, lines


def test_a_figure_beside_its_yardstick() -> None:
    """The ratio is that of the smallest samples, which other work on the machine disturbed least."""
    figure = Figure("burst", [3.0, 1.0, 2.5], [4.0, 4.0, 2.0], target="ratio < 1")
    assert figure.ratio == 0.5
    assert Figure("latency", [3.0, 1.0, 2.0], [8.0, 4.0, 1.0], of=median).ratio == 0.5
    assert figure.document() == {
        "name": "burst",
        "unit": "s",
        "value": 1.0,
        "least": 1.0,
        "median": 2.5,
        "most": 3.0,
        "samples": 3,
        "yardstick": 2.0,
        "ratio": 0.5,
        "target": "ratio < 1",
    }


def test_the_table() -> None:
    """Each figure has a row, with units that are easy to read."""
    assert lines(
        [
            Figure("a", [0.0123, 0.01], [0.02]),
            Figure("b", [0.000_012_3]),
            Figure("c", [12.0], [0.0], "requests"),
        ]
    ) == [
        "| figure | value       | median (most)     | yardstick  | ratio | target |",
        "|--------|-------------|-------------------|------------|-------|--------|",
        "| a      | 10 ms       | 11.2 ms (12.3 ms) | 20 ms      | 0.50  |        |",
        "| b      | 12.3 µs     |                   |            |       |        |",
        "| c      | 12 requests |                   | 0 requests |       |        |",
    ]


def test_what_is_imported() -> None:
    """The modules of the integration and those of its libraries are complete and disjoint."""
    assert {"azure.servicebus", "homeassistant.core", "json"} <= set(libraries())
    assert {"custom_components.zaptec", "custom_components.zaptec.api.nbfx"} <= set(
        modules()
    )
    assert not [name for name in libraries() if name.startswith("custom_components")]


def test_kinds_of_requests() -> None:
    """Requests that differ only in an id are of the same kind."""
    charger = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
    other = charger.replace("0", "1")
    assert kinds(
        (0.0, "GET", path)
        for path in (f"/api/chargers/{charger}/state", f"/api/chargers/{other}/state")
    ) == {"GET /api/chargers/{id}/state": 2}
