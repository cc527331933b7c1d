"""Fixtures of all tests: a Zaptec cloud on loopback, and a time machine."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from datetime import UTC, datetime
import logging
import os
import random
import traceback
from types import SimpleNamespace
from typing import override
from urllib.parse import parse_qsl

from azure.servicebus._pyamqp.aio import _client_async
from azure.servicebus.aio import _servicebus_receiver_async
from freezegun import freeze_time
from freezegun.api import TickingDateTimeFactory
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import listeners
from custom_components.zaptec.api.auth import reset_refused_tokens
from custom_components.zaptec.api.limiter import reset_limiters
from custom_components.zaptec.config_flow import TITLE
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control import batch, charger as charger_control
from custom_components.zaptec.sources import (
    link as link_module,
    reader as reader_module,
)
from simulator.authorization import WebHooks
from simulator.charger import Charger
from simulator.clock import Clock
from simulator.documents import ADDRESS, CITY, PIN, POSITION
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .access import Doors, Site
from .home import Home, wait_until_live
from .time_machine import TimeMachine, wait_until

# The password of every account in the tests. It must occur nowhere else, so that it can
# be found in the logs.
PASSWORD = "Passw0rd-of-the-tests"

# The hour of the day (UTC) at which each test begins that uses the time machine.
START_HOUR = 10

OUR_LOGGERS = "custom_components.zaptec"

# In debug mode, which the test kit turns on, asyncio stores the stack of each future and
# callback. Whole stacks took a quarter of the time of all tests; three frames still show
# where a forgotten timer was started.
asyncio.constants.DEBUG_STACK_DEPTH = 3
# asyncio's futures are written in C and call this function without a limit.
traceback.extract_stack.__defaults__ = (None, 3)


class Record(logging.LogRecord):
    """A log record that formats its text only once, for all handlers."""

    _message: str | None = None

    @override
    def getMessage(self) -> str:
        """Return the text with its arguments."""
        if self._message is None:
            self._message = super().getMessage()
        return self._message


# With `caplog` the test kit logs at debug level, and pytest has two handlers for that.
logging.setLogRecordFactory(Record)
# The test kit's own handler writes to stderr, which pytest shows in addition to the log.
for handler in list(logging.getLogger().handlers):
    if type(handler) is logging.StreamHandler:
        logging.getLogger().removeHandler(handler)

# The test kit logs each SQL statement of the recorder, which takes longer than running it.
logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)

# Texts with which Home Assistant and the integration log an unhandled exception before
# they continue.
UNEXPECTED = (
    "Unexpected error while updating",
    "Unexpected error in the push",
    "Unexpected error updating listener",
)

# The id of a charging card, which is as secret as a password.
CARD = "nfc-04A2B3C4D5E6F7"


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    """Draw the same random delays in each run, whichever tests ran before.

    Another seed shows which tests pass only with some delays.
    """
    random.seed(os.environ.get("ZAPTEC_TEST_SEED", "0"))


@pytest.fixture(autouse=True)
def _custom_integrations(request: pytest.FixtureRequest) -> None:
    """Let Home Assistant load the integration, after the clocks are set."""
    if "clocks" in request.fixturenames:
        request.getfixturevalue("clocks")
    if "hass" in request.fixturenames:
        request.getfixturevalue("enable_custom_integrations")


async def _no_pause(_seconds: float) -> None:
    """Let the event loop run, in place of a pause."""
    await asyncio.sleep(0)


@pytest.fixture
async def clocks(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[TickingDateTimeFactory]:
    """Let all clocks of this process jump: wall clock, event loop and Service Bus library.

    A jump leaves out the real time since the previous one, so that the clocks stay in step
    with the simulator's clock. A test should wait some seconds longer than an effect takes.
    """
    # A step of the protocol that takes milliseconds can begin before a jump and end after it.
    # Without longer time limits, it would be aborted.
    azure_link = "custom_components.zaptec.api.azure_link"
    monkeypatch.setattr(f"{azure_link}.OPEN_TIMEOUT", 600.0)
    monkeypatch.setattr(f"{azure_link}.FIRST_OPEN_TIMEOUT", 600.0)
    monkeypatch.setattr(f"{azure_link}.PROBE_TIMEOUT", 600.0)
    # While the library opens a link or renews its token, it pauses after each frame. Each of
    # these moments would last until the next jump, and renewing would run out of its time.
    without_pauses = SimpleNamespace(**vars(asyncio) | {"sleep": _no_pause})
    for module in (_client_async, _servicebus_receiver_async):
        monkeypatch.setattr(module, "asyncio", without_pauses)
    # The event loop would take each jump for a slow callback.
    asyncio.get_running_loop().slow_callback_duration = float("inf")
    # A test that passes must not depend on the time of day, such as the minute before midnight.
    start = datetime.now(UTC).replace(hour=START_HOUR, minute=17, second=3)
    with freeze_time(start, tick=True) as frozen:
        yield frozen


@pytest.fixture(autouse=True)
def _notified_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write all due states in one time slice, also on a busy machine."""
    monkeypatch.setattr(listeners, "SLICE_TIME", 60.0)


@pytest.fixture(autouse=True)
def _stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the wait until a charger has stopped, for tests in which time does not pass."""
    monkeypatch.setattr(charger_control, "STOP_TIME", 0.2)


@pytest.fixture(autouse=True)
def _sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send settings without a delay, for tests in which time does not pass."""
    monkeypatch.setattr(batch, "CALM_TIME", 0.0)


@pytest.fixture(autouse=True)
def _patient_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give links more time to come up on a busy machine before chargers are read without them."""
    monkeypatch.setattr(reader_module, "CONNECT_PATIENCE", 600.0)
    monkeypatch.setattr(link_module, "OPEN_PATIENCE", 600.0)


@pytest.fixture(autouse=True)
def _quick_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up without waiting for the first readings, which some tests hold back until their end."""
    monkeypatch.setattr(reader_module, "FIRST_READINGS_TIME", 0.0)


@pytest.fixture(autouse=True)
def _no_limiters() -> None:
    """Discard the limiters and refused tokens of earlier tests.

    They are kept by address, so a new simulator on the same port would inherit them,
    although its clock starts elsewhere.
    """
    reset_limiters()
    reset_refused_tokens()


def _web_hook_secrets(web_hooks: WebHooks) -> set[str]:
    """Return the password of web hooks, and what is secret in their addresses."""
    payload = dict(parse_qsl(web_hooks.auth_payload))
    ids = {url.rsplit("/", 1)[-1] for url in (web_hooks.start_url, web_hooks.end_url)}
    # Short texts, such as /start, also occur elsewhere.
    return {text for text in (payload.get("password", ""), *ids) if len(text) >= 12}


class SecretsInLogs(logging.Handler):
    """Collects each line of any log that contains a secret."""

    def __init__(self) -> None:
        """Initialize the handler."""
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.simulators: list[Simulator] = []

    def secrets(self) -> set[str]:
        """Return the secrets that the simulated clouds hold."""
        found = {ADDRESS, CITY, PIN, POSITION, CARD, "&sig="}
        for sim in self.simulators:
            found.update(sim.rest.tokens.issued)
            found.update(account.password for account in sim.accounts.values())
            found.update(item.bus_key for item in sim.installations.values())
        return found

    def user_names(self) -> set[str]:
        """Return the e-mail addresses of the accounts, in lower case."""
        return {name.lower() for sim in self.simulators for name in sim.accounts}

    def site_secrets(self) -> set[str]:
        """Return the secrets of cards and web hooks.

        Home Assistant logs the whole message when a web hook is called over its WebSocket.
        """
        found: set[str] = set()
        for sim in self.simulators:
            for item in sim.installations.values():
                found.update(card.code for user in item.drivers for card in user.cards)
                found.update(_web_hook_secrets(item.web_hooks))
        return found

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Check a line, and the traceback below it."""
        # Home Assistant logs each action with its data, also the actions of the tests.
        if record.name in ("homeassistant.core", "asyncio"):
            return
        text = self.format(record)
        if any(secret in text for secret in self.secrets()):
            self.lines.append(text)
        # Home Assistant's lines about an entry, with its title, are among these.
        if record.name.startswith(OUR_LOGGERS) and any(
            name in text.lower() for name in self.user_names()
        ):
            self.lines.append(text)
        if record.name.startswith(OUR_LOGGERS) and any(
            secret in text for secret in self.site_secrets()
        ):
            self.lines.append(text)


@pytest.fixture(autouse=True)
def secrets_in_logs() -> Generator[SecretsInLogs]:
    """Check that no log line of any level, the libraries' included, holds a secret."""
    handler = SecretsInLogs()
    root = logging.getLogger()
    root.addHandler(handler)
    ours = logging.getLogger(OUR_LOGGERS)
    level = ours.level
    ours.setLevel(logging.DEBUG)
    yield handler
    ours.setLevel(level)
    root.removeHandler(handler)
    assert handler.lines == []


class ReportedUsage(logging.Handler):
    """Collects Home Assistant's reports about deprecated or wrong uses by the integration."""

    def __init__(self) -> None:
        """Initialize the handler."""
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line that reports a deprecated or wrong use."""
        text = record.getMessage()
        if DOMAIN in text and ("Detected that " in text or "deprecated" in text):
            self.lines.append(text)


@pytest.fixture(autouse=True)
def reported_usage() -> Generator[ReportedUsage]:
    """Check that the integration uses nothing that Home Assistant is about to remove."""
    handler = ReportedUsage()
    logger = logging.getLogger("homeassistant")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    assert handler.lines == []


@pytest.fixture
def scenario() -> Scenario:
    """Return the content of the cloud: a home with one Go."""
    return Scenario.of(1)


@pytest.fixture
async def sim(
    request: pytest.FixtureRequest,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    secrets_in_logs: SecretsInLogs,
    scenario: Scenario,
) -> AsyncGenerator[Simulator]:
    """Return a Zaptec cloud whose clock only moves when a test moves it."""
    async with Simulator(
        scenario, clock=Clock(datetime.now(UTC), speed=0)
    ) as simulator:
        for account in simulator.accounts.values():
            account.password = PASSWORD
        secrets_in_logs.simulators.append(simulator)
        monkeypatch.setenv("ZAPTEC_API_URL", simulator.api_url)
        yield simulator
        assert simulator.rest.forbidden == []
        # During teardown, `caplog.text` only has the lines since the end of the test.
        logged = [
            record.getMessage()
            for phase in ("setup", "call")
            for record in caplog.get_records(phase)
        ]
        assert [text for text in logged if text.startswith(UNEXPECTED)] == []


@pytest.fixture
def charger(sim: Simulator) -> Charger:
    """Return the first charger."""
    return next(iter(sim.chargers.values()))


@pytest.fixture
def time_machine(
    clocks: TickingDateTimeFactory, hass: HomeAssistant, sim: Simulator
) -> TimeMachine:
    """Return the time machine of a test."""
    return TimeMachine(hass, sim, clocks)


@pytest.fixture
def entry(hass: HomeAssistant, sim: Simulator) -> MockConfigEntry:
    """Return the entry of the first account, not set up."""
    return add_entry(hass, sim)


def add_entry(
    hass: HomeAssistant, sim: Simulator, user_name: str | None = None
) -> MockConfigEntry:
    """Add an entry for an account of the simulator."""
    account = sim.accounts[user_name or next(iter(sim.accounts))]
    entry = MockConfigEntry(
        domain=DOMAIN,
        title=TITLE,
        unique_id=account.user_name.lower(),
        data={CONF_USERNAME: account.user_name, CONF_PASSWORD: account.password},
    )
    entry.add_to_hass(hass)
    return entry


async def set_up(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Set up an entry, and wait until the entities are added that need no reading."""
    if await hass.config_entries.async_setup(entry.entry_id):
        await wait_until(lambda: entry.runtime_data.round_robin.is_idle)
    await hass.async_block_till_done()


@pytest.fixture
def set_up_live(
    hass: HomeAssistant, sim: Simulator
) -> Callable[[MockConfigEntry], Awaitable[None]]:
    """Return a function that sets up an entry and waits until all of it is live."""

    async def go_live(entry: MockConfigEntry) -> None:
        await set_up(hass, entry)
        await wait_until_live(hass, entry)

    return go_live


@pytest.fixture
async def live_entry(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    set_up_live: Callable[[MockConfigEntry], Awaitable[None]],
) -> MockConfigEntry:
    """Return the entry of the first account, set up and live."""
    await set_up_live(entry)
    return entry


class EntityFinder:
    """Finds entities by their unique ids, which never change."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the finder."""
        self._hass = hass
        self._registry = er.async_get(hass)

    def id(self, platform: str, device_id: str, key: str) -> str:
        """Return the id of an entity."""
        entity_id = self._found_id(platform, device_id, key)
        assert entity_id, f"There is no {platform} {key}"
        return entity_id

    def _found_id(self, platform: str, device_id: str, key: str) -> str | None:
        """Return the id of an entity, None if it was not added yet."""
        return self._registry.async_get_entity_id(
            platform, DOMAIN, f"{device_id}_{key}"
        )

    def state(self, platform: str, device_id: str, key: str) -> str:
        """Return the state of an entity."""
        state = self._found_state(platform, device_id, key)
        assert state is not None, f"There is no state of {platform} {key}"
        return state

    def _found_state(self, platform: str, device_id: str, key: str) -> str | None:
        """Return the state of an entity, None if it was not added yet."""
        entity_id = self._found_id(platform, device_id, key)
        state = self._hass.states.get(entity_id) if entity_id else None
        return state.state if state else None

    async def wait_for(
        self, platform: str, device_id: str, key: str, expected: str
    ) -> None:
        """Wait until an entity is there and has a state.

        Entities are added in the background, so one may follow its first value after some
        iterations of the event loop.
        """
        await wait_until(
            lambda: self._found_state(platform, device_id, key) == expected,
            lambda: (
                f"{key} is {self._found_state(platform, device_id, key)}, not {expected}"
            ),
        )


@pytest.fixture
def entities(hass: HomeAssistant) -> EntityFinder:
    """Return a finder of entities."""
    return EntityFinder(hass)


@pytest.fixture
def new_home(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
) -> Home:
    """Return a home whose account is not set up yet."""
    return Home(hass, sim, charger, entry, time_machine)


@pytest.fixture
async def home(new_home: Home) -> Home:
    """Return a home whose account is set up and live."""
    await new_home.start()
    return new_home


@pytest.fixture
async def site(home: Home) -> AsyncGenerator[Site]:
    """Return a home whose web hooks are set up."""
    doors = Doors(home.hass, home.sim, home.entry)
    doors.set_up(home.installation)
    await home.hass.async_block_till_done()
    await home.wait_until_live()
    await home.wait_for("select", "charging_access", "everyone")
    yield Site(home, doors)
    assert not home.sim.web_hooks.problems
