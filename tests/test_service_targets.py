"""Targets of actions: devices, entities, areas, floors and labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from homeassistant.const import (
    ATTR_AREA_ID,
    ATTR_DEVICE_ID,
    ATTR_ENTITY_ID,
    ATTR_FLOOR_ID,
    ATTR_LABEL_ID,
)
from homeassistant.core import HomeAssistant, ServiceResponse
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    label_registry as lr,
)
from homeassistant.helpers.selector import selector
from homeassistant.util.yaml import parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine

FORMS = Path(__file__).parents[1] / "custom_components/zaptec/services.yaml"

COMMANDS = (
    "stop_charging",
    "resume_charging",
    "deauthorize_charging",
    "restart_charger",
    "upgrade_firmware",
    "send_command",
)
SESSION_ACTIONS = ("get_sessions", "import_sessions")


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with two chargers, and another one with a third."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=25,
                available_current=20,
                chargers=(
                    ChargerScenario(
                        serial="ZAP000101", name="Garage", firmware="2.4.2.3"
                    ),
                    ChargerScenario(serial="ZAP000102", name="Carport"),
                ),
            ),
            InstallationScenario(
                name="Cabin",
                max_current=25,
                available_current=20,
                chargers=(ChargerScenario(serial="ZAP000103", name="Shed"),),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="owner@example.com",
                password="x",
                roles={"Home": OWNER, "Cabin": OWNER},
            ),
        ),
    )


@pytest.fixture
def chargers(sim: Simulator) -> dict[str, Charger]:
    """Return the chargers by their names."""
    return {charger.name: charger for charger in sim.chargers.values()}


class Home:
    """A home with areas, floors and labels, to which devices are assigned."""

    def __init__(self, hass: HomeAssistant, entry: MockConfigEntry) -> None:
        """Initialize the home with two areas on one floor."""
        self._hass = hass
        self._entry = entry
        self.floor_id = fr.async_get(hass).async_create("Ground floor").floor_id
        self.label_id = lr.async_get(hass).async_create("Night tariff").label_id
        areas = ar.async_get(hass)
        self.yard, self.house, self.office = (
            areas.async_create(name, floor_id=floor_id).id
            for name, floor_id in (
                ("Yard", self.floor_id),
                ("House", self.floor_id),
                ("Office", None),
            )
        )

    def device_id(self, zaptec_id: str) -> str:
        """Return the id of a device of the account."""
        device = dr.async_get(self._hass).async_get_device_by_identifier(
            (DOMAIN, zaptec_id), self._entry.entry_id
        )
        assert device
        return device.id

    def put(self, zaptec_id: str, **changes: Any) -> None:
        """Assign a device of the account to an area or to labels."""
        dr.async_get(self._hass).async_update_device(
            self.device_id(zaptec_id), **changes
        )

    async def act(self, name: str, target: dict[str, Any], **data: Any) -> None:
        """Call an action on a target."""
        if name == "send_command":
            data["command"] = "restart_charger"
        await self._hass.services.async_call(
            DOMAIN,
            name,
            data,
            blocking=True,
            target=target,
            return_response=name in SESSION_ACTIONS,
        )

    async def limit(self, target: dict[str, Any], **data: Any) -> ServiceResponse:
        """Limit the current of a target; return the response."""
        return await self._hass.services.async_call(
            DOMAIN,
            "limit_current",
            data,
            blocking=True,
            target=target,
            return_response=True,
        )


@pytest.fixture
def home(hass: HomeAssistant, live_entry: MockConfigEntry) -> Home:
    """Return a home without any device assigned."""
    return Home(hass, live_entry)


def restarted(sim: Simulator) -> list[str]:
    """Return the chargers that were sent a command, by name."""
    return sorted(
        sim.chargers[record.path.split("/")[3]].name
        for record in sim.rest.requests
        if "sendCommand" in record.path
    )


async def test_the_chargers_of_an_area(
    sim: Simulator, chargers: dict[str, Charger], home: Home
) -> None:
    """Only the chargers in the area are addressed."""
    home.put(chargers["Garage"].id, area_id=home.yard)
    home.put(chargers["Carport"].id, area_id=home.yard)
    home.put(chargers["Shed"].id, area_id=home.house)
    await home.act("restart_charger", {ATTR_AREA_ID: home.yard})
    assert restarted(sim) == ["Carport", "Garage"]


async def test_the_chargers_of_a_floor(
    sim: Simulator, chargers: dict[str, Charger], home: Home
) -> None:
    """The chargers in all areas of the floor are addressed, and no others."""
    home.put(chargers["Garage"].id, area_id=home.yard)
    home.put(chargers["Shed"].id, area_id=home.house)
    home.put(chargers["Carport"].id, area_id=home.office)
    await home.act("restart_charger", {ATTR_FLOOR_ID: [home.floor_id]})
    assert restarted(sim) == ["Garage", "Shed"]


async def test_the_chargers_of_a_label(
    hass: HomeAssistant,
    sim: Simulator,
    chargers: dict[str, Charger],
    home: Home,
    entities: EntityFinder,
) -> None:
    """A label addresses a charger by its device, by one of its entities, or by its area."""
    home.put(chargers["Garage"].id, labels={home.label_id})
    er.async_get(hass).async_update_entity(
        entities.id("switch", chargers["Carport"].id, "charger_operation_mode"),
        labels={home.label_id},
    )
    home.put(chargers["Shed"].id, area_id=home.office)
    await home.act("restart_charger", {ATTR_LABEL_ID: home.label_id})
    assert restarted(sim) == ["Carport", "Garage"]
    ar.async_get(hass).async_update(home.office, labels={home.label_id})
    sim.rest.clear()
    await home.act("restart_charger", {ATTR_LABEL_ID: home.label_id})
    assert restarted(sim) == ["Carport", "Garage", "Shed"]


async def test_a_charger_whose_entity_is_in_an_area(
    hass: HomeAssistant,
    sim: Simulator,
    chargers: dict[str, Charger],
    home: Home,
    entities: EntityFinder,
) -> None:
    """An entity in an area stands for its charger, even if the charger's device is elsewhere."""
    er.async_get(hass).async_update_entity(
        entities.id("switch", chargers["Shed"].id, "charger_operation_mode"),
        area_id=home.house,
    )
    await home.act("restart_charger", {ATTR_AREA_ID: [home.house]})
    assert restarted(sim) == ["Shed"]


async def test_what_a_target_names_twice_is_acted_on_once(
    sim: Simulator,
    chargers: dict[str, Charger],
    home: Home,
    entities: EntityFinder,
) -> None:
    """A charger that several parts of a target name gets one command."""
    garage = chargers["Garage"].id
    home.put(garage, area_id=home.yard, labels={home.label_id})
    await home.act(
        "restart_charger",
        {
            ATTR_AREA_ID: home.yard,
            ATTR_FLOOR_ID: home.floor_id,
            ATTR_LABEL_ID: home.label_id,
            ATTR_DEVICE_ID: home.device_id(garage),
            ATTR_ENTITY_ID: entities.id("sensor", garage, "charger_operation_mode"),
        },
        charger_id=garage,
    )
    assert restarted(sim) == ["Garage"]


@pytest.mark.parametrize("name", COMMANDS)
async def test_other_devices_of_an_area_do_not_matter(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    chargers: dict[str, Charger],
    home: Home,
    name: str,
) -> None:
    """Other devices of an area, such as a lamp or the installation, are ignored without an error."""
    other = MockConfigEntry(domain="light")
    other.add_to_hass(hass)
    lamp = dr.async_get(hass).async_get_or_create(
        config_entry_id=other.entry_id, identifiers={("light", "lamp")}
    )
    dr.async_get(hass).async_update_device(lamp.id, area_id=home.yard)
    er.async_get(hass).async_get_or_create(
        "light", "light", "lamp", config_entry=other, device_id=lamp.id
    )
    chargers["Garage"].plug_in(Car())
    await time_machine.travel(30)
    if name == "resume_charging":
        chargers["Garage"].stop_charging()
        await time_machine.travel(30)
    home.put(chargers["Garage"].id, area_id=home.yard)
    home.put(chargers["Garage"].installation.id, area_id=home.yard)
    sim.rest.clear()
    await home.act(name, {ATTR_AREA_ID: home.yard})
    assert restarted(sim) == ["Garage"]


@pytest.mark.parametrize("name", [*COMMANDS, "limit_current"])
@pytest.mark.parametrize("kind", [ATTR_AREA_ID, ATTR_FLOOR_ID, ATTR_LABEL_ID])
async def test_a_target_without_a_charger(
    sim: Simulator, home: Home, name: str, kind: str
) -> None:
    """A target without a suitable device is an error, or the user would expect an effect."""
    empty = {
        ATTR_AREA_ID: home.office,
        ATTR_FLOOR_ID: home.floor_id,
        ATTR_LABEL_ID: home.label_id,
    }
    data = {"available_current": 10} if name == "limit_current" else {}
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await home.act(name, {kind: empty[kind]}, **data)
    assert raised.value.translation_key == "none_in_target"
    assert not sim.rest.requests


async def test_an_area_with_an_installation_alone_has_no_charger(
    sim: Simulator, chargers: dict[str, Charger], home: Home
) -> None:
    """An installation in an area does not stand for its chargers, so none is stopped by accident."""
    home.put(chargers["Garage"].installation.id, area_id=home.yard)
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await home.act("stop_charging", {ATTR_AREA_ID: home.yard})
    assert raised.value.translation_key == "none_in_target"
    assert not sim.rest.requests


@pytest.fixture
def _with_power_meter(chargers: dict[str, Charger]) -> None:
    """Let the second device of the home be a Sense."""
    chargers["Carport"].is_power_meter = True


@pytest.mark.usefixtures("_with_power_meter")
@pytest.mark.parametrize("name", [*COMMANDS, "limit_current"])
async def test_a_power_meter_in_an_area_is_left_out(
    sim: Simulator, chargers: dict[str, Charger], home: Home, name: str
) -> None:
    """A power meter in an area is ignored, because it is not a charger."""
    home.put(chargers["Carport"].id, area_id=home.yard)
    data = {"available_current": 10} if name == "limit_current" else {}
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await home.act(name, {ATTR_AREA_ID: home.yard}, **data)
    assert raised.value.translation_key == "none_in_target"
    assert not sim.rest.requests


DATA: dict[str, dict[str, Any]] = {
    "limit_current": {"available_current": 10},
    "get_sessions": {"start": "2026-11-01"},
    "import_sessions": {"start": "2026-11-01"},
}


@pytest.mark.usefixtures("_with_power_meter")
@pytest.mark.parametrize("name", [*COMMANDS, *DATA])
async def test_a_power_meter_is_refused_by_its_name(
    hass: HomeAssistant,
    sim: Simulator,
    chargers: dict[str, Charger],
    home: Home,
    name: str,
) -> None:
    """A power meter that the user selects is an error, or nothing would be returned or done."""
    sense = chargers["Carport"].id
    entity_id = (
        er.async_get(hass)
        .async_get_or_create("sensor", DOMAIN, "sense", device_id=home.device_id(sense))
        .entity_id
    )
    home.put(sense, name_by_user="Sense in the cellar")
    ids = {} if name == "limit_current" else {"charger_id": sense}
    sim.rest.clear()
    for target, expected in (
        ({ATTR_DEVICE_ID: home.device_id(sense)}, "Sense in the cellar"),
        ({ATTR_ENTITY_ID: entity_id}, entity_id),
        (ids, sense),
    ):
        if not target:
            continue
        # A charger that is selected, too, does not make it right.
        also = {ATTR_DEVICE_ID: [home.device_id(chargers["Garage"].id)]}
        for key, value in target.items():
            also.setdefault(key, []).append(value)
        for selected in (target, also):
            with pytest.raises(ServiceValidationError) as raised:
                await home.act(name, selected, **DATA.get(name, {}))
            assert raised.value.translation_key == "power_meter_target"
            assert raised.value.translation_placeholders == {"target": expected}
    assert not sim.rest.requests


@pytest.mark.parametrize("name", [*COMMANDS, *DATA])
async def test_a_device_of_another_integration_is_refused_by_its_name(
    hass: HomeAssistant, home: Home, name: str
) -> None:
    """The error names what the user has selected, as the user knows it."""
    other = MockConfigEntry(domain="light")
    other.add_to_hass(hass)
    lamp = dr.async_get(hass).async_get_or_create(
        config_entry_id=other.entry_id, identifiers={("light", "lamp")}, name="Lamp"
    )
    entity_id = (
        er.async_get(hass)
        .async_get_or_create("light", "light", "lamp", device_id=lamp.id)
        .entity_id
    )
    for target, expected in (
        ({ATTR_DEVICE_ID: lamp.id}, "Lamp"),
        ({ATTR_ENTITY_ID: entity_id}, entity_id),
    ):
        with pytest.raises(ServiceValidationError) as raised:
            await home.act(name, target, **DATA.get(name, {}))
        assert raised.value.translation_key == "unknown_target"
        assert raised.value.translation_placeholders == {"target": expected}


@pytest.mark.parametrize("name", SESSION_ACTIONS)
async def test_an_installation_without_chargers(
    live_entry: MockConfigEntry, chargers: dict[str, Charger], home: Home, name: str
) -> None:
    """An installation without chargers is an error, not a statement without sessions."""
    shed = chargers["Shed"]
    del live_entry.runtime_data.coordinator.data.chargers[shed.id]
    cabin = shed.installation
    with pytest.raises(ServiceValidationError) as raised:
        await home.act(name, {ATTR_DEVICE_ID: home.device_id(cabin.id)}, **DATA[name])
    assert raised.value.translation_key == "no_chargers_in_target"
    assert raised.value.translation_placeholders == {"target": cabin.name}


@pytest.mark.parametrize("whole", [True, False])
async def test_the_installations_of_an_area(
    chargers: dict[str, Charger], home: Home, whole: bool
) -> None:
    """An installation is addressed by its own area, or by that of one of its chargers."""
    garage = chargers["Garage"]
    home.put(garage.installation.id if whole else garage.id, area_id=home.yard)
    assert await home.limit({ATTR_AREA_ID: home.yard}, available_current=16) == {
        "installations": [outcome(garage, (16, 16, 16))]
    }
    assert garage.installation.available_current == (16, 16, 16)
    assert chargers["Shed"].installation.available_current == (20, 20, 20)


async def test_a_charger_of_an_area_whose_installation_is_not_visible(
    live_entry: MockConfigEntry, chargers: dict[str, Charger], home: Home
) -> None:
    """A charger whose installation is not visible is skipped; the others are still changed."""
    garage, shed = chargers["Garage"], chargers["Shed"]
    for charger in (garage, shed):
        home.put(charger.id, area_id=home.yard)
    account = live_entry.runtime_data.coordinator.data
    del account.installations[shed.installation.id]
    target = {ATTR_AREA_ID: home.yard}
    assert await home.limit(target, available_current=16) == {
        "installations": [outcome(garage, (16, 16, 16))]
    }
    assert shed.installation.available_current == (20, 20, 20)
    # If the user names this charger itself, it is an error.
    with pytest.raises(ServiceValidationError) as raised:
        await home.limit(
            {**target, ATTR_DEVICE_ID: home.device_id(shed.id)}, available_current=10
        )
    assert raised.value.translation_key == "no_installation"
    assert garage.installation.available_current == (16, 16, 16)


async def test_an_area_without_an_installation_that_is_visible(
    live_entry: MockConfigEntry, chargers: dict[str, Charger], home: Home
) -> None:
    """A target without a suitable device is an error, or the user would expect an effect."""
    shed = chargers["Shed"]
    home.put(shed.id, area_id=home.yard)
    del live_entry.runtime_data.coordinator.data.installations[shed.installation.id]
    with pytest.raises(ServiceValidationError) as raised:
        await home.limit({ATTR_AREA_ID: home.yard}, available_current=10)
    assert raised.value.translation_key == "none_in_target"


async def test_a_command_does_not_need_the_installation(
    sim: Simulator,
    live_entry: MockConfigEntry,
    chargers: dict[str, Charger],
    home: Home,
) -> None:
    """A command needs a role for the charger only, not for its installation."""
    shed = chargers["Shed"]
    home.put(shed.id, area_id=home.yard)
    del live_entry.runtime_data.coordinator.data.installations[shed.installation.id]
    await home.act("restart_charger", {ATTR_AREA_ID: home.yard})
    assert restarted(sim) == ["Shed"]


def outcome(
    charger: Charger,
    currents: tuple[float, float, float],
    waiting: tuple[float, float, float] | None = None,
    until: object = None,
) -> dict[str, object]:
    """Return the response of the action for the installation of a charger."""
    wait = waiting or (None, None, None)
    return {
        "installation_id": charger.installation.id,
        "available_current": min(currents),
        "available_current_phase1": currents[0],
        "available_current_phase2": currents[1],
        "available_current_phase3": currents[2],
        "waiting_current": min(waiting) if waiting else None,
        "waiting_current_phase1": wait[0],
        "waiting_current_phase2": wait[1],
        "waiting_current_phase3": wait[2],
        "waiting_until": until,
    }


async def test_the_answer_names_all_phases(
    live_entry: MockConfigEntry, chargers: dict[str, Charger], home: Home
) -> None:
    """The response has the current that applies and the queued one, for each phase."""
    garage = chargers["Garage"]
    target = {ATTR_DEVICE_ID: home.device_id(garage.installation.id)}
    answer = await home.limit(
        target,
        available_current_phase1=10,
        available_current_phase2=12,
        available_current_phase3=16,
    )
    assert answer == {"installations": [outcome(garage, (10, 12, 16))]}
    answer = await home.limit(
        target,
        available_current_phase1=8,
        available_current_phase2=20,
        available_current_phase3=16,
    )
    current = live_entry.runtime_data.available_currents.of(garage.installation.id)
    assert current.due
    assert answer == {
        "installations": [
            outcome(garage, (8, 12, 16), (8, 20, 16), current.due.isoformat())
        ]
    }


async def test_the_answer_of_an_installation_without_a_current(
    live_entry: MockConfigEntry, chargers: dict[str, Charger], home: Home
) -> None:
    """For an installation that has left the account meanwhile, the response has no current."""
    installation = chargers["Garage"].installation
    live_entry.runtime_data.coordinator.data.installations[installation.id] = replace(
        live_entry.runtime_data.coordinator.data.installations[installation.id],
        available_current=None,
        available_current_phase1=None,
        available_current_phase2=None,
        available_current_phase3=None,
    )
    with patch(
        "custom_components.zaptec.control.available_current.AvailableCurrent.async_set"
    ):
        answer = await home.limit(
            {ATTR_DEVICE_ID: home.device_id(installation.id)}, available_current=10
        )
    assert answer
    (found,) = cast(list[dict[str, object]], answer["installations"])
    assert found["available_current"] is None
    assert found["available_current_phase1"] is None


def test_the_form_of_each_action() -> None:
    """The form has a target, then the values, and rarely used fields under "Advanced"."""
    described = parse_yaml(FORMS.read_text("utf-8"))
    assert isinstance(described, dict)
    assert set(described) == {
        *COMMANDS,
        "authorize_charging",
        "limit_current",
        *SESSION_ACTIONS,
    }
    for name, description in described.items():
        # hassfest refuses a filter of devices since October 2025.
        assert description["target"] == {"entity": {"integration": DOMAIN}}
        assert selector({"target": description["target"]})
        fields = description["fields"]
        *wanted, advanced = fields
        assert advanced == "advanced"
        assert fields["advanced"]["collapsed"] is True
        assert wanted == {
            "limit_current": ["available_current", "override"],
            "send_command": ["command"],
            "get_sessions": [
                "start",
                "end",
                "person",
                "group_by",
                "format",
                "table",
            ],
            "import_sessions": ["start"],
            "authorize_charging": ["person", "refuse"],
        }.get(name, [])
        assert list(fields["advanced"]["fields"]) == (
            [
                "available_current_phase1",
                "available_current_phase2",
                "available_current_phase3",
                "installation_id",
            ]
            if name == "limit_current"
            else ["charger_id", "installation_id"]
            if name in SESSION_ACTIONS
            else ["charger_id"]
        )
        for field in fields.values():
            for described_field in field.get("fields", {"": field}).values():
                assert selector(described_field["selector"])
