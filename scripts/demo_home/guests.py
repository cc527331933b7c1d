"""A second installation of the demo, at which others decide who may charge: web hooks."""

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from simulator.accounts import Card
from simulator.authorization import WebHooks
from simulator.scenario import (
    DEMO_USER,
    OWNER,
    ChargerScenario,
    DriverScenario,
    InstallationScenario,
    Scenario,
)

NAME = "Guest parking"
# A guest who comes by autoplay, and holds a card to the charger.
_GUEST = DriverScenario(
    full_name="Nora Guest",
    email="nora@example.com",
    cards=(Card("Guest card", "04C0FFEE112233"),),
)


def with_guests(scenario: Scenario) -> Scenario:
    """Return the scenario with two more chargers; the demo account owns them.

    The type of their authentication is web hooks, whose addresses have to be entered on the
    simulator's page. Until then, the cloud lets each car charge.
    """
    guests = InstallationScenario(
        name=NAME,
        max_current=32,
        available_current=32,
        chargers=tuple(
            ChargerScenario(
                serial=f"ZPR0003{number:02d}",
                name=f"Guest {number}",
                lifetime_energy=400.0 + 111.1 * number,
            )
            for number in (1, 2)
        ),
        drivers=(_GUEST,),
        web_hooks=WebHooks(),
    )
    accounts = tuple(
        replace(account, roles={**account.roles, NAME: OWNER})
        if account.user_name == DEMO_USER
        else account
        for account in scenario.accounts
    )
    installations = (*scenario.installations, guests)
    return replace(scenario, installations=installations, accounts=accounts)


class GuestHooks:
    """The web hooks of *Guest parking*, kept from one demo to the next.

    Home Assistant keeps its side of them, too.
    """

    def __init__(self, file: Path) -> None:
        """Initialize the hooks that are kept in `file`."""
        self._file = file

    def keep(self, shown: dict[str, Any]) -> None:
        """Store what a response of the simulator's `/api/installations/{id}` shows."""
        is_used = shown["authentication_type"] == 1
        text = json.dumps(shown["web_hooks"] if is_used else None)
        if self._file.exists() and self._file.read_text(encoding="utf-8") == text:
            return
        new = self._file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.replace(self._file)

    def continue_in(self, scenario: Scenario) -> Scenario:
        """Return the scenario with the web hooks stored last."""
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            web_hooks = None if stored is None else WebHooks(**stored)
        except OSError, TypeError, ValueError:
            return scenario
        return replace(
            scenario,
            installations=tuple(
                replace(item, web_hooks=web_hooks) if item.name == NAME else item
                for item in scenario.installations
            ),
        )
