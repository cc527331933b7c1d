"""The meter readings of the simulated chargers, kept from one demo to the next.

If the lifetime meters started at zero each time, the Energy dashboard would show nonsense.
"""

from dataclasses import asdict, replace
import json
from pathlib import Path
from typing import Any

from simulator.scenario import Scenario


class Meters:
    """The lifetime energy of each simulated charger, kWh by serial number."""

    def __init__(self, file: Path) -> None:
        """Read the meters that an earlier demo stored in `file`."""
        self._file = file
        self._readings: dict[str, float] = {}
        if file.exists():
            self._readings = json.loads(file.read_text(encoding="utf-8"))

    def keep(self, state: dict[str, Any]) -> None:
        """Store the meters found in a response of the simulator's `/api/state`."""
        for installation in state["installations"]:
            for charger in installation["chargers"]:
                self._readings[charger["serial"]] = charger["lifetime_energy"]
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._readings), encoding="utf-8")
        new.replace(self._file)

    def continue_in(self, scenario: Scenario) -> Scenario:
        """Return the scenario with each meter set to its last stored reading."""
        return replace(
            scenario,
            installations=tuple(
                replace(
                    installation,
                    chargers=tuple(
                        replace(
                            charger,
                            lifetime_energy=self._readings.get(
                                charger.serial, charger.lifetime_energy
                            ),
                        )
                        for charger in installation.chargers
                    ),
                )
                for installation in scenario.installations
            ),
        )


def to_document(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as the content of a scenario file."""
    document = asdict(scenario)
    for installation in document["installations"]:
        installation["network_type"] = installation["network_type"].name
        if (past := installation["past"]) and past["end"]:
            past["end"] = past["end"].isoformat()
    for account in document["accounts"]:
        account["roles"] = {
            name: [role.name for role in roles]
            for name, roles in account["roles"].items()
        }
    return document
