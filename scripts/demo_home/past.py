"""The past of the simulated chargers, so that a new demo has sessions to show."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from simulator.scenario import PastScenario, Scenario, ScenarioError

_DAYS = 120
_SESSIONS_PER_WEEK = 3.5


def with_past(scenario: Scenario, file: Path) -> Scenario:
    """Return the scenario with some months of completed sessions.

    They end when the first demo started, so that a later demo has the same ones: else the
    history would change each time.

    Args:
        scenario: The scenario of this demo.
        file: The scenario file that an earlier demo has written.

    """
    past = PastScenario(
        days=_DAYS,
        sessions_per_week=_SESSIONS_PER_WEEK,
        is_reported=True,
        end=datetime.now(UTC).replace(microsecond=0),
    )
    if file.exists():
        try:
            earlier = Scenario.load(file).installations
        except ScenarioError:
            earlier = ()
        ends = [item.past.end for item in earlier if item.past and item.past.end]
        past = replace(past, end=min(ends, default=past.end))
    return scenario.with_past(past)
