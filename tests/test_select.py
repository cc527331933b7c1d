"""The select of the phases: what it shows, what it sends, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from homeassistant.components.select import (
    ATTR_OPTION,
    ATTR_OPTIONS,
    DOMAIN as SELECT_DOMAIN,
    SERVICE_SELECT_OPTION,
)
from homeassistant.const import ATTR_ENTITY_ID, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec.api import Charger, DeviceType, Family, Installation
from custom_components.zaptec.const import CURRENT_MAX, DOMAIN
from custom_components.zaptec.control.device_store import SAVE_DELAY
from custom_components.zaptec.control.phases import PhaseMode, Phases, phase_mode
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger as SimulatedCharger
from simulator.installation import NetworkType
from simulator.observations import StateId
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import wait_until
from .home import Home
from .restored import forget_restored_states

KEY = "phase_mode"
FILE = "zaptec.phases"
SWITCH_CURRENT = "three_to_one_phase_switch_current"
PRO, GO, GO_2 = "ZPR000303", "ZAP000301", "GPN000302"

# Time that the vendor asks for between two changes (s), and a moment more.
RULE = 15 * 60 + 10

# What the vendor calls these settings.
BY_SCHEDULE, BY_POWER_METER = 1, 2
OCPP_NATIVE = 3


@pytest.fixture
def serials() -> tuple[str, ...]:
    """Return the chargers of the home."""
    return (GO_2,)


@pytest.fixture
def role() -> UserRole:
    """Return the role of the account."""
    return OWNER


@pytest.fixture
def switch_current() -> float | None:
    """Return the switch current that the cloud has at first (A)."""
    return 10.0


@pytest.fixture
def scenario(
    serials: tuple[str, ...], role: UserRole, switch_current: float | None
) -> Scenario:
    """Return a home whose cloud has a switch current."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=25,
                available_current=20,
                network_type=NetworkType.TN_3_PHASE,
                three_to_one_phase_switch_current=switch_current,
                chargers=tuple(
                    ChargerScenario(serial=serial, name=f"Space {number}")
                    for number, serial in enumerate(serials)
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="someone@example.com", password="x", roles={"Home": role}
            ),
        ),
    )


def shown(home: Home) -> str:
    """Return the mode that the select shows."""
    return home.state(SELECT_DOMAIN, KEY)


async def choose(home: Home, mode: str) -> list[str]:
    """Choose a mode; return what was sent to the cloud for it."""
    home.clear()
    await home.hass.services.async_call(
        SELECT_DOMAIN,
        SERVICE_SELECT_OPTION,
        {ATTR_ENTITY_ID: home.entity_id(SELECT_DOMAIN, KEY), ATTR_OPTION: mode},
        blocking=True,
    )
    return home.sent()


async def refusal(home: Home, mode: str) -> ServiceValidationError:
    """Choose a mode that is refused without a write; return the error."""
    with pytest.raises(ServiceValidationError) as raised:
        await choose(home, mode)
    assert not home.sent()
    return raised.value


def held(home: Home) -> float | None:
    """Return the switch current that the cloud holds (A)."""
    return home.installation.three_to_one_phase_switch_current


@pytest.mark.parametrize(
    ("current", "mode"),
    [
        (None, None),
        (0.0, "three_phases"),
        (6.0, "automatic"),
        (31.9, "automatic"),
        (32.0, "one_phase"),
    ],
)
def test_the_mode_of_each_switch_current(
    current: float | None, mode: PhaseMode | None
) -> None:
    """0 A always uses three phases, 32 A always one, and what is between is automatic."""
    installation = Installation(id="home", three_to_one_phase_switch_current=current)
    assert phase_mode(installation) == mode


async def test_each_mode_is_set_with_one_request(home: Home) -> None:
    """Each mode sets the switch current that the vendor has defined for it."""
    state = home.hass.states.get("select.home_phase_mode")
    assert state
    assert state.attributes[ATTR_OPTIONS] == ["automatic", "one_phase", "three_phases"]
    assert shown(home) == "automatic"
    assert await choose(home, "one_phase") == ["update"]
    assert (shown(home), held(home)) == ("one_phase", CURRENT_MAX)
    await home.travel(RULE, step=60)
    assert await choose(home, "three_phases") == ["update"]
    assert (shown(home), held(home)) == ("three_phases", 0)


async def test_the_car_charges_on_one_phase(home: Home) -> None:
    """A car that charges on three phases goes on with one, and again with three."""
    home.charger.plug_in(Car(capacity_kwh=40))
    await home.travel(60)
    assert home.charger.value(StateId.SET_PHASES) == "4"
    await choose(home, "one_phase")
    await home.travel(60)
    assert home.charger.value(StateId.SET_PHASES) == "1"
    await home.travel(RULE, step=60)
    await choose(home, "three_phases")
    await home.travel(60)
    assert home.charger.value(StateId.SET_PHASES) == "4"


@pytest.mark.parametrize("mode", PhaseMode)
async def test_a_mode_that_is_there_already_sends_nothing(
    home: Home, mode: PhaseMode
) -> None:
    """A mode that is set already is a success without a write."""
    home.installation.three_to_one_phase_switch_current = {
        "automatic": 12.0,
        "one_phase": CURRENT_MAX,
        "three_phases": 0.0,
    }[mode]
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.wait_for(SELECT_DOMAIN, KEY, mode)
    assert await choose(home, mode) == []


@pytest.mark.parametrize("restarts", ["no", "reload", "restart"])
async def test_the_former_threshold_returns(home: Home, restarts: str) -> None:
    """One phase, and then automatic again, keeps the threshold, over a restart, too."""
    await home.set_value(SWITCH_CURRENT, 12)
    await home.travel(RULE, step=60)
    await choose(home, "one_phase")
    if restarts == "reload":
        await home.reload()
    elif restarts == "restart":
        await home.stop()
        entity_id = home.entity_id(SELECT_DOMAIN, KEY)
        mock_restore_cache_with_extra_data(
            home.hass,
            [
                (
                    State(entity_id, "one_phase"),
                    {"current": 32.0, "threshold": 12.0, "changed_at": None},
                )
            ],
        )
        await home.start()
    await home.wait_for(SELECT_DOMAIN, KEY, "one_phase")
    await home.travel(RULE, step=60)
    assert await choose(home, "automatic") == ["update"]
    assert (shown(home), held(home)) == ("automatic", 12)


async def test_the_threshold_survives_a_new_entity_id(
    home: Home, entity_registry: er.EntityRegistry
) -> None:
    """An entity that gets a new id keeps the threshold."""
    await choose(home, "one_phase")
    entity_registry.async_update_entity(
        home.entity_id(SELECT_DOMAIN, KEY), new_entity_id="select.another"
    )
    await home.hass.async_block_till_done()
    await home.travel(RULE, step=60)
    await choose(home, "automatic")
    assert held(home) == 10


async def test_the_threshold_survives_weeks_without_the_select(
    home: Home, entity_registry: er.EntityRegistry
) -> None:
    """Home Assistant forgets what it has stored with the state of a disabled entity."""
    await choose(home, "one_phase")
    entity_id = home.entity_id(SELECT_DOMAIN, KEY)
    entity_registry.async_update_entity(
        entity_id, disabled_by=er.RegistryEntryDisabler.USER
    )
    await home.reload()
    assert home.hass.states.get(entity_id) is None
    forget_restored_states(home.hass)
    await home.travel(RULE, step=60)
    entity_registry.async_update_entity(entity_id, disabled_by=None)
    await home.reload()
    await choose(home, "automatic")
    assert held(home) == 10


async def test_the_threshold_is_on_the_disk_within_a_second(
    hass_storage: dict[str, Any], home: Home
) -> None:
    """A power cut does not lose the threshold, and the last account leaves no file."""
    await choose(home, "one_phase")
    await home.travel(1, step=SAVE_DELAY)
    stored = hass_storage[FILE]["data"]["installations"][home.installation.id]
    assert stored["entry_id"] == home.entry.entry_id
    assert stored["phases"]["current"] == CURRENT_MAX
    assert stored["phases"]["threshold"] == 10
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    await home.travel(2, step=SAVE_DELAY)
    assert FILE not in hass_storage


@pytest.mark.parametrize("switch_current", [32.0])
@pytest.mark.parametrize(
    ("serials", "proposed", "threshold"),
    [
        ((GO_2,), 12.0, 12),
        ((GO_2,), None, 8),
        ((GO_2,), 0.0, 8),
        ((GO_2, PRO), 32.0, 15),
    ],
)
async def test_the_threshold_if_none_was_seen(
    home: Home, proposed: float | None, threshold: float
) -> None:
    """Without a former threshold, the default of the cloud or else of the model counts."""
    coordinator = home.entry.runtime_data.coordinator
    installation = coordinator.data.installations[home.installation.id]
    coordinator.replace_installation(
        replace(installation, default_three_to_one_switch_current=proposed)
    )
    await choose(home, "automatic")
    assert held(home) == threshold


@pytest.mark.parametrize("switch_current", [3.0])
async def test_a_threshold_below_6_a(home: Home) -> None:
    """A threshold with which no car charges is automatic, and returns as 6 A."""
    assert shown(home) == "automatic"
    await choose(home, "one_phase")
    await home.travel(RULE, step=60)
    await choose(home, "automatic")
    assert held(home) == 6


# Chargers that do not switch phases.


def on_one_phase(home: Home) -> None:
    """Connect the installation to a single-phase grid."""
    home.installation.network_type = NetworkType.TN_1_PHASE


def wired_to_one_phase(home: Home) -> None:
    """Connect only the charger to a single phase."""
    home.charger.observe(StateId.NETWORK_TYPE, NetworkType.IT_1_PHASE)


def with_native_ocpp(home: Home) -> None:
    """Connect the chargers to an OCPP system, without the cloud in between."""
    home.installation.authentication_type = OCPP_NATIVE


def as_it_is(home: Home) -> None:
    """Change nothing."""


@pytest.mark.parametrize(
    ("serials", "change", "reason"),
    [
        ((GO,), as_it_is, "chargers_do_not_switch_phases"),
        ((GO_2,), wired_to_one_phase, "single_phase_grid"),
        ((GO_2,), with_native_ocpp, "ocpp_prevents_phase_switching"),
        # The error is about the charger of which the owner can change something.
        ((GO, GO_2), with_native_ocpp, "ocpp_prevents_phase_switching"),
        ((GO_2, GO), with_native_ocpp, "ocpp_prevents_phase_switching"),
    ],
)
@pytest.mark.parametrize("mode", PhaseMode)
async def test_chargers_that_do_not_switch_phases(
    new_home: Home, change: Callable[[Home], None], reason: str, mode: PhaseMode
) -> None:
    """A choice that no charger follows is refused, and the error says why."""
    change(new_home)
    await new_home.start()
    assert (await refusal(new_home, mode)).translation_key == reason
    assert shown(new_home) == "automatic"


async def test_a_charger_that_has_not_reported_its_grid(new_home: Home) -> None:
    """The grid of the installation counts until the charger has reported its own."""
    on_one_phase(new_home)
    new_home.charger.observations.pop(StateId.NETWORK_TYPE)
    await new_home.start()
    error = await refusal(new_home, "one_phase")
    assert error.translation_key == "single_phase_grid"


@pytest.mark.parametrize(
    ("serials", "change"),
    [
        ((PRO,), with_native_ocpp),
        ((GO, GO_2), as_it_is),
        ((GO_2, PRO), with_native_ocpp),
        ((GO_2, PRO), wired_to_one_phase),
    ],
)
async def test_some_chargers_that_switch_phases_suffice(
    new_home: Home, change: Callable[[Home], None]
) -> None:
    """The setting is for all chargers of an installation, so one that follows it is enough."""
    change(new_home)
    await new_home.start()
    assert await choose(new_home, "one_phase") == ["update"]


def test_the_models_are_those_that_the_list_names() -> None:
    """The names of the models are those that follow from serial numbers."""
    for serial, family in ((GO, Family.GO), (GO_2, Family.GO), (PRO, Family.PRO)):
        charger = Charger(
            id="x",
            device_id=serial,
            device_type=DeviceType.APOLLO if family is Family.GO else DeviceType.SMART,
        )
        assert charger.family is family
        assert charger.model == {GO: "Zaptec Go", GO_2: "Zaptec Go2"}.get(
            serial, "Zaptec Pro"
        )


# What else keeps a mode from its effect.


@pytest.mark.parametrize(
    ("mode_of_the_current", "reason"),
    [
        (BY_SCHEDULE, "schedule_controls_current"),
        (BY_POWER_METER, "power_meter_controls_current"),
    ],
)
async def test_an_installation_that_something_else_controls(
    home: Home, mode_of_the_current: int, reason: str
) -> None:
    """What keeps an available current from being set keeps the phases, too."""
    home.installation.available_current_mode = mode_of_the_current
    await home.entry.runtime_data.coordinator.async_refresh()
    assert (await refusal(home, "one_phase")).translation_key == reason


def ignores_the_cloud(charger: SimulatedCharger) -> None:
    """Let a charger decide by itself."""
    charger.set_stand_alone(True)


def is_out_of_reach(charger: SimulatedCharger) -> None:
    """Cut a charger from the cloud."""
    charger.set_offline()


@pytest.mark.parametrize(
    ("serials", "change", "reason"),
    [
        ((GO_2,), is_out_of_reach, "phase_switching_offline"),
        ((GO_2, GO), is_out_of_reach, "phase_switching_offline"),
        ((GO_2, GO), ignores_the_cloud, "phase_switching_stand_alone"),
        ((GO_2, PRO), is_out_of_reach, None),
        ((GO_2, PRO), ignores_the_cloud, None),
    ],
)
@pytest.mark.parametrize("mode", PhaseMode)
async def test_only_a_charger_in_reach_follows_the_setting(
    home: Home,
    change: Callable[[SimulatedCharger], None],
    reason: str | None,
    mode: PhaseMode,
) -> None:
    """A charger that can switch phases, but gets no commands now, does not count."""
    await home.travel(RULE, step=60)
    change(home.charger)
    await home.travel(5)
    if reason is None:
        await choose(home, mode)
        assert shown(home) == mode
    else:
        assert (await refusal(home, mode)).translation_key == reason


async def test_chargers_that_ignore_the_cloud(home: Home) -> None:
    """Chargers in stand-alone mode do not follow the setting."""
    home.charger.set_stand_alone(True)
    await home.travel(5)
    error = await refusal(home, "one_phase")
    assert error.translation_key == "chargers_are_stand_alone"


@pytest.mark.parametrize("switch_current", [32.0])
async def test_phases_with_different_currents(home: Home) -> None:
    """Three phases need the same available current on each, which the vendor requires."""
    home.installation.available_current = (20.0, 20.0, 16.0)
    await home.entry.runtime_data.coordinator.async_refresh()
    error = await refusal(home, "three_phases")
    assert error.translation_key == "phase_currents_differ"
    assert await choose(home, "automatic") == ["update"]


# The hourly list may be outdated.


@pytest.mark.parametrize("switch_current", [32.0])
async def test_what_was_changed_in_the_portal_counts(home: Home) -> None:
    """A change that the hourly list has not shown yet counts for the checks, too."""
    home.installation.available_current = (20.0, 20.0, 16.0)
    error = await refusal(home, "three_phases")
    assert error.translation_key == "phase_currents_differ"


async def test_an_ocpp_system_that_was_just_turned_off(new_home: Home) -> None:
    """A setting that the owner has just corrected in the portal is no obstacle any more."""
    with_native_ocpp(new_home)
    await new_home.start()
    new_home.installation.authentication_type = 0
    assert await choose(new_home, "one_phase") == ["update"]


async def test_an_ocpp_system_that_was_just_turned_on(home: Home) -> None:
    """A setting that keeps the chargers from switching counts from the moment it is made."""
    with_native_ocpp(home)
    error = await refusal(home, "one_phase")
    assert error.translation_key == "ocpp_prevents_phase_switching"


async def test_a_change_in_the_portal_that_is_not_shown_yet(home: Home) -> None:
    """The rule of 15 minutes counts for a change that the hourly list has not shown yet."""
    home.installation.three_to_one_phase_switch_current = CURRENT_MAX
    home.installation.updated = home.sim.clock.now()
    error = await refusal(home, "three_phases")
    assert error.translation_key == "phases_changed_recently"
    assert shown(home) == "one_phase"


async def test_a_change_that_the_reading_shows_counts_at_once(home: Home) -> None:
    """The rule counts for a change that was just read, before the select shows it."""
    runtime = home.entry.runtime_data
    phases = Phases(
        home.installation.id,
        runtime.installations,
        runtime.states,
        account=lambda: runtime.coordinator.data,
    )
    phases.memory.follow(runtime.coordinator.data.installations[home.installation.id])
    home.installation.three_to_one_phase_switch_current = CURRENT_MAX
    home.installation.updated = home.sim.clock.now()
    with pytest.raises(ServiceValidationError) as raised:
        await phases.async_set(PhaseMode.AUTOMATIC)
    assert raised.value.translation_key == "phases_changed_recently"


async def test_the_checks_count_what_is_known_if_the_cloud_does_not_answer(
    home: Home, sim: Simulator
) -> None:
    """Without an answer, what is known refuses a choice; the cloud may have changed."""
    home.charger.set_stand_alone(True)
    await home.travel(5)
    sim.rest.fail("/api/installation", fault="reset")
    error = await refusal(home, "one_phase")
    assert error.translation_key == "chargers_are_stand_alone"


async def test_an_installation_that_is_gone(home: Home) -> None:
    """An installation that has just left the account is an error that says so."""
    runtime = home.entry.runtime_data
    phases = Phases(
        "9a6fad30-0000-4000-8000-7531f7f767a5",
        runtime.installations,
        runtime.states,
        account=lambda: runtime.coordinator.data,
    )
    with pytest.raises(ServiceValidationError) as raised:
        await phases.async_set(PhaseMode.ONE_PHASE)
    assert raised.value.translation_key == "installation_gone"


# The vendor's rule of 15 minutes.


async def test_a_second_change_within_15_minutes(home: Home) -> None:
    """A change within 15 minutes after another is refused with the time of the next try."""
    await choose(home, "one_phase")
    changed_at = dt_util.now()
    await home.travel(60)
    for mode in ("automatic", "three_phases"):
        error = await refusal(home, mode)
        assert error.translation_key == "phases_changed_recently"
        assert error.translation_placeholders is not None
        at = error.translation_placeholders["time"]
        allowed = changed_at + timedelta(minutes=15)
        assert at in {
            (allowed + timedelta(seconds=seconds)).strftime("%H:%M")
            for seconds in (-5, 0, 5)
        }
    assert await choose(home, "one_phase") == []
    await home.travel(RULE, step=60)
    assert await choose(home, "three_phases") == ["update"]


async def test_one_phase_does_not_wait(home: Home) -> None:
    """One phase may protect a fuse, so it is sent at once, even after another change."""
    await home.set_value(SWITCH_CURRENT, 12)
    assert await choose(home, "one_phase") == ["update"]


async def test_a_change_of_the_number_counts(home: Home) -> None:
    """A change by the number of the same setting counts for the rule."""
    await home.set_value(SWITCH_CURRENT, CURRENT_MAX)
    error = await refusal(home, "three_phases")
    assert error.translation_key == "phases_changed_recently"


async def test_a_change_elsewhere_counts_from_when_it_was_made(home: Home) -> None:
    """A change in the portal is shown after the next discovery, and counts from its time."""
    home.installation.three_to_one_phase_switch_current = CURRENT_MAX
    home.installation.updated = home.sim.clock.now()
    await home.travel(RULE - 120, step=60)
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.wait_for(SELECT_DOMAIN, KEY, "one_phase")
    error = await refusal(home, "automatic")
    assert error.translation_key == "phases_changed_recently"
    await home.travel(150, step=30)
    assert await choose(home, "automatic") == ["update"]
    assert held(home) == 10


@pytest.mark.parametrize(("minutes", "waits"), [(-14, True), (-16, False), (600, True)])
async def test_the_rule_counts_over_a_restart(
    hass: HomeAssistant,
    new_home: Home,
    entity_registry: er.EntityRegistry,
    minutes: int,
    waits: bool,
) -> None:
    """The time of a change is known after a restart; one from the future counts as now."""
    new_home.entry.add_to_hass(hass)
    entity_id = entity_registry.async_get_or_create(
        SELECT_DOMAIN,
        DOMAIN,
        f"{new_home.installation.id}_{KEY}",
        config_entry=new_home.entry,
        suggested_object_id="home_phase_mode",
    ).entity_id
    new_home.installation.three_to_one_phase_switch_current = CURRENT_MAX
    changed_at = dt_util.utcnow() + timedelta(minutes=minutes)
    mock_restore_cache_with_extra_data(
        hass,
        [
            (
                State(entity_id, "one_phase"),
                {
                    "current": CURRENT_MAX,
                    "threshold": 9.0,
                    "changed_at": changed_at.isoformat(),
                },
            )
        ],
    )
    await new_home.start()
    if waits:
        error = await refusal(new_home, "automatic")
        assert error.translation_key == "phases_changed_recently"
    else:
        assert await choose(new_home, "automatic") == ["update"]
        assert held(new_home) == 9


# When there is a select.


@pytest.mark.parametrize("switch_current", [None])
async def test_no_select_until_the_cloud_has_a_value(home: Home) -> None:
    """The select appears once the cloud has a value, and is unknown when it has none."""
    assert not home.hass.states.async_all(SELECT_DOMAIN)
    home.installation.three_to_one_phase_switch_current = 0.0
    await home.entry.runtime_data.coordinator.async_refresh()
    await wait_until(lambda: bool(home.hass.states.async_all(SELECT_DOMAIN)))
    assert shown(home) == "three_phases"
    home.installation.three_to_one_phase_switch_current = None
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.wait_for(SELECT_DOMAIN, KEY, STATE_UNKNOWN)
    home.installation.three_to_one_phase_switch_current = 0.0
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.wait_for(SELECT_DOMAIN, KEY, "three_phases")
    # It was set to three phases before, so nothing has changed.
    assert await choose(home, "automatic") == ["update"]


@pytest.mark.parametrize("role", [UserRole.USER])
async def test_no_select_without_a_role(hass: HomeAssistant, new_home: Home) -> None:
    """An account that may not change an installation has no select."""
    await hass.config_entries.async_setup(new_home.entry.entry_id)
    await hass.async_block_till_done()
    assert not hass.states.async_all(SELECT_DOMAIN)


async def test_an_installation_out_of_reach(home: Home, sim: Simulator) -> None:
    """Without the lists and the messages, the select is unavailable."""
    sim.rest.fail("/", fault="reset")
    sim.bus.drop_connections()
    link = home.entry.runtime_data.links[home.installation.id]
    await wait_until(lambda: link.status != "connected")
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.wait_for(SELECT_DOMAIN, KEY, STATE_UNAVAILABLE)
