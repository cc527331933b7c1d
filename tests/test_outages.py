"""The log of an outage has one line when it begins, and one when it ends."""

import logging

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.outages import (
    JOIN_TIME,
    REFRESH_LOGGER,
    RETURN_TIME,
    Outages,
)
from custom_components.zaptec.sources.feed import HEALTHY_TIME
from simulator.charger import Charger
from simulator.scenario import (
    DEMO_PASSWORD,
    DEMO_USER,
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import TimeMachine, wait_until, wait_until_live

TWO_HOMES = Scenario(
    installations=tuple(
        InstallationScenario(
            name=name, chargers=(ChargerScenario(name=name, serial=serial),)
        )
        for name, serial in (("Home", "ZAP000401"), ("Cabin", "ZAP000402"))
    ),
    accounts=(
        AccountScenario(
            user_name=DEMO_USER,
            password=DEMO_PASSWORD,
            roles={"Home": OWNER, "Cabin": OWNER},
        ),
    ),
)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the lines from INFO up of the integration and Home Assistant's coordinators."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.startswith("custom_components.zaptec")
        and record.levelno >= logging.INFO
    ]


@pytest.fixture
async def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses between the attempts of a request."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)


@pytest.mark.parametrize("scenario", [Scenario.of(1), Scenario.of(3), TWO_HOMES])
@pytest.mark.parametrize("first", ["push", "lists", "firmware"])
@pytest.mark.parametrize("minutes", [2, 30])
async def test_an_outage_of_the_internet_is_two_lines(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    hasty: None,
    first: str,
    minutes: int,
) -> None:
    """An internet outage is two lines, whichever part fails first, and whatever else fails."""
    runtime = live_entry.runtime_data
    caplog.clear()
    await sim.rest.cut()
    if first == "lists":
        await runtime.coordinator.async_refresh()
    elif first == "firmware":
        await runtime.firmware.async_refresh()
    await sim.bus.cut()
    await time_machine.travel(20)
    await runtime.coordinator.async_refresh()
    await runtime.firmware.async_refresh()
    await time_machine.travel(60 * minutes, step=20)
    assert [level for level, _ in lines(caplog)] == ["WARNING"]
    await sim.rest.restore()
    await sim.bus.restore()
    await time_machine.travel(900, step=20)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(400, step=20)
    assert runtime.coordinator.last_update_success
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"]
    assert "Zaptec is back after an outage of" in lines(caplog)[1][1]


async def test_a_loss_of_push_alone_is_two_lines(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If only the push fails, two lines name the installation, and the chargers are polled."""
    caplog.clear()
    await sim.bus.cut()
    await time_machine.travel(1800, step=20)
    await sim.bus.restore()
    await time_machine.travel(400, step=20)
    await wait_until_live(hass, live_entry)
    (warned, lost), (noted, back) = lines(caplog)
    assert (warned, noted) == ("WARNING", "INFO")
    assert lost.startswith(f"Push is lost for installation {charger.installation.id}: ")
    assert back == f"Push is back for installation {charger.installation.id}"


async def test_connections_that_end_at_once_are_one_outage(
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While each connection ends soon, one line is logged, and one when a connection lasts."""
    (link,) = live_entry.runtime_data.links.connections
    caplog.clear()
    for connects in range(link.counters.connects + 1, link.counters.connects + 6):
        sim.bus.drop_connections()
        await time_machine.travel_until(
            lambda connects=connects: link.counters.connects == connects
        )
    assert [level for level, _ in lines(caplog)] == ["WARNING"]
    await time_machine.travel(HEALTHY_TIME + 5)
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"]


async def test_nothing_is_logged_after_an_unload(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A link that was back for less than a minute is not said to be back later."""
    (link,) = live_entry.runtime_data.links.connections
    sim.bus.drop_connections()
    await time_machine.travel_until(lambda: link.counters.connects == 2)
    assert await hass.config_entries.async_unload(live_entry.entry_id)
    caplog.clear()
    await time_machine.travel(HEALTHY_TIME + 5)
    assert lines(caplog) == []


@pytest.mark.parametrize("part", ["lists", "firmware"])
async def test_a_list_that_fails_alone_is_two_lines(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    hasty: None,
    part: str,
) -> None:
    """If only a list fails, two lines are logged, the second at its next success."""
    runtime = live_entry.runtime_data
    refreshed = runtime.coordinator if part == "lists" else runtime.firmware
    caplog.clear()
    sim.rest.fail("/api/chargers$|chargerFirmware", fault=500)
    await refreshed.async_refresh()
    await refreshed.async_refresh()
    assert not refreshed.last_update_success
    sim.rest.heal()
    await refreshed.async_refresh()
    assert refreshed.last_update_success
    assert [level for level, _ in lines(caplog)] == ["WARNING", "INFO"]
    await hass.async_block_till_done()


async def test_a_start_without_the_cloud_leaves_its_line_to_home_assistant(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    hasty: None,
) -> None:
    """If the cloud is down at start, only Home Assistant's own line about the retry is logged."""
    await sim.rest.cut()
    await hass.config_entries.async_setup(entry.entry_id)
    assert lines(caplog) == []
    assert "not ready yet" in caplog.text


async def test_messages_that_are_not_permitted_are_one_line(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A removed subscription is logged once, although the cloud is asked for it again and again."""
    caplog.clear()
    sim.rest.fail("messagingConnectionDetails", fault=403)
    sim.bus.drop_connections()
    await wait_until(lambda: len(lines(caplog)) == 1)
    await time_machine.travel(600, step=20)
    sim.rest.heal()
    sim.rest.fail("messagingConnectionDetails", fault=502, times=12)
    await time_machine.travel(1200, step=20)
    sim.rest.heal()
    await time_machine.travel(7200, step=20)
    await wait_until_live(hass, live_entry)
    assert [(level, text.partition(" for ")[0]) for level, text in lines(caplog)] == [
        ("WARNING", "Push is lost"),
        ("INFO", "Push is not permitted"),
        ("INFO", "Push is back"),
    ]


def begin(outages: Outages, part: str, *, unreachable: bool = False) -> None:
    """Let a part fail."""
    outages.begin(part, f"{part} fails", f"{part} works", is_unreachable=unreachable)


def test_what_fails_much_later_is_another_outage(
    caplog: pytest.LogCaptureFixture, freezer
) -> None:
    """A failure long after another one is logged, too: it is not part of the first outage."""
    outages = Outages()
    begin(outages, "one")
    freezer.tick(JOIN_TIME + 1)
    begin(outages, "two")
    assert outages.end("two")
    assert outages.end("one")
    assert not outages.end("one")
    assert lines(caplog) == [
        ("WARNING", "one fails"),
        ("WARNING", "two fails"),
        ("INFO", "two works"),
        ("INFO", "one works"),
    ]


def test_what_is_tried_hourly_joins_an_outage_of_the_cloud_late(
    caplog: pytest.LogCaptureFixture, freezer
) -> None:
    """An hourly request that fails late belongs to the outage, unless the cloud is back already."""
    outages = Outages()
    begin(outages, "one", unreachable=True)
    freezer.tick(7200)
    outages.begin("two", "two fails", "two works", is_hourly=True)
    outages.end("one")
    outages.begin("three", "three fails", "three works", is_hourly=True)
    assert [text for _, text in lines(caplog)] == ["one fails", "three fails"]
    outages.end("two")
    assert lines(caplog)[-1] == ("INFO", "Zaptec is back after an outage of 120 min")
    outages.end("three")
    assert lines(caplog)[-1] == ("INFO", "three works")


@pytest.mark.parametrize("unreachable", [False, True])
def test_a_part_that_fails_for_days_hides_no_later_outage(
    caplog: pytest.LogCaptureFixture, freezer, unreachable: bool
) -> None:
    """A charger that cannot be read for days does not suppress the lines of an internet outage."""
    outages = Outages()
    begin(outages, "charger", unreachable=True)
    freezer.tick(3 * 86400)
    begin(outages, "charger", unreachable=True)
    begin(outages, "push", unreachable=unreachable)
    begin(outages, "details", unreachable=True)
    freezer.tick(600)
    outages.end("push")
    outages.end("details")
    assert lines(caplog) == [
        ("WARNING", "charger fails"),
        ("WARNING", "push fails"),
        ("INFO", "Zaptec is back after an outage of 10 min"),
    ]
    outages.end("charger")
    assert lines(caplog)[-1] == ("INFO", "charger works")


def test_links_that_are_lost_by_turns_are_one_outage(
    caplog: pytest.LogCaptureFixture, freezer
) -> None:
    """While two parts fail by turns, none of them begins another outage."""
    outages = Outages()
    begin(outages, "one")
    begin(outages, "two")
    for flapping, failing in (("one", "two"), ("two", "one"), ("one", "two")):
        freezer.tick(JOIN_TIME + 1)
        assert outages.end(flapping)
        freezer.tick(RETURN_TIME - 1)
        assert outages.is_ongoing(failing)
        begin(outages, flapping)
        assert outages.is_ongoing(flapping)
    outages.end("two")
    outages.end("one")
    hours = 3 * (JOIN_TIME + RETURN_TIME) / 60
    assert lines(caplog) == [
        ("WARNING", "one fails"),
        ("INFO", f"Zaptec is back after an outage of {hours:.0f} min"),
    ]


def test_a_part_that_worked_for_long_begins_another_outage(
    caplog: pytest.LogCaptureFixture, freezer
) -> None:
    """What worked for hours and fails again is logged, although its first outage goes on."""
    outages = Outages()
    begin(outages, "charger")
    begin(outages, "push")
    outages.end("push")
    freezer.tick(RETURN_TIME + 1)
    begin(outages, "push")
    outages.end("push")
    assert lines(caplog) == [
        ("WARNING", "charger fails"),
        ("WARNING", "push fails"),
        ("INFO", "push works"),
    ]


@pytest.mark.parametrize("is_working", [False, True])
@pytest.mark.parametrize("returns", [0, 1])
def test_what_was_refused_begins_another_outage(
    caplog: pytest.LogCaptureFixture, freezer, returns: int, is_working: bool
) -> None:
    """What was refused has lines of its own in the log, so its next loss has one, too."""
    outages = Outages()
    begin(outages, "push")
    begin(outages, "charger")
    for _ in range(returns):
        outages.end("push")
        begin(outages, "push")
    if is_working:
        outages.end("push")
    assert outages.end("push", is_back=False) is not is_working
    freezer.tick(JOIN_TIME + 1)
    begin(outages, "push")
    assert [text for _, text in lines(caplog)] == ["push fails", "push fails"]


def test_a_part_may_change_its_reason(
    caplog: pytest.LogCaptureFixture, freezer
) -> None:
    """If a part now fails for another reason, later failures are not part of the cloud's outage."""
    outages = Outages()
    begin(outages, "one", unreachable=True)
    freezer.tick(JOIN_TIME + 1)
    begin(outages, "one")
    begin(outages, "two")
    assert [text for _, text in lines(caplog)] == ["one fails", "two fails"]


def test_what_is_gone_is_not_back(caplog: pytest.LogCaptureFixture) -> None:
    """If an installation is removed during its outage, no line says that its push is back."""
    outages = Outages()
    begin(outages, "one")
    assert outages.end("one", is_back=False)
    assert lines(caplog) == [("WARNING", "one fails")]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_home_assistants_lines_about_refreshes_are_for_debugging(
    caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """The coordinators' lines about refreshes are logged at DEBUG; all others keep their level."""
    caplog.set_level(level, REFRESH_LOGGER.name)
    REFRESH_LOGGER.error("Error fetching %s data: %s", "zaptec", "no answer")
    REFRESH_LOGGER.info("Fetching %s data recovered", "zaptec")
    REFRESH_LOGGER.error("Unexpected error fetching %s data", "zaptec")
    logged = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert logged[-1] == ("ERROR", "Unexpected error fetching zaptec data")
    assert [item[0] for item in logged[:-1]] == (
        ["DEBUG", "DEBUG"] if level == logging.DEBUG else []
    )
