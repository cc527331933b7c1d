"""The actions of the integration, with any number of accounts."""

from typing import Any

from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr
import probatio
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import Fault, Rejection
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import (
    EntityFinder,
    TimeMachine,
    add_entry,
    set_up,
    wait_until,
    wait_until_live,
)

USERS = ("one@example.com", "two@example.com", "resident@example.com")


@pytest.fixture
def scenario() -> Scenario:
    """Return two homes of two owners, and a resident of the first home."""
    return Scenario(
        installations=tuple(
            InstallationScenario(
                name=name,
                max_current=25,
                available_current=20,
                chargers=(
                    ChargerScenario(
                        serial=f"ZAP00010{number}",
                        name=f"{name}'s charger",
                        firmware="2.4.2.3",
                    ),
                ),
            )
            for number, name in enumerate(("First", "Second"))
        ),
        accounts=(
            AccountScenario(user_name=USERS[0], password="x", roles={"First": OWNER}),
            AccountScenario(user_name=USERS[1], password="x", roles={"Second": OWNER}),
            AccountScenario(
                user_name=USERS[2], password="x", roles={"First": UserRole.USER}
            ),
        ),
    )


@pytest.fixture
async def accounts(hass: HomeAssistant, sim: Simulator) -> list[MockConfigEntry]:
    """Return the entries of both owners, set up and live."""
    entries = [add_entry(hass, sim, user_name) for user_name in USERS[:2]]
    # Setting up one entry sets up the integration, and with it all of its entries.
    await set_up(hass, entries[0])
    for entry in entries:
        await wait_until_live(hass, entry)
    return entries


@pytest.fixture
def chargers(sim: Simulator) -> list[Charger]:
    """Return the chargers of both owners."""
    return list(sim.chargers.values())


def device_id(hass: HomeAssistant, entry: MockConfigEntry, zaptec_id: str) -> str:
    """Return the id of a device in Home Assistant."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, zaptec_id), entry.entry_id
    )
    assert device
    return device.id


async def call(hass: HomeAssistant, service: str, **data: Any) -> None:
    """Call an action."""
    await hass.services.async_call(DOMAIN, service, data, blocking=True)


def sent(sim: Simulator) -> list[str]:
    """Return the requests that wrote to the cloud."""
    return [
        record.path.removeprefix("/api/")
        for record in sim.rest.requests
        if record.method == "POST"
    ]


@pytest.mark.parametrize(
    ("service", "data", "number"),
    [
        ("stop_charging", {}, 506),
        ("deauthorize_charging", {}, 10001),
        ("restart_charger", {}, 102),
        ("upgrade_firmware", {}, 200),
        *(
            ("send_command", {"command": command}, number)
            for command, number in (
                ("stop_charging_final", 506),
                ("StopChargingFinal", 506),
                ("506", 506),
                (506, 506),
                ("deauthorize_and_stop", 10001),
                ("restart_charger", 102),
                (200, 200),
            )
        ),
    ],
)
async def test_commands_reach_the_chargers_of_all_accounts(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    entities: EntityFinder,
    service: str,
    data: dict[str, Any],
    number: int,
) -> None:
    """A charger can be named by its device, or by the id that custom-components/zaptec used."""
    for charger in chargers:
        charger.plug_in(Car())
    await time_machine.travel(15)
    sim.rest.clear()
    await call(
        hass,
        service,
        **data,
        device_id=device_id(hass, accounts[0], chargers[0].id),
        charger_id=chargers[1].id.upper(),
    )
    assert sorted(sent(sim)) == sorted(
        f"chargers/{charger.id}/sendCommand/{number}" for charger in chargers
    )


async def test_resume_by_any_entity_of_the_charger(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    entities: EntityFinder,
) -> None:
    """Any entity of a charger stands for that charger."""
    charger = chargers[1]
    charger.plug_in(Car())
    await time_machine.travel(15)
    charger.stop_charging()
    await time_machine.travel(15)
    sim.rest.clear()
    await call(
        hass,
        "resume_charging",
        entity_id=[
            entities.id("sensor", charger.id, "charger_operation_mode"),
            entities.id("switch", charger.id, "charger_operation_mode"),
        ],
    )
    assert sent(sim) == [f"chargers/{charger.id}/sendCommand/507"]


@pytest.mark.parametrize("command", ["authorize", 501, "StartCharging", "", 10000, 201])
async def test_commands_that_are_not_documented_are_refused(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    command: str | int,
) -> None:
    """A command that is not documented is refused in any spelling, with a list of valid ones."""
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(hass, "send_command", command=command, charger_id=chargers[0].id)
    assert raised.value.translation_key == "unknown_command"
    assert "restart_charger (102)" in str(raised.value)
    assert not sim.rest.requests


@pytest.mark.parametrize(
    ("data", "currents"),
    [
        ({"available_current": 16.5}, (16.5, 16.5, 16.5)),
        ({"available_current": "16"}, (16, 16, 16)),
        ({"available_current": 0}, (0, 0, 0)),
        (
            {
                "available_current_phase1": 6,
                "available_current_phase2": 10.1,
                "available_current_phase3": 16,
            },
            (6, 10.1, 16),
        ),
    ],
)
async def test_limit_current(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    entities: EntityFinder,
    data: dict[str, Any],
    currents: tuple[float, float, float],
) -> None:
    """An installation can be named by its device or id, or by one of its chargers or entities."""
    installations = [charger.installation for charger in chargers]
    answer = await hass.services.async_call(
        DOMAIN,
        "limit_current",
        {
            "device_id": device_id(hass, accounts[0], chargers[0].id),
            "entity_id": entities.id(
                "number", installations[1].id, "available_current"
            ),
            "installation_id": [installations[0].id],
            **data,
        },
        blocking=True,
        return_response=True,
    )
    assert [item.available_current for item in installations] == [currents] * 2
    assert answer == {
        "installations": [
            {
                "installation_id": item.id,
                "available_current": min(currents),
                "available_current_phase1": currents[0],
                "available_current_phase2": currents[1],
                "available_current_phase3": currents[2],
                "waiting_current": None,
                "waiting_current_phase1": None,
                "waiting_current_phase2": None,
                "waiting_current_phase3": None,
                "waiting_until": None,
            }
            for item in installations
        ]
    }
    assert float(entities.state("sensor", chargers[0].id, "available_current")) == min(
        currents
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "which_current"),
        ({"available_current": 10, "available_current_phase1": 10}, "which_current"),
        (
            {"available_current_phase1": 10, "available_current_phase2": 10},
            "which_current",
        ),
        ({"available_current": 26}, "current_too_high"),
        ({"available_current": 5.9}, "current_too_low"),
        (
            {
                "available_current_phase1": 10,
                "available_current_phase2": 3,
                "available_current_phase3": 10,
            },
            "current_too_low",
        ),
    ],
)
async def test_a_current_that_makes_no_sense_changes_nothing(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    data: dict[str, Any],
    sentence: str,
) -> None:
    """A current out of range is refused without a request to the cloud."""
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            "limit_current",
            installation_id=chargers[0].installation.id,
            **data,
        )
    assert raised.value.translation_key == sentence
    assert not sim.rest.requests


@pytest.mark.parametrize("value", ["much", -1, None])
async def test_a_current_that_is_none(
    hass: HomeAssistant,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    value: object,
) -> None:
    """The schema refuses a value that is not a current."""
    with pytest.raises(probatio.Invalid):
        await call(
            hass,
            "limit_current",
            installation_id=chargers[0].installation.id,
            available_current=value,
        )


async def test_one_invalid_installation_keeps_all_unchanged(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """All installations are checked before the first is changed, so none is if one is invalid."""
    installations = [charger.installation for charger in chargers]
    installations[1].available_current_mode = 1
    await time_machine.travel(3700, step=15)
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            "limit_current",
            installation_id=[item.id for item in installations],
            available_current=10,
        )
    assert raised.value.translation_key == "several_failed"
    placeholders = str(raised.value.translation_placeholders)
    assert installations[1].name in placeholders
    assert installations[0].name not in placeholders
    assert installations[0].available_current == (20, 20, 20)


@pytest.mark.parametrize(
    "data",
    [
        {"charger_id": "00000000-0000-4000-8000-000000000000"},
        {ATTR_DEVICE_ID: "no such device"},
        {ATTR_ENTITY_ID: "sensor.no_such_entity"},
    ],
)
async def test_an_unknown_target(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    data: dict[str, str],
) -> None:
    """With an unknown target, nothing is sent to the known one, either."""
    charger_ids = [chargers[0].id, *filter(None, [data.pop("charger_id", None)])]
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(hass, "restart_charger", charger_id=charger_ids, **data)
    assert raised.value.translation_key == "unknown_target"
    assert not sim.rest.requests


async def test_a_device_of_another_integration(
    hass: HomeAssistant, accounts: list[MockConfigEntry]
) -> None:
    """A device of another integration is refused as a target."""
    other = MockConfigEntry(domain="other")
    other.add_to_hass(hass)
    device = dr.async_get(hass).async_get_or_create(
        config_entry_id=other.entry_id,
        # Some integrations use identifiers with more than two parts.
        identifiers={("other", "thing", "part")},
    )
    with pytest.raises(ServiceValidationError) as raised:
        await call(hass, "restart_charger", device_id=device.id)
    assert raised.value.translation_key == "unknown_target"


@pytest.mark.parametrize("service", ["stop_charging", "limit_current"])
async def test_no_target(
    hass: HomeAssistant, accounts: list[MockConfigEntry], service: str
) -> None:
    """Without a target, the error says what to choose."""
    data = {"available_current": 10} if service == "limit_current" else {}
    with pytest.raises(ServiceValidationError) as raised:
        await call(hass, service, **data)
    assert raised.value.translation_key == "no_target"


async def test_an_installation_is_no_charger(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """An installation is refused as a target, so that no charger is stopped by accident."""
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            "stop_charging",
            device_id=device_id(hass, accounts[0], chargers[0].installation.id),
        )
    assert raised.value.translation_key == "no_charger"


async def test_the_account_of_the_target_is_not_running(
    hass: HomeAssistant, accounts: list[MockConfigEntry], chargers: list[Charger]
) -> None:
    """A target whose account is not running is refused; those of the other account still work."""
    await hass.config_entries.async_unload(accounts[0].entry_id)
    with pytest.raises(ServiceValidationError) as raised:
        await call(hass, "restart_charger", charger_id=chargers[0].id)
    assert raised.value.translation_key == "unknown_target"
    await call(hass, "restart_charger", charger_id=chargers[1].id)


@pytest.mark.parametrize("service", ["restart_charger", "limit_current"])
async def test_a_role_that_may_change_nothing(
    hass: HomeAssistant, sim: Simulator, chargers: list[Charger], service: str
) -> None:
    """With a role that may change nothing, the action fails without a request."""
    entry = add_entry(hass, sim, USERS[2])
    await set_up(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    data: dict[str, Any] = {"charger_id": chargers[0].id}
    if service == "limit_current":
        data = {
            "installation_id": chargers[0].installation.id,
            "available_current": 10,
        }
    with pytest.raises(ServiceValidationError) as raised:
        await call(hass, service, **data)
    assert raised.value.translation_key == "not_permitted"
    assert len(sent(sim)) == 0 or sent(sim) == ["/oauth/token"]


async def test_a_charger_whose_installation_is_not_visible(
    hass: HomeAssistant, accounts: list[MockConfigEntry], chargers: list[Charger]
) -> None:
    """With a role for the charger alone, the current of the installation cannot be limited."""
    runtime = accounts[0].runtime_data
    runtime.coordinator.data.installations.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            "limit_current",
            device_id=device_id(hass, accounts[0], chargers[0].id),
            available_current=10,
        )
    assert raised.value.translation_key == "no_installation"


async def test_one_failure_among_several_is_shown(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """If one target fails, the error names it, and the others are still changed."""
    chargers[0].set_offline()
    with pytest.raises(Exception, match="Could not communicate"):
        await call(
            hass, "restart_charger", charger_id=[charger.id for charger in chargers]
        )
    assert len(sent(sim)) >= 2


def rename(
    hass: HomeAssistant, entry: MockConfigEntry, zaptec_id: str, name: str
) -> None:
    """Give a device another name in Home Assistant."""
    dr.async_get(hass).async_update_device(
        device_id(hass, entry, zaptec_id), name_by_user=name
    )


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (403, HomeAssistantError, "not allowed to change this"),
        (Rejection(528, "Busy with an update"), HomeAssistantError, "Busy with"),
        (Rejection(505), HomeAssistantError, "505"),
        (None, ServiceValidationError, "stand-alone mode"),
    ],
)
async def test_all_failures_among_several_are_named(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    fault: Fault | None,
    kind: type[HomeAssistantError],
    reason: str,
) -> None:
    """All failed targets are named as in Home Assistant, each with its reason."""
    third = sim.add_charger(
        chargers[1].installation.id, serial="ZAP000777", name="Third"
    )
    await time_machine.travel(3700, step=15)
    for charger in (*chargers, third):
        charger.plug_in(Car())
    await time_machine.travel(15)
    rename(hass, accounts[0], chargers[0].id, "Carport")
    for charger in chargers:
        if fault is None:
            charger.set_stand_alone(True)
        else:
            sim.rest.fail(f"{charger.id}/sendCommand", fault=fault)
    await time_machine.travel(5)
    with pytest.raises(kind) as raised:
        await call(
            hass,
            "stop_charging",
            charger_id=[item.id for item in (*chargers, third)],
        )
    assert raised.value.translation_key == "several_failed"
    assert type(raised.value) is kind
    failures = (raised.value.translation_placeholders or {})["failures"].split("\n")
    assert [line.partition(": ")[0] for line in failures] == [
        "Carport",
        "Second's charger",
    ]
    assert all(reason in line for line in failures)
    assert "Carport: " in str(raised.value)
    assert third.final_stop
    assert not chargers[0].final_stop


async def test_two_reasons_among_several(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """If targets fail for two reasons, each is named with its own."""
    chargers[0].set_offline()
    sim.rest.fail(f"{chargers[1].id}/sendCommand", fault=403)
    with pytest.raises(HomeAssistantError) as raised:
        await call(
            hass, "restart_charger", charger_id=[charger.id for charger in chargers]
        )
    first, second = str(raised.value).split("\n")[1:]
    assert first.startswith(
        "First's charger: The Zaptec cloud rejected the request: Could not"
    )
    assert second.startswith("Second's charger: Your Zaptec account is not allowed")


async def test_a_fault_of_the_integration_among_several(
    hass: HomeAssistant,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unexpected exception is raised unchanged, so that the log shows its traceback."""
    monkeypatch.setattr(
        accounts[0].runtime_data.client, "send_command", lambda *_: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        await call(
            hass, "restart_charger", charger_id=[charger.id for charger in chargers]
        )


async def test_all_failures_to_limit_the_current_are_named(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """The failed installations are named, each with its reason."""
    installations = [charger.installation for charger in chargers]
    rename(hass, accounts[0], installations[0].id, "My home")
    sim.rest.fail(f"{installations[0].id}/update", fault=403)
    sim.rest.fail(f"{installations[1].id}/update", fault=Rejection(505))
    data: dict[str, Any] = {
        "installation_id": [item.id for item in installations],
        "available_current": 10,
    }
    with pytest.raises(HomeAssistantError) as raised:
        await call(hass, "limit_current", **data)
    assert raised.value.translation_key == "several_failed"
    first, second = str(raised.value).split("\n")[1:]
    assert first.startswith("My home: Your Zaptec account")
    assert second.startswith("Second: The Zaptec cloud rejected")

    # If only one of two fails, it is named, and the other is changed.
    sim.rest.heal()
    sim.rest.fail(f"{installations[1].id}/update", fault=403)
    with pytest.raises(HomeAssistantError) as raised:
        await call(hass, "limit_current", **data)
    assert raised.value.translation_key == "several_failed"
    (second,) = str(raised.value).split("\n")[1:]
    assert second.startswith("Second: Your Zaptec account")
    assert installations[0].available_current == (10, 10, 10)

    # With a single target, the error needs no name.
    data["installation_id"] = [installations[1].id]
    with pytest.raises(HomeAssistantError) as raised:
        await call(hass, "limit_current", **data)
    assert raised.value.translation_key == "not_permitted"


@pytest.mark.parametrize("fault", [403, Rejection(528, "Not now")])
async def test_the_one_charger_of_several_that_fails_is_named(
    hass: HomeAssistant,
    sim: Simulator,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
    fault: Fault,
) -> None:
    """If one of several chargers fails, the error says which."""
    sim.rest.fail(f"{chargers[1].id}/sendCommand", fault=fault)
    with pytest.raises(HomeAssistantError) as raised:
        await call(
            hass, "restart_charger", charger_id=[charger.id for charger in chargers]
        )
    assert raised.value.translation_key == "several_failed"
    (line,) = str(raised.value).split("\n")[1:]
    assert line.startswith("Second's charger: ")


async def test_all_installations_that_something_else_controls_are_named(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """Installations that something else controls are found before the first one is changed."""
    installations = [charger.installation for charger in chargers]
    installations[0].available_current_mode = 2
    installations[1].available_current_mode = 1
    await time_machine.travel(3700, step=15)
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            "limit_current",
            installation_id=[item.id for item in installations],
            available_current=10,
        )
    assert raised.value.translation_key == "several_failed"
    first, second = str(raised.value).split("\n")[1:]
    assert first.startswith("First: Zaptec's power management")
    assert second.startswith("Second: A schedule in the Zaptec portal")
    assert not sent(sim)


async def test_a_refused_limit_leaves_the_one_that_waits(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    accounts: list[MockConfigEntry],
    chargers: list[Charger],
) -> None:
    """A refused request leaves the queued increase; only an accepted one replaces it."""
    installation = chargers[0].installation
    data = {"installation_id": installation.id}
    await call(hass, "limit_current", **data, available_current=10)
    await call(hass, "limit_current", **data, available_current=20)
    assert installation.available_current == (10, 10, 10)
    chargers[0].set_stand_alone(True)
    await time_machine.travel(5)
    current = accounts[0].runtime_data.available_currents.of(installation.id)
    with pytest.raises(ServiceValidationError):
        await current.async_set((15, 15, 15))
    with pytest.raises(ServiceValidationError):
        await call(hass, "limit_current", **data, available_current=15)
    chargers[0].set_stand_alone(False)
    await time_machine.travel(16 * 60, step=15)
    assert installation.available_current == (20, 20, 20)
