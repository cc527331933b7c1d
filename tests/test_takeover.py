"""The switch-over from custom-components/zaptec, with all that hangs on its entities."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

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
from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, UnitOfEnergy
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_recorder_block_till_done,
    async_wait_recording_done,
    do_adhoc_statistics,
)

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger, StoredObservation
from simulator.observations import StateId
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator
from simulator.world import UserRole

from .conftest import PASSWORD, wait_until, wait_until_live
from .incumbent import add_incumbents_entry, register

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


@pytest.fixture(autouse=True)
def _custom_integrations(recorder_mock: Recorder, request: Any) -> None:
    """Record from the start, and let Home Assistant load the integration."""
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
    """Return an entry, its devices and entities, as the incumbent leaves them."""
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
    """Record what the incumbent has seen: an hour ago, a car that still charges."""
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
    """Put what the incumbent showed into the short-term statistics."""
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
    """Return the entities of an entry, by what identifies them for ever."""
    return {
        f"{item.domain} {item.unique_id}": item
        for item in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
    }


def left_behind(hass: HomeAssistant, entry: MockConfigEntry) -> tuple[Any, ...]:
    """Return all that is stored of an entry, but for when."""
    return (
        {
            key: {**item.extended_dict, "modified_at": None}
            for key, item in entities(hass, entry).items()
        },
        entry.as_dict(),
        dict(ir.async_get(hass).issues),
    )


async def sums(hass: HomeAssistant) -> dict[str, list[float]]:
    """Return the sums of the energies' statistics, the oldest first."""
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
    """What the other tests begin with is what was measured."""
    assert len(entities(hass, entry)) == 41


async def test_ids_names_and_devices_are_kept(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """Every entity that is still offered is the same one afterwards."""
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
        assert after[key].original_name == item.original_name
    assert not NOT_OFFERED & {item.entity_id for item in after.values()}

    # The way back: its own entry, untouched, of the version that it knows.
    assert entry.version == 1
    assert dict(entry.data) == data
    assert entry.title == "Zaptec"
    assert entry.unique_id == "someone@example.com"

    # New entities have the prefix in their id, too.
    assert hass.states.get("binary_sensor.zap_garage_car_connected")
    assert hass.states.get("sensor.laderen")


async def test_all_kept_entities_are_provided(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """None stays behind as an empty shell."""
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
        and (
            (state := hass.states.get(item.entity_id)) is None
            or state.attributes.get("restored")
        )
    ] == []


async def test_only_the_chosen_chargers_are_included(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """The choice is an option now, which can be changed."""
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert entry.options == {"chargers": [charger.id]}
    assert set(entry.runtime_data.data.chargers) == {charger.id}


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
    """All chargers are included, without a prefix."""
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
    assert set(entry.runtime_data.data.chargers) == set(sim.chargers)
    assert hass.states.get("switch.guests_charging")
    assert not ir.async_get(hass).issues


async def test_an_entry_of_a_version_to_come(
    hass: HomeAssistant, sim: Simulator
) -> None:
    """It is left alone."""
    entry = MockConfigEntry(domain=DOMAIN, version=2)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.MIGRATION_ERROR


async def test_a_note_names_what_was_removed(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    hass_client: Callable[..., Any],
) -> None:
    """A person reads it and takes note."""
    assert await async_setup_component(hass, REPAIRS, {})
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    (issue,) = ir.async_get(hass).issues.values()
    assert issue.is_persistent
    assert issue.translation_key == "entities_removed"
    assert issue.translation_placeholders
    named = issue.translation_placeholders["entities"]
    assert {line.removeprefix("- ").strip("`") for line in named.splitlines()} == (
        NOT_OFFERED
    )

    client = await hass_client()
    response = await client.post(
        "/api/repairs/issues/fix",
        json={"handler": issue.domain, "issue_id": issue.issue_id},
    )
    flow = await response.json()
    assert flow["step_id"] == "confirm"
    response = await client.post(f"/api/repairs/issues/fix/{flow['flow_id']}", json={})
    assert (await response.json())["type"] == FlowResultType.CREATE_ENTRY
    assert not ir.async_get(hass).issues


async def test_a_later_note_keeps_the_names_of_the_first(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Nobody has taken note of them yet."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    account = next(iter(sim.accounts.values()))
    account.roles.update(dict.fromkeys(account.roles, UserRole.USER))
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    (issue,) = ir.async_get(hass).issues.values()
    assert issue.translation_placeholders
    named = issue.translation_placeholders["entities"]
    assert "switch.zap_garage_permanent_cable_lock" in named
    assert "switch.zap_garage_charging" in named


async def test_the_note_goes_with_the_account(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Nothing is left behind."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await hass.config_entries.async_remove(entry.entry_id)
    assert not ir.async_get(hass).issues


async def test_a_second_start_changes_nothing(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Nor does a third, which would be one after the incumbent was tried again."""
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
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """The incumbent offers them to everybody; they can only fail."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert {item.domain for item in entities(hass, entry).values()} == {
        "binary_sensor",
        "sensor",
        "update",
    }
    (issue,) = ir.async_get(hass).issues.values()
    assert issue.translation_placeholders
    assert "switch.zap_garage_charging" in issue.translation_placeholders["entities"]
    assert (
        "number.zap_home_available_current"
        in (issue.translation_placeholders["entities"])
    )


@pytest.mark.usefixtures("recorded")
async def test_history_and_statistics_go_on(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entry: MockConfigEntry
) -> None:
    """Not a kWh is counted twice, nor lost, although the car charged meanwhile."""
    before = await sums(hass)
    assert before == {key: [100 + energy] for key, energy in ENERGIES.items()}

    # The session was there, and the one before it was over, when the incumbent went.
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
    assert after["sensor.zap_garage_energy_meter"][-1] == pytest.approx(
        100 + charger.reported_meter
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
