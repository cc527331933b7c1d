"""The energy sensors with a real recorder, whose sums must equal the cloud's energies."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
import json
import os
from random import Random
from typing import Any
from unittest.mock import AsyncMock

from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.sensor import ATTR_LAST_RESET
from homeassistant.const import (
    EVENT_STATE_CHANGED,
    EVENT_STATE_REPORTED,
    STATE_UNKNOWN,
    UnitOfEnergy,
)
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.restore_state import StoredState
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)

from custom_components.zaptec.const import CONF_PRICES, DOMAIN
from custom_components.zaptec.energy import RECORDED_STATES, _kwh, _last_recorded
from custom_components.zaptec.energy_store import EnergyStore
from custom_components.zaptec.history.prices import Period, Tariff
from simulator.car import Car
from simulator.charger import Charger
from simulator.scenario import OWNER, AccountScenario, InstallationScenario, Scenario
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, set_up, wait_until_live
from .home import mixed_chargers
from .restored import forget_restored_states, provide_restored_state

SESSION = "total_charge_power_session"
COMPLETED = "completed_session.Energy"
METER = "signed_meter_value_kwh"
COST = "session_cost"

A = "0d6f3c50-0000-4000-8000-00000000000a"
B = "0d6f3c50-0000-4000-8000-00000000000b"

# Number of chargers in a cloud, and of clouds with walks. ENERGY_HOUSES sets the latter.
CHARGERS = 10
HOUSES = int(os.environ.get("ENERGY_HOUSES", "4"))


# Period that the recorder compiles at a time.
PERIOD = timedelta(minutes=5)


@pytest.fixture(autouse=True)
def _custom_integrations(
    recorder_mock: Recorder, clocks: Any, request: pytest.FixtureRequest
) -> None:
    """Record from the start, and let Home Assistant load the integration."""
    request.getfixturevalue("enable_custom_integrations")


def _five_minutes(moment: datetime) -> datetime:
    """Return the start of the five minutes of a moment."""
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


class Statistics:
    """The recorder's sums of the sensors' states."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the statistics."""
        self._hass = hass
        self._compiled = _five_minutes(dt_util.utcnow())

    @property
    def seconds_left(self) -> float:
        """Return the remaining time of the current five minutes (s)."""
        now = dt_util.utcnow()
        return (_five_minutes(now) + PERIOD - now).total_seconds()

    async def compile(self) -> None:
        """Compile all five-minute periods that have ended, each once."""
        await async_wait_recording_done(self._hass)
        end = _five_minutes(dt_util.utcnow())
        while self._compiled < end:
            do_adhoc_statistics(self._hass, start=self._compiled)
            self._compiled += PERIOD
        await async_wait_recording_done(self._hass)

    async def sums(self, *entity_ids: str) -> dict[str, float]:
        """Return the current sums."""
        rows = await get_instance(self._hass).async_add_executor_job(
            statistics_during_period,
            self._hass,
            dt_util.utcnow() - timedelta(days=2),
            None,
            set(entity_ids),
            "5minute",
            None,
            {"sum"},
        )
        return {
            entity_id: (rows[entity_id][-1]["sum"] or 0.0) if entity_id in rows else 0.0
            for entity_id in entity_ids
        }


@pytest.fixture
def statistics(hass: HomeAssistant) -> Statistics:
    """Return the statistics."""
    return Statistics(hass)


def ocmf(*rows: dict[str, Any]) -> str:
    """Return a meter document in the form that chargers report."""
    return "OCMF|" + json.dumps({"RD": list(rows)})


def completed(identifier: str, energy: float, **more: str) -> str:
    """Return a completed session in the form that chargers report."""
    return json.dumps({"SessionId": identifier, "Energy": energy, **more})


type Step = tuple[int, object] | int | Callable[[], Any]


class Home:
    """One charger, with its reports and the recorder's sums of them."""

    def __init__(
        self,
        hass: HomeAssistant,
        charger: Charger,
        entry: MockConfigEntry,
        time_machine: TimeMachine,
        statistics: Statistics,
        entities: EntityFinder,
    ) -> None:
        """Initialize the home."""
        self.hass = hass
        self.charger = charger
        self.entry = entry
        self.time_machine = time_machine
        self.statistics = statistics
        self.entities = entities

    async def play(self, *steps: object) -> None:
        """Report observations one after another; a number lets seconds pass."""
        for step in steps:
            match step:
                case int():
                    await self.time_machine.travel(step)
                case "reload":
                    await self.hass.config_entries.async_reload(self.entry.entry_id)
                    await wait_until_live(self.hass, self.entry)
                case (int() as state_id, value):
                    self.charger.observe(state_id, value)
                    await self.time_machine.settle()

    async def sum(self, key: str) -> float:
        """Return the recorder's sum of an energy."""
        entity_id = self.entities.id("sensor", self.charger.id, key)
        # The state may have been written a moment after the time to which it was set.
        await self.time_machine.travel(PERIOD.total_seconds() + 10, step=60)
        await self.statistics.compile()
        return (await self.statistics.sums(entity_id))[entity_id]

    def state(self, key: str) -> str:
        """Return what a sensor shows."""
        return self.entities.state("sensor", self.charger.id, key)


@pytest.fixture
async def home(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
    statistics: Statistics,
    entities: EntityFinder,
) -> Home:
    """Return a home that is live."""
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    return Home(hass, charger, entry, time_machine, statistics, entities)


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        pytest.param(
            [(721, A), (553, 12.3)],
            [(553, 12.4), 15, (710, 1), (721, B), 1, (553, 0.0), (553, 0.5)],
            0.6,
            id="cable out and in",
        ),
        pytest.param(
            [(721, A), (553, 5.0)],
            [
                (710, 1),
                (721, None),
                (553, 0.0),
                60,
                (710, 3),
                (553, 0.5),
                90,
                (721, B),
                (553, 0.9),
            ],
            0.9,
            id="identifier late",
        ),
        pytest.param(
            [(721, A), (553, 5.0)],
            [(710, 1), (721, None), (553, 0.0), 60, (710, 3), (553, 0.5), (553, 0.9)],
            0.9,
            id="identifier lost",
        ),
        pytest.param(
            [(721, A), (553, 4.0)],
            [(-2, False), 9, (-2, True), (721, A), (553, 4.0), "reload", (553, 4.5)],
            0.5,
            id="charger restarts",
        ),
        pytest.param(
            [(721, A), (553, 5.2)],
            [60, (553, 0.0), 60, (553, 5.2), 60, (553, 5.3)],
            0.1,
            id="zero in mid-session",
        ),
        pytest.param(
            [(721, A), (553, 5.2)],
            [60, (553, 9917.125), "reload", 60, (553, 5.3)],
            0.1,
            id="absurd in mid-session",
        ),
    ],
)
async def test_what_a_session_adds(
    home: Home, before: list[object], after: list[object], more: float
) -> None:
    """Each session adds exactly what was charged to the sum."""
    await home.play((710, 3), *before)
    start = await home.sum(SESSION)
    await home.play(300, *after)
    assert await home.sum(SESSION) - start == pytest.approx(more)


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_the_first_session_of_a_new_sensor(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
    statistics: Statistics,
    entities: EntityFinder,
    is_loaded: bool,
) -> None:
    """All of the first session counts, although its first energy is above 0 already."""
    hass.config.currency = "EUR"
    tariff = Tariff((Period(0, 0.5),))
    hass.config_entries.async_update_entry(
        entry, options={CONF_PRICES: tariff.as_stored()}
    )
    charger.observe(553, None)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    home = Home(hass, charger, entry, time_machine, statistics, entities)
    if not is_loaded:
        assert await hass.config_entries.async_unload(entry.entry_id)
    await home.play(60, (710, 3), (721, A), 36, (553, 0.09))
    if not is_loaded:
        assert await hass.config_entries.async_setup(entry.entry_id)
        await wait_until_live(hass, entry)
    assert home.state(SESSION) == "0.09"
    await home.play(300, (553, 0.4))
    assert await home.sum(SESSION) == pytest.approx(0.4)
    assert float(home.state(COST)) == pytest.approx(0.2)
    assert await home.sum(COST) == pytest.approx(0.2)


@pytest.mark.parametrize(("minutes", "more"), [(10, 5.0), (-10, 0.0)])
async def test_the_first_session_that_a_charger_completes(
    home: Home, minutes: float, more: float
) -> None:
    """It counts if it began after the account was set up, also in the recorder's sums."""
    start = home.entry.created_at + timedelta(minutes=minutes)
    session = completed(A, 5.0, StartDateTime=start.isoformat())
    await home.play(1200, (723, session), 60)
    assert home.state(COMPLETED) == "5.0"
    assert await home.sum(COMPLETED) == pytest.approx(more)
    await home.play("reload")
    assert await home.sum(COMPLETED) == pytest.approx(more)


async def test_a_session_that_was_completed_before_the_sensor_was_added(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
    statistics: Statistics,
    entities: EntityFinder,
) -> None:
    """It is the baseline, as when a user enables the sensor long after the set-up."""
    await time_machine.travel(1200, step=60)
    start = entry.created_at + timedelta(minutes=10)
    charger.observe(723, completed(A, 5.0, StartDateTime=start.isoformat()))
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    home = Home(hass, charger, entry, time_machine, statistics, entities)
    assert home.state(COMPLETED) == "5.0"
    assert await home.sum(COMPLETED) == 0


async def test_an_identifier_that_is_empty_for_a_moment(home: Home) -> None:
    """An identifier that is empty for a moment does not change the session's energy."""
    await home.play((710, 3), (721, A), (553, 5.2), 300, (721, None))
    assert home.state(SESSION) == "5.2"
    await home.play((721, A))
    assert home.state(SESSION) == "5.2"


async def test_an_energy_is_written_once(hass: HomeAssistant, home: Home) -> None:
    """A new energy of the session is one write: a second one would only repeat its state."""
    await home.play((710, 3), (721, A), (553, 5.2), 60)
    written: list[str] = []
    entity_id = home.entities.id("sensor", home.charger.id, SESSION)

    @callback
    def note(event: Event[Any]) -> None:
        if event.data["entity_id"] == entity_id:
            written.append(event.event_type)

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    hass.bus.async_listen(
        EVENT_STATE_REPORTED, note, event_filter=callback(lambda _: True)
    )
    await home.play((553, 5.3))
    assert home.state(SESSION) == "5.3"
    assert written == [EVENT_STATE_CHANGED]


async def test_completed_sessions_in_one_burst(home: Home) -> None:
    """Completed sessions in one burst count once each, also without a start or after a reload."""
    await home.play((723, completed(B, 1.0)), 300)
    start = await home.sum(COMPLETED)
    for count, energy in enumerate((5.0, 7.0, 9.0)):
        home.charger.observe(723, completed(A[:-1] + str(count), energy))
    await home.play(300, "reload", 300, "reload")
    assert home.state(COMPLETED) == "9.0"
    assert await home.sum(COMPLETED) - start == pytest.approx(21.0)
    # A late session counts, too.
    newest = home.charger.observations[723]
    await home.play(
        (723, completed(B.replace("b", "d"), 2.0, EndDateTime="2026-11-20T10:00:00Z"))
    )
    home.charger.observations[723] = newest
    await home.play("reload")
    assert await home.sum(COMPLETED) - start == pytest.approx(23.0)


@pytest.mark.parametrize(
    ("readings", "shown"),
    [
        (
            [ocmf({"RV": 1234.8}), ocmf({"RV": 4296201.863}), ocmf({"RV": 1235.1})],
            "1235.1",
        ),
        ([ocmf({"RV": 1234.8, "ST": "G"}, {"RV": 1501.3, "ST": "E"})], "1234.8"),
        ([ocmf({"RV": 1234.8, "ST": "G"}, {"RV": 1501.3, "ST": "R"})], "1234.8"),
        ([ocmf({"RV": 1234.8, "ST": "G"}, {"RV": 1501.3, "EF": "E"})], "1234.8"),
        ([ocmf({"RV": 1234.8}), ocmf({"RV": 3.1}), ocmf({"RV": 1234.9})], "1234.9"),
    ],
)
async def test_a_meter_after_a_reload(
    home: Home, readings: list[str], shown: str
) -> None:
    """After a reload, an impossible meter reading is not kept."""
    for reading in readings:
        await home.play((554, reading), 60)
    assert home.state(METER) == shown
    await home.play("reload")
    assert home.state(METER) == shown


async def test_a_meter_that_is_exchanged(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """An exchanged meter is accepted after hours, as a reset, with one log line."""
    before = float(home.state(METER))
    home.charger.exchange_meter(3.25)
    await home.time_machine.travel(2.5 * 3600, step=300)
    assert float(home.state(METER)) == before
    await home.time_machine.travel(4 * 3600, step=300)
    assert float(home.state(METER)) == 3.25
    assert caplog.text.count("has been exchanged") == 1


@pytest.mark.parametrize(
    ("meanwhile", "more"),
    [
        # A Go 2 reports zero at the end, and nothing else shows that the session has ended.
        ([(553, 0.0), (721, None), (710, 1)], 9.0),
        ([(721, B), (553, 3.0)], 12.0),
        ([(553, 9.5)], 9.5),
        ([(553, 9.0)], 9.0),
    ],
)
async def test_a_power_cut(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: list[object],
    more: float,
) -> None:
    """After a power cut, energy recorded since the last store is not subtracted."""
    await home.play((710, 3), 60, (721, A), (553, 0.0), 2)
    start = await home.sum(SESSION)
    home.charger.observe(553, 9.0)
    # A link that is being opened again delivers the message some seconds later.
    await home.time_machine.travel_until(lambda: home.state(SESSION) == "9.0")
    await home.play(60)
    with monkeypatch.context() as patch:
        patch.setattr(EnergyStore, "async_save", AsyncMock())
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
        forget_restored_states(home.hass)
    await async_wait_recording_done(home.hass)
    await home.play(*meanwhile)
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until_live(home.hass, home.entry)
    assert await home.sum(SESSION) - start == pytest.approx(more)


async def test_a_meter_between_its_readings(home: Home) -> None:
    """The meter follows the energy of the session, also after a restart in mid-session."""
    home.charger.exchange_meter(1300.0)
    await home.play((554, ocmf({"RV": 1300.0})), (710, 3), (721, A), (553, 0.0), 60)
    start = await home.sum(METER)
    await home.play((553, 0.5))
    assert home.state(METER) == "1300.498"
    await home.play("reload")
    assert home.state(METER) == "1300.498"
    await home.play(60, (553, 0.9))
    assert home.state(METER) == "1300.898"
    await home.play((721, None), 60, (723, completed(A, 1.0)))
    assert home.state(METER) == "1300.998"
    await home.play((554, ocmf({"RV": 1301.0})))
    assert home.state(METER) == "1301.0"
    assert await home.sum(METER) - start == pytest.approx(1.0)


@pytest.mark.parametrize("unit", [UnitOfEnergy.KILO_WATT_HOUR, UnitOfEnergy.WATT_HOUR])
async def test_a_meter_after_a_power_cut(
    home: Home, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """After a power cut, the meter shows what was recorded last, and does not fall."""
    entity_id = home.entities.id("sensor", home.charger.id, METER)
    er.async_get(home.hass).async_update_entity_options(
        entity_id, "sensor", {"unit_of_measurement": unit}
    )
    factor = 1 if unit == UnitOfEnergy.KILO_WATT_HOUR else 1000

    def shown() -> float:
        return float(home.state(METER)) / factor

    home.charger.exchange_meter(1300.0)
    await home.play((554, ocmf({"RV": 1300.0})), (710, 3), (721, A), (553, 0.0), 2)
    start = await home.sum(METER)
    await home.play(3600, (553, 9.0), 60)
    assert shown() == pytest.approx(1308.998)
    with monkeypatch.context() as patch:
        patch.setattr(EnergyStore, "async_save", AsyncMock())
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
        forget_restored_states(home.hass)
    await async_wait_recording_done(home.hass)
    # The charger has restarted, and reports its energy later.
    await home.play((553, None))
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until_live(home.hass, home.entry)
    assert shown() == pytest.approx(1308.998)
    await home.play((553, 9.5))
    assert shown() == pytest.approx(1309.498)
    assert (await home.sum(METER) - start) / factor == pytest.approx(9.498)


async def test_a_meter_without_a_document_after_a_power_cut(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A meter whose document is lost continues from what was recorded."""
    home.charger.exchange_meter(1300.0)
    await home.play((554, ocmf({"RV": 1300.0})), (721, A), (553, 0.0), 60, (553, 0.5))
    monkeypatch.setattr(EnergyStore, "document", lambda *_: None)
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    forget_restored_states(home.hass)
    await async_wait_recording_done(home.hass)
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until_live(home.hass, home.entry)
    assert home.state(METER) == "1300.498"


async def test_hours_of_a_meter(home: Home) -> None:
    """The recorder's hours contain what was drawn in them, though the meter is read hourly."""
    entity_id = home.entities.id("sensor", home.charger.id, METER)
    # The first whole hour begins in 10 to 70 minutes.
    start = dt_util.utcnow() + timedelta(minutes=70)
    start = start.replace(minute=0, second=0, microsecond=0)
    home.charger.plug_in(Car(capacity_kwh=100))
    meters = []
    for hour in range(3):
        left = start + timedelta(hours=hour) - dt_util.utcnow()
        # The first message of the hour has its timestamp.
        await home.time_machine.travel(left.total_seconds() + 0.05, step=30)
        meters.append(home.charger.lifetime_energy)
    await home.time_machine.travel(600, step=60)
    await home.statistics.compile()
    rows = await get_instance(home.hass).async_add_executor_job(
        statistics_during_period,
        home.hass,
        start,
        None,
        {entity_id},
        "hour",
        None,
        {"change"},
    )
    changes = [row["change"] for row in rows[entity_id]][:2]
    drawn = [later - earlier for earlier, later in pairwise(meters)]
    assert sum(drawn) > 10
    wrong = sum(
        abs(change - energy) for change, energy in zip(changes, drawn, strict=True)
    )
    # A report is at most a minute old, and the clocks move by half a minute at a time. Over
    # a whole day the share is smaller, as the test of the meter alone shows.
    assert wrong / 2 / sum(drawn) < 90 / 3600 / 2


async def test_what_another_account_has_shown_meanwhile(home: Home) -> None:
    """A sensor continues from what another account has shown meanwhile, not from its own store."""
    await home.play((710, 3), 60, (721, A), (553, 0.0), (553, 9.0), 60)
    start = await home.sum(SESSION)
    entity_id = home.entities.id("sensor", home.charger.id, SESSION)
    state = home.hass.states.get(entity_id)
    assert state
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    reset = dt_util.utcnow().isoformat()
    await home.play((721, B), (553, 3.5), 60)
    home.hass.states.async_set(
        entity_id, "3.5", {**state.attributes, ATTR_LAST_RESET: reset}
    )
    shown = home.hass.states.get(entity_id)
    assert shown
    provide_restored_state(home.hass, StoredState(shown, None, dt_util.utcnow()))
    home.hass.states.async_remove(entity_id)
    await async_wait_recording_done(home.hass)
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until_live(home.hass, home.entry)
    await home.play((553, 4.0))
    assert await home.sum(SESSION) - start == pytest.approx(4.0)


async def test_the_last_of_many_recorded_numbers(
    hass: HomeAssistant, charger: Charger, entry: MockConfigEntry
) -> None:
    """The last recorded number is found among many recorded states."""
    entity_id = "sensor.many"
    for number in range(3 * RECORDED_STATES):
        hass.states.async_set(entity_id, str(number))
    for number in range(RECORDED_STATES // 2):
        hass.states.async_set(entity_id, ("unavailable", "unknown")[number % 2])
    await async_wait_recording_done(hass)
    state = await get_instance(hass).async_add_executor_job(
        _last_recorded, hass, entity_id
    )
    assert state
    assert state.state == str(3 * RECORDED_STATES - 1)


@pytest.mark.parametrize(
    ("state", "unit", "energy"),
    [
        ("5.5", "kWh", 5.5),
        ("5500", "Wh", 5.5),
        ("5.5", "km", None),
        ("5.5", None, None),
        ("unknown", "kWh", None),
    ],
)
def test_the_energy_of_a_state(
    state: str, unit: str | None, energy: float | None
) -> None:
    """An energy that was recorded is read in the unit in which it was shown."""
    recorded = State("sensor.meter", state, {"unit_of_measurement": unit})
    assert _kwh(recorded) == energy


async def test_a_meter_waits_for_its_first_reading(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    entity_registry: er.EntityRegistry,
) -> None:
    """A meter shows nothing before its first reading; after a power cut, its store is outdated."""
    charger.exchange_meter(1240.0)
    charger.observe(554, ocmf({"RV": 1240.0}))
    entity = entity_registry.async_get_or_create(
        "sensor", DOMAIN, f"{charger.id}_{METER}", config_entry=entry
    )
    mock_restore_cache_with_extra_data(
        hass,
        [
            (
                State(entity.entity_id, "1234.567"),
                {"native_value": 1234.567, "native_unit_of_measurement": "kWh"},
            )
        ],
    )
    shown: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] == entity.entity_id and event.data["new_state"]:
            shown.append(event.data["new_state"].state)

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert entities.state("sensor", charger.id, METER) == "1240.0"
    assert set(shown) <= {STATE_UNKNOWN, "1240.0"}


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """Return a cloud with one charger, or with as many as a walk needs."""
    count = CHARGERS if "seed" in request.fixturenames else 1
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=32.0 * CHARGERS,
                chargers=mixed_chargers(count),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="demo@example.com", password="x", roles={"Home": OWNER}
            ),
        ),
    )


def _disturb(charger: Charger, random: Random) -> None:
    """Let a charger report a wrong value, and then the right one."""
    present = {
        state_id: charger.observations[state_id].value
        for state_id in (553, 721)
        if state_id in charger.observations
    }
    match random.randrange(5):
        case 0:
            charger.observe(553, 0.0)
        case 1:
            charger.observe(553, random.choice((9917.125, 4296201.863)))
        case 2:
            charger.observe(721, None)
        case 3:
            charger.observe(554, ocmf({"RV": 4296201.863}))
    for state_id, value in present.items():
        charger.observe(state_id, value)


@pytest.mark.parametrize("seed", range(HOUSES))
async def test_walks(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
    statistics: Statistics,
    entities: EntityFinder,
    seed: int,
) -> None:
    """After random events, the sums of all chargers equal the simulator's energies."""
    random = Random(seed)
    shown: defaultdict[str, list[float]] = defaultdict(list)

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        with suppress(AttributeError, ValueError):
            energy = float(event.data["new_state"].state)
            shown[event.data["entity_id"]].append(energy)

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    chargers = list(sim.chargers.values())
    meters = {charger.id: charger.reported_meter for charger in chargers}
    for _ in range(40):
        for charger in chargers:
            if random.random() < 0.05:
                _disturb(charger, random)
            elif charger.car is None:
                if random.random() < 0.2:
                    charger.plug_in(Car())
            elif random.random() < 0.1:
                charger.unplug()
                if random.random() < 0.3:
                    await time_machine.travel(random.uniform(2, 20))
                    charger.plug_in(Car())
        if random.random() < 0.05:
            sim.bus.drop_connections()
        elif random.random() < 0.04:
            await hass.config_entries.async_reload(entry.entry_id)
            await wait_until_live(hass, entry)
        await time_machine.travel(random.uniform(20, 100), step=30)
        if random.random() < 0.1:
            await statistics.compile()
    for charger in chargers:
        if charger.car:
            charger.unplug()
    await time_machine.travel(360, step=60)
    # On a busy machine, a sensor may be added only now, in five minutes that have not ended.
    await wait_until_live(hass, entry)
    await time_machine.travel(statistics.seconds_left + 1, step=60)
    await statistics.compile()

    archive = chargers[0].installation.archive
    for charger in chargers:
        sessions = [item.energy for item in archive if item.charger_id == charger.id]
        ids = {key: entities.id("sensor", charger.id, key) for key in (SESSION, METER)}
        sums = await statistics.sums(*ids.values())
        precision = 0.002 * (len(sessions) + 1)
        assert sums[ids[SESSION]] == pytest.approx(sum(sessions), abs=precision)
        assert sums[ids[METER]] == pytest.approx(
            charger.lifetime_energy - meters[charger.id], abs=precision
        )
        if sessions:
            completed_id = entities.id("sensor", charger.id, COMPLETED)
            total = (await statistics.sums(completed_id))[completed_id]
            # No charger has completed a session before, so the sensor begins with a 0, unless
            # the account was reloaded meanwhile. On a busy machine, a second session may end
            # before the sensor is added.
            energy = next(filter(None, shown[completed_id]), 0.0)
            first = sessions.index(pytest.approx(energy, abs=precision))
            first += shown[completed_id][0] != 0
            assert total == pytest.approx(sum(sessions[first:]), abs=precision)
