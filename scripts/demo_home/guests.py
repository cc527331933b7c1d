"""A second installation of the demo, at which others decide who may charge: web hooks."""

from dataclasses import replace

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
