"""The switch-over from custom-components/zaptec keeps entities, settings and statistics."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import json
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.db_schema import StatisticsShortTerm
from homeassistant.components.recorder.history import state_changes_during_period
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    async_import_statistics,
    statistics_during_period,
)
from homeassistant.components.recorder.util import session_scope
from homeassistant.components.repairs import (
    DOMAIN as REPAIRS,
    RepairsFlowResult,
    repairs_flow_manager,
)
from homeassistant.components.repairs.issue_handler import RepairsFlowManager
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    ATTR_RESTORED,
    CONF_PASSWORD,
    CONF_USERNAME,
    UnitOfEnergy,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_recorder_block_till_done,
    async_wait_recording_done,
    do_adhoc_statistics,
)

from custom_components.zaptec.api import Account
from custom_components.zaptec.const import DOMAIN
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import PASSWORD, TimeMachine, wait_until, wait_until_live
from .home import open_options
from .incumbent import add_incumbents_entry, register

# Entities with a clearer name in this integration. Names given by the user are kept.
RENAMED = {
    ("binary_sensor", "Charger"): "Active in Zaptec",
    ("binary_sensor", "Installation"): "Active in Zaptec",
    ("button", "Upgrade firmware"): "Update firmware",
    ("number", "3 to 1-phase switch current"): "3-phase to 1-phase switch current",
    ("number", "Charger max current"): "Maximum charging current",
    ("number", "Charger min current"): "Minimum charging current",
    ("sensor", "Allocated charge current"): "Allocated charging current",
    ("sensor", "Charge power"): "Charging power",
    ("sensor", "Max current"): "Maximum current",
    ("sensor", "Network type"): "Grid type",
    ("sensor", "Session total charge"): "Session energy",
    ("switch", "Charging"): "Charging allowed",
}
NOT_OFFERED = {
    "button.zap_garage_authorize_charging",
    "number.zap_garage_status_indicator_brightness",
    "switch.zap_garage_permanent_cable_lock",
}
ENERGIES = {
    "sensor.zap_garage_energy_meter": 1234.5,
    "sensor.zap_garage_session_total_charge": 0.5,
    "sensor.zap_garage_completed_session_energy": 12.25,
}

TRANSLATIONS = Path(__file__).parents[1] / "custom_components/zaptec/translations"


@pytest.fixture(autouse=True)
def _custom_integrations(recorder_mock: Recorder, request: Any) -> None:
    """Record from the start, and let Home Assistant load the integration."""
    if "time_machine" in request.fixturenames:
        request.getfixturevalue("clocks")
    request.getfixturevalue("enable_custom_integrations")


@pytest.fixture
def role() -> UserRole:
    """Return the role of the account."""
    return OWNER


@pytest.fixture
def scenario(role: UserRole) -> Scenario:
    """Return a home with two chargers."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=25,
                chargers=(
                    ChargerScenario(serial="ZAP000101", name="Garage"),
                    ChargerScenario(serial="ZAP000102", name="Guests"),
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="Someone@Example.com", password="x", roles={"Home": role}
            ),
        ),
    )


@pytest.fixture
def entry(hass: HomeAssistant, sim: Simulator, charger: Charger) -> MockConfigEntry:
    """Return an entry with devices and entities as custom-components/zaptec leaves them."""
    entry = add_incumbents_entry(
        hass,
        prefix="Zap",
        manual_select=True,
        chargers=[charger.id.upper()],
        scan_interval=60,
    )
    register(hass, entry, charger, "0.8.7")
    registry = er.async_get(hass)
    registry.async_update_entity(
        "sensor.zap_garage_charge_power", name="What the car draws"
    )
    registry.async_update_entity(
        "sensor.zap_garage_charger_mode", new_entity_id="sensor.laderen"
    )
    return entry


@pytest.fixture
async def recorded(
    hass: HomeAssistant, entry: MockConfigEntry, charger: Charger
) -> None:
    """Record the history of custom-components/zaptec: a car that has been charging for an hour."""
    hour = dt_util.utcnow().replace(minute=0, second=0, microsecond=0)
    for entity_id, energy in ENERGIES.items():
        async_import_statistics(
            hass,
            StatisticMetaData(
                mean_type=StatisticMeanType.NONE,
                has_sum=True,
                name=None,
                source="recorder",
                statistic_id=entity_id,
                unit_class=EnergyConverter.UNIT_CLASS,
                unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
            ),
            [
                StatisticData(
                    start=hour - timedelta(hours=hours),
                    state=energy - hours / 10,
                    sum=100 + energy - hours / 10,
                )
                for hours in (3, 2, 1)
            ],
        )
        hass.states.async_set(
            entity_id,
            str(energy),
            {
                "state_class": "total_increasing",
                "device_class": "energy",
                "unit_of_measurement": UnitOfEnergy.KILO_WATT_HOUR,
            },
        )
    hass.states.async_set("sensor.laderen", "connected_charging")
    await async_recorder_block_till_done(hass)
    start = _five_minutes(dt_util.utcnow()) - timedelta(minutes=5)
    await hass.async_add_executor_job(_record_short_term, hass, start)
    await async_wait_recording_done(hass)
    for entity_id in (*ENERGIES, "sensor.laderen"):
        hass.states.async_remove(entity_id)


def _five_minutes(moment: datetime) -> datetime:
    """Return the start of the five minutes of a moment."""
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


def _record_short_term(hass: HomeAssistant, start: datetime) -> None:
    """Add the values of custom-components/zaptec to the short-term statistics."""
    instance = get_instance(hass)
    with session_scope(hass=hass) as session:
        for entity_id, energy in ENERGIES.items():
            metadata_id = instance.statistics_meta_manager.get(session, entity_id)
            assert metadata_id
            session.add(
                StatisticsShortTerm.from_stats(
                    metadata_id[0],
                    StatisticData(start=start, state=energy, sum=100 + energy),
                    dt_util.utcnow().timestamp(),
                )
            )


def entities(
    hass: HomeAssistant, entry: MockConfigEntry
) -> dict[str, er.RegistryEntry]:
    """Return the entities of an entry, by their permanent identifiers."""
    return {
        f"{item.domain} {item.unique_id}": item
        for item in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
    }


def left_behind(hass: HomeAssistant, entry: MockConfigEntry) -> tuple[Any, ...]:
    """Return everything that is stored of an entry, except its times."""
    return (
        {
            key: {**item.extended_dict, "modified_at": None}
            for key, item in entities(hass, entry).items()
        },
        entry.as_dict(),
        dict(ir.async_get(hass).issues),
    )


async def sums(hass: HomeAssistant) -> dict[str, list[float]]:
    """Return the sums of the energy statistics, oldest first."""
    found = await get_instance(hass).async_add_executor_job(
        statistics_during_period,
        hass,
        datetime(2020, 1, 1, tzinfo=UTC),
        None,
        set(ENERGIES),
        "5minute",
        None,
        {"sum"},
    )
    return {
        entity_id: [row["sum"] or 0.0 for row in rows]
        for entity_id, rows in found.items()
    }


async def test_the_incumbent_makes_41_entities(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The registry that the other tests start from has as many entities as were measured."""
    assert len(entities(hass, entry)) == 41


async def test_ids_names_and_devices_are_kept(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """Every entity that this integration still provides keeps its id, name and device."""
    before = entities(hass, entry)
    data = dict(entry.data)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    after = entities(hass, entry)
    kept = {
        key: item for key, item in before.items() if item.entity_id not in NOT_OFFERED
    }
    assert len(kept) == 38
    for key, item in kept.items():
        assert after[key].id == item.id
        assert after[key].entity_id == item.entity_id
        assert after[key].name == item.name
        assert after[key].device_id == item.device_id
        assert after[key].disabled_by is None
        name = item.original_name or ""
        assert after[key].original_name == RENAMED.get((item.domain, name), name)

    # For the way back, the entry must still have the data and version that the other knows.
    assert entry.version == 1
    assert dict(entry.data) == data
    assert entry.title == "Zaptec"
    assert entry.unique_id == "someone@example.com"

    # New entities have the prefix in their entity id, too.
    assert hass.states.get("binary_sensor.zap_garage_car_connected")
    assert hass.states.get("sensor.laderen")


async def test_all_kept_entities_are_provided(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """All kept entities are provided, so none stays in the registry without an entity."""
    charger.plug_in(Car())
    sim.clock.advance(60)
    charger.unplug()
    sim.clock.advance(60)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    assert [
        item.entity_id
        for item in entities(hass, entry).values()
        if not item.disabled
        and item.entity_id not in NOT_OFFERED
        and (
            (state := hass.states.get(item.entity_id)) is None
            or state.attributes.get("restored")
        )
    ] == []


async def test_only_the_chosen_chargers_are_included(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """The chosen chargers become an option, which the user can change."""
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert entry.options["chargers"] == [charger.id]
    assert set(entry.runtime_data.coordinator.data.chargers) == {charger.id}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"manual_select": False, "chargers": ["1"]},
        {"manual_select": True},
        {"manual_select": True, "chargers": None},
        {"manual_select": True, "chargers": [None, 5, " "]},
        {"manual_select": True, "chargers": "abc", "prefix": None},
    ],
)
async def test_an_entry_without_a_choice(
    hass: HomeAssistant, sim: Simulator, data: dict[str, Any]
) -> None:
    """An entry without chosen chargers includes all of them, without a prefix."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id="someone@example.com",
        version=1,
        minor_version=1,
        data={CONF_USERNAME: "Someone@Example.com", CONF_PASSWORD: PASSWORD, **data},
    )
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert entry.options == {}
    assert set(entry.runtime_data.coordinator.data.chargers) == set(sim.chargers)
    assert hass.states.get("switch.guests_charging")
    assert not ir.async_get(hass).issues


async def test_an_entry_of_a_version_to_come(
    hass: HomeAssistant, sim: Simulator
) -> None:
    """An entry of a newer version is not migrated."""
    entry = MockConfigEntry(domain=DOMAIN, version=2)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.MIGRATION_ERROR


def notes(hass: HomeAssistant) -> dict[str, set[str]]:
    """Return the ids of the entities that each issue names, by its translation key."""
    found: dict[str, set[str]] = {}
    for issue in ir.async_get(hass).issues.values():
        named = (issue.translation_placeholders or {}).get("entities")
        if named is None:
            continue
        lines = named.splitlines()
        found[str(issue.translation_key)] = {
            line.removeprefix("- ").strip("`") for line in lines
        }
    return found


async def open_dialog(
    hass: HomeAssistant, translation_key: str
) -> tuple[RepairsFlowResult, RepairsFlowManager]:
    """Start the repair flow of an issue."""
    assert await async_setup_component(hass, REPAIRS, {})
    manager = repairs_flow_manager(hass)
    assert manager
    (issue,) = (
        item
        for item in ir.async_get(hass).issues.values()
        if item.translation_key == translation_key
    )
    flow = await manager.async_init(DOMAIN, data={"issue_id": issue.issue_id})
    assert flow["step_id"] == "confirm"
    assert flow["description_placeholders"] == issue.translation_placeholders
    return flow, manager


async def confirm(hass: HomeAssistant, translation_key: str) -> None:
    """Confirm the repair flow of an issue."""
    flow, manager = await open_dialog(hass, translation_key)
    result = await manager.async_configure(flow["flow_id"], {})
    assert result["type"] == FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


def ids(hass: HomeAssistant, entry: MockConfigEntry) -> set[str]:
    """Return the ids of all entities of an entry."""
    return {item.entity_id for item in entities(hass, entry).values()}


async def test_what_goes_stays_until_it_is_confirmed(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    hass_client: Callable[..., Any],
) -> None:
    """Entities that are no longer provided are named in an issue, and stay until confirmed."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert notes(hass) == {"entities_removed": NOT_OFFERED}
    assert ids(hass, entry) >= NOT_OFFERED

    assert await async_setup_component(hass, REPAIRS, {})
    client = await hass_client()
    response = await client.post(
        "/api/repairs/issues/fix",
        json={"handler": DOMAIN, "issue_id": f"entities_removed_{entry.entry_id}"},
    )
    flow = await response.json()
    assert flow["step_id"] == "confirm"
    assert ids(hass, entry) >= NOT_OFFERED
    response = await client.post(f"/api/repairs/issues/fix/{flow['flow_id']}", json={})
    assert (await response.json())["type"] == FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert not ids(hass, entry) & NOT_OFFERED
    assert not ir.async_get(hass).issues
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert not ir.async_get(hass).issues


@pytest.mark.parametrize(
    ("domain", "key", "action"),
    [
        ("switch", "permanent_cable_lock", {"type": "turn_on"}),
        ("button", "authorize_charge", {"type": "press"}),
        ("number", "hmi_brightness", {"type": "set_value", "value": 50}),
    ],
)
async def test_an_automation_with_a_device_action_on_what_goes(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    domain: str,
    key: str,
    action: dict[str, Any],
) -> None:
    """An automation with a device action of such an entity still runs its other steps."""
    entity = entities(hass, entry)[f"{domain} {charger.id}_{key}"]
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert await async_setup_component(hass, domain, {})
    assert await async_setup_component(
        hass,
        "automation",
        {
            "automation": {
                "alias": "Evening",
                "triggers": {"trigger": "event", "event_type": "evening"},
                "actions": [
                    {"event": "first_step"},
                    {
                        "device_id": entity.device_id,
                        "domain": domain,
                        "entity_id": entity.id,
                        **action,
                    },
                ],
            }
        },
    )
    await hass.async_block_till_done()
    steps = async_capture_events(hass, "first_step")
    hass.bus.async_fire("evening")
    await hass.async_block_till_done()
    assert len(steps) == 1


async def test_an_entity_that_the_user_removes(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An entity that the user removes is no longer named; the issue goes with the last one."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    left = set(NOT_OFFERED)
    for entity_id in sorted(NOT_OFFERED):
        er.async_get(hass).async_remove(entity_id)
        left.remove(entity_id)
        await entry.runtime_data.coordinator.async_refresh()
        await hass.async_block_till_done()
        assert notes(hass) == ({"entities_removed": left} if left else {})


async def test_the_note_goes_on_the_way_back(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    """On the way back the issue goes, because custom-components/zaptec provides the entities."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    (issue,) = ir.async_get(hass).issues.values()
    assert not issue.is_persistent
    ir.async_ignore_issue(hass, DOMAIN, issue.issue_id, True)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    (issue,) = ir.async_get(hass).issues.values()
    assert issue.dismissed_version


async def test_the_note_of_an_earlier_version(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An issue of an earlier version, which restarts kept, goes if its entities are gone."""
    for entity_id in NOT_OFFERED:
        er.async_get(hass).async_remove(entity_id)
    ir.async_create_issue(
        hass,
        DOMAIN,
        f"entities_removed_{entry.entry_id}",
        is_fixable=True,
        is_persistent=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key="entities_removed",
        translation_placeholders={"entities": "- `switch.zap_garage_x`"},
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert not ir.async_get(hass).issues


@pytest.mark.parametrize("role", [UserRole.USER])
async def test_controls_come_back_with_the_role(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """When the role returns, its controls return, and the issue goes."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert set(notes(hass)) == {"entities_removed", "controls_removed"}
    account = next(iter(sim.accounts.values()))
    account.roles.update(dict.fromkeys(account.roles, OWNER))
    await entry.runtime_data.coordinator.async_refresh()
    await hass.async_block_till_done()
    assert notes(hass) == {"entities_removed": NOT_OFFERED}
    await confirm(hass, "entities_removed")
    await wait_until(lambda: hass.states.get("switch.zap_garage_charging") is not None)
    state = hass.states.get("switch.zap_garage_charging")
    assert state
    assert not state.attributes.get("restored")


@pytest.mark.parametrize("role", [UserRole.USER])
async def test_a_dialog_that_is_confirmed_too_late(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Confirming an outdated flow does not remove entities that the issue no longer names."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    flow, manager = await open_dialog(hass, "controls_removed")
    account = next(iter(sim.accounts.values()))
    account.roles.update(dict.fromkeys(account.roles, OWNER))
    await entry.runtime_data.coordinator.async_refresh()
    await hass.async_block_till_done()
    await manager.async_configure(flow["flow_id"], {})
    await hass.async_block_till_done()
    await wait_until(lambda: hass.states.get("switch.zap_garage_charging") is not None)


@pytest.mark.parametrize("key", ["entities_removed", "controls_removed"])
@pytest.mark.parametrize(
    "path", sorted(TRANSLATIONS.glob("*.json")), ids=attrgetter("stem")
)
def test_what_to_do_stands_above_the_list(path: Path, key: str) -> None:
    """A long list would move it out of the dialog."""
    issue = json.loads(path.read_text("utf-8"))["issues"][key]
    description = issue["fix_flow"]["step"]["confirm"]["description"]
    what_to_do, entities = description.split("\n\n")[-2:]
    assert entities == "{entities}"
    # The list is introduced by what happens to it.
    assert what_to_do.endswith(":")


async def test_the_note_goes_with_the_account(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """The issue is deleted with the account."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await hass.config_entries.async_remove(entry.entry_id)
    assert not ir.async_get(hass).issues


async def test_a_second_start_changes_nothing(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """A second start changes nothing, and neither does a third after a try of the other."""
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    first = left_behind(hass, entry)
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_live(hass, entry)
    await hass.async_block_till_done()
    assert left_behind(hass, entry) == first


@pytest.mark.parametrize("role", [UserRole.USER])
async def test_controls_that_the_role_does_not_allow_go(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """Controls that the role does not allow are removed, because they could only fail."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    named = notes(hass)
    assert named["entities_removed"] == NOT_OFFERED
    assert named["controls_removed"] >= {
        "switch.zap_garage_charging",
        "number.zap_home_available_current",
    }
    for key in named:
        await confirm(hass, key)
    assert {item.domain for item in entities(hass, entry).values()} == {
        "binary_sensor",
        "event",
        "sensor",
        "update",
    }
    assert not ir.async_get(hass).issues


async def test_all_that_needs_a_role_goes_with_it(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """If a role is withdrawn, all entities that need it are removed."""

    def left_over() -> list[str]:
        """Return the registered entities that have no state."""
        return [
            item.entity_id
            for item in entities(hass, entry).values()
            if not item.disabled
            and (
                not (state := hass.states.get(item.entity_id))
                or ATTR_RESTORED in state.attributes
            )
        ]

    await hass.config_entries.async_setup(entry.entry_id)
    # This sensor appears only after a session has ended.
    nothing_yet = ["sensor.zap_garage_completed_session_energy"]
    await wait_until(lambda: set(left_over()) == {*nothing_yet, *NOT_OFFERED})
    account = next(iter(sim.accounts.values()))
    account.roles.update(dict.fromkeys(account.roles, UserRole.USER))
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    for key in notes(hass):
        await confirm(hass, key)
    await wait_until(lambda: left_over() == nothing_yet, left_over)


async def test_an_owner_is_not_advised_to_ask_for_a_role(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An owner's issue does not advise to ask for a role; the two issues have different texts."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    (issue,) = ir.async_get(hass).issues.values()
    texts = await async_get_translations(hass, "en", "issues", {DOMAIN})
    path = f"component.{DOMAIN}.issues.{issue.translation_key}.fix_flow.step.confirm"
    text = texts[f"{path}.description"].format(**issue.translation_placeholders or {})
    assert "switch.zap_garage_permanent_cable_lock" in text
    assert "role" not in text


def old_entity(
    hass: HomeAssistant, entry: MockConfigEntry, platform: str, unique_id: str
) -> er.RegistryEntry:
    """Register an entity like a version before 0.8 did, and give it a name."""
    registry = er.async_get(hass)
    entity = registry.async_get_or_create(
        platform,
        DOMAIN,
        unique_id,
        config_entry=entry,
        object_id_base="old",
        translation_key=unique_id.partition("_")[2],
    )
    return registry.async_update_entity(
        entity.entity_id, name="Mine", new_entity_id=f"{platform}.mine"
    )


@pytest.mark.parametrize(
    ("platform", "old_key", "key"),
    [
        ("sensor", "operating_mode", "charger_operation_mode"),
        ("switch", "operating_mode", "charger_operation_mode"),
        (
            "binary_sensor",
            "is_authorization_required",
            "authentication_required",
        ),
    ],
)
async def test_old_keys_of_a_charger(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    platform: str,
    old_key: str,
    key: str,
) -> None:
    """Entities with old keys get the new unique id instead of a duplicate."""
    entry = add_incumbents_entry(hass)
    old = old_entity(hass, entry, platform, f"{charger.id}_{old_key}")
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    new = entities(hass, entry)[f"{platform} {charger.id}_{key}"]
    assert (new.id, new.entity_id, new.name) == (old.id, f"{platform}.mine", "Mine")
    assert hass.states.get(f"{platform}.mine")
    assert not ir.async_get(hass).issues


async def test_an_old_key_of_an_installation(
    hass: HomeAssistant, sim: Simulator, charger: Charger
) -> None:
    """An old key of an installation is replaced by the installation's own new key."""
    entry = add_incumbents_entry(hass)
    home = charger.installation.id
    old = old_entity(hass, entry, "binary_sensor", f"{home}_is_authorization_required")
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    new = entities(hass, entry)[f"binary_sensor {home}_is_required_authentication"]
    assert new.id == old.id


def invisible_entity(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    model: str | None,
    platform: str,
    old_key: str,
) -> tuple[str, er.RegistryEntry]:
    """Register an old entity of a device that is in no list; return the device's id."""
    device_id = str(uuid4())
    device = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={(DOMAIN, device_id)},
        manufacturer="Zaptec",
        model=model,
        name="Away",
    )
    old = old_entity(hass, entry, platform, f"{device_id}_{old_key}")
    er.async_get(hass).async_update_entity(old.entity_id, device_id=device.id)
    return device_id, old


@pytest.mark.parametrize(
    ("model", "platform", "old_key", "key"),
    [
        (
            "Zaptec Installation",
            "binary_sensor",
            "is_authorization_required",
            "is_required_authentication",
        ),
        (
            "Zaptec Go2",
            "binary_sensor",
            "is_authorization_required",
            "authentication_required",
        ),
        ("Zaptec Pro", "switch", "operating_mode", "charger_operation_mode"),
        # It may be either, and a wrong key would stay.
        (
            None,
            "binary_sensor",
            "is_authorization_required",
            "is_authorization_required",
        ),
        # Only a charger has had this key.
        (None, "switch", "operating_mode", "charger_operation_mode"),
        # No version had an entity with this key for it.
        ("Zaptec Installation", "switch", "operating_mode", "operating_mode"),
    ],
)
async def test_an_old_key_of_a_device_that_is_in_no_list(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    model: str | None,
    platform: str,
    old_key: str,
    key: str,
) -> None:
    """An installation that the cloud leaves out for an hour is no charger."""
    entry = add_incumbents_entry(hass)
    device_id, old = invisible_entity(hass, entry, model, platform, old_key)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    found = er.async_get(hass).async_get(f"{platform}.mine")
    assert found
    assert found.id == old.id
    assert found.unique_id == f"{device_id}_{key}"
    # It is not named as one that is no longer offered either.
    assert notes(hass) == {}


async def test_an_old_key_of_an_installation_that_is_not_chosen(
    hass: HomeAssistant, sim: Simulator, charger: Charger
) -> None:
    """The account sees it, although none of its chargers is included."""
    entry = add_incumbents_entry(hass, manual_select=True, chargers=[str(uuid4())])
    home = charger.installation.id
    old = old_entity(hass, entry, "binary_sensor", f"{home}_is_authorization_required")
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    new = entities(hass, entry)[f"binary_sensor {home}_is_required_authentication"]
    assert new.id == old.id


async def test_an_old_key_beside_the_new_one(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
) -> None:
    """If old and new key both exist, the new one is kept, and the issue names the old one."""
    entry = add_incumbents_entry(hass)
    old_entity(hass, entry, "sensor", f"{charger.id}_operating_mode")
    new = er.async_get(hass).async_get_or_create(
        "sensor",
        DOMAIN,
        f"{charger.id}_charger_operation_mode",
        config_entry=entry,
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    kept = entities(hass, entry)[f"sensor {charger.id}_charger_operation_mode"]
    assert kept.id == new.id
    assert notes(hass) == {"entities_removed": {"sensor.mine"}}
    await confirm(hass, "entities_removed")
    assert "sensor.mine" not in ids(hass, entry)


async def test_many_entities_are_checked_in_one_pass(
    hass: HomeAssistant, entry: MockConfigEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The circuits are collected once, however many entities and chargers there are."""
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    collect = vars(Account)["circuit_ids"].fget
    collected = 0

    def count(account: Account) -> set[str]:
        nonlocal collected
        collected += 1
        found: set[str] = collect(account)
        return found

    monkeypatch.setattr(Account, "circuit_ids", property(count))
    entry.runtime_data.coordinator.async_update_listeners()
    assert len(entities(hass, entry)) > 30
    assert collected == 2


async def test_circuits_and_locks_are_named(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    time_machine: TimeMachine,
) -> None:
    """Circuits and locks are named in the issue, and stay with their device until confirmed."""
    entry = add_incumbents_entry(hass)
    register(hass, entry, charger, "0.7.4")
    before = entities(hass, entry)
    circuit = before[f"binary_sensor {charger.circuit.id}"]
    gone = {
        item.entity_id
        for key, item in before.items()
        if charger.circuit.id in key
        or key.endswith(("_authorize_charge", "_hmi_brightness"))
        or item.domain == "lock"
    }
    assert len(gone) == 5
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await time_machine.travel(3 * 3600, step=600)
    assert notes(hass) == {"entities_removed": gone}
    assert ids(hass, entry) >= gone
    await confirm(hass, "entities_removed")
    assert not ids(hass, entry) & gone
    assert circuit.device_id
    assert not dr.async_get(hass).async_get(circuit.device_id)


def chosen_there(
    hass: HomeAssistant, entry: MockConfigEntry, chargers: list[Charger]
) -> None:
    """Choose chargers as the reconfiguration of custom-components/zaptec does; none means all."""
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            "manual_select": bool(chargers),
            "chargers": [item.id for item in chargers],
        },
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [([0], [1]), ([0], [0, 1]), ([0], []), ([], [1]), ([0, 1], [0])],
)
async def test_another_choice_made_by_the_incumbent(
    hass: HomeAssistant, sim: Simulator, first: list[int], second: list[int]
) -> None:
    """A new choice made with custom-components/zaptec replaces one made here."""
    chargers = list(sim.chargers.values())
    entry = add_incumbents_entry(hass)
    for choice in (first, second, first):
        chosen = [chargers[index] for index in choice]
        chosen_there(hass, entry, chosen)
        await hass.config_entries.async_setup(entry.entry_id)
        await wait_until_live(hass, entry)
        assert set(entry.runtime_data.coordinator.data.chargers) == {
            item.id for item in chosen or chargers
        }
        assert await hass.config_entries.async_unload(entry.entry_id)
        for item in chosen or chargers:
            register(hass, entry, item, "0.8.7")


@pytest.mark.parametrize("here", [[1], [0, 1], None])
async def test_a_choice_made_here_outlives_the_way_back(
    hass: HomeAssistant, sim: Simulator, here: list[int] | None
) -> None:
    """A choice made here is kept on the way back and forward, if the data are unchanged."""
    chargers = list(sim.chargers.values())
    entry = add_incumbents_entry(hass)
    chosen_there(hass, entry, chargers[:1])
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    result = await open_options(hass, entry)
    await hass.config_entries.options.async_configure(
        result["flow_id"],
        {
            "all_chargers": here is None,
            "chargers": [chargers[index].id for index in here or [0]],
        },
    )
    await hass.async_block_till_done()
    expected = {chargers[index].id for index in (here or [0, 1])}
    assert set(entry.runtime_data.coordinator.data.chargers) == expected
    await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_live(hass, entry)
    assert set(entry.runtime_data.coordinator.data.chargers) == expected


async def test_a_choice_that_an_earlier_version_took_over(
    hass: HomeAssistant, sim: Simulator
) -> None:
    """A choice that an earlier version migrated does not replace a later one made here."""
    chargers = list(sim.chargers.values())
    entry = add_incumbents_entry(hass)
    chosen_there(hass, entry, chargers[:1])
    hass.config_entries.async_update_entry(
        entry, minor_version=2, options={"chargers": [chargers[1].id]}
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert set(entry.runtime_data.coordinator.data.chargers) == {chargers[1].id}
    assert await hass.config_entries.async_unload(entry.entry_id)
    chosen_there(hass, entry, chargers)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert set(entry.runtime_data.coordinator.data.chargers) == {
        item.id for item in chargers
    }


async def test_two_accounts_have_two_titles(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Entries that share a title get different ones; a title given by the user is kept."""
    second = add_incumbents_entry(hass, "second@example.com")
    third = add_incumbents_entry(hass, "third@example.com")
    named = add_incumbents_entry(hass, "fourth@example.com")
    hass.config_entries.async_update_entry(named, title="Cabin")
    for _ in range(2):
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        assert [item.title for item in (entry, second, third, named)] == [
            "Zaptec",
            "Zaptec 2",
            "Zaptec 3",
            "Cabin",
        ]
        await hass.config_entries.async_unload(entry.entry_id)


async def test_numbers_are_shown_as_the_incumbents_are(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Numbers keep the automatic mode, with which Home Assistant shows a current as a slider."""
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    numbers = hass.states.async_all("number")
    assert {state.attributes.get("mode") for state in numbers} <= {"auto", None}
    assert any(state.attributes.get("mode") for state in numbers)


@pytest.mark.usefixtures("recorded")
async def test_history_and_statistics_go_on(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """Statistics continue without energy lost or counted twice, although the car charged meanwhile."""
    before = await sums(hass)
    assert before == {key: [100 + energy] for key, energy in ENERGIES.items()}

    # The session had begun, and the previous one had ended, before the switch-over.
    earlier = dt_util.utcnow() - timedelta(minutes=30)
    for state_id, value, moment in (
        (StateId.OPERATION_MODE, "3", earlier),
        (StateId.SESSION_IDENTIFIER, "8d845c4a-7331-47c5-b308-f64f942ad17a", earlier),
        (StateId.SESSION_ENERGY, "0.750", dt_util.utcnow()),
        (
            StateId.COMPLETED_SESSION,
            '{"Energy":12.25,"StartDateTime":"2026-11-20T10:00:00Z"}',
            earlier,
        ),
    ):
        charger.observations[state_id] = StoredObservation(moment, value)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await hass.async_block_till_done()
    await async_wait_recording_done(hass)
    do_adhoc_statistics(hass, start=_five_minutes(dt_util.utcnow()))
    await async_wait_recording_done(hass)

    state = hass.states.get("sensor.zap_garage_session_total_charge")
    assert state
    assert state.state == "0.75"
    after = await sums(hass)
    assert {key: rows[:1] for key, rows in after.items()} == before
    assert after["sensor.zap_garage_session_total_charge"][-1] == pytest.approx(100.75)
    assert after["sensor.zap_garage_completed_session_energy"][-1] == pytest.approx(
        112.25
    )
    # The meter was last read before the session that has ended, and 0.75 kWh were drawn
    # since.
    assert after["sensor.zap_garage_energy_meter"][-1] == pytest.approx(
        100 + charger.reported_meter + 0.75, abs=0.0021
    )
    assert not [
        issue
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == "sensor"
    ]
    history = await get_instance(hass).async_add_executor_job(
        state_changes_during_period,
        hass,
        dt_util.utcnow() - timedelta(hours=1),
        None,
        "sensor.laderen",
    )
    assert history["sensor.laderen"][0].state == "connected_charging"
