"""Control of chargers and installations, tested without an account around it."""

from collections.abc import AsyncGenerator
from dataclasses import fields, replace
from datetime import UTC, datetime
import inspect
from typing import Any
from unittest.mock import AsyncMock, Mock, create_autospec

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest

from custom_components.zaptec.api import (
    Account,
    AuthenticationType,
    Charger,
    Command,
    DeviceType,
    Installation,
    Observation,
    StateId,
    UserRole,
    ZaptecAuthenticationError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecRejectedError,
)
from custom_components.zaptec.control import charger, settings
from custom_components.zaptec.control.batch import Batches
from custom_components.zaptec.control.charger import (
    DEVICE_COMMAND_REJECTED,
    ChargerControl,
)
from custom_components.zaptec.control.commands import COMMANDS
from custom_components.zaptec.control.confirmations import Confirmations
from custom_components.zaptec.control.installation import InstallationControl
from custom_components.zaptec.control.settings import (
    MAX_CURRENT,
    MIN_CURRENT,
    PHASE_SWITCH_CURRENT,
    ChargerSetting,
    InstallationSetting,
)
from custom_components.zaptec.listeners import Listeners
from custom_components.zaptec.state import States

CHARGER = Charger(
    id="charger",
    device_type=DeviceType.APOLLO,
    current_user_roles=UserRole.OWNER,
    installation_id="home",
)
INSTALLATION = Installation(id="home", current_user_roles=UserRole.OWNER)


class Home:
    """One charger and its installation, with a client that only records its calls."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the home."""
        self.client: Any = create_autospec(ZaptecClient, instance=True)
        self.account = Account({"home": INSTALLATION}, {"charger": CHARGER})
        self.start_reauth = Mock()
        self.is_live = True
        listeners = Listeners()
        self.states = States(listeners, on_unknown=Mock(), on_new_version=Mock())
        self.states.follow(self.account)
        self.confirmations = Confirmations(hass, self.states, Mock())
        batches = Batches()
        self.chargers = ChargerControl(
            hass,
            self.client,
            self.states,
            listeners,
            account=lambda: self.account,
            confirmations=self.confirmations,
            batches=batches,
            is_live=lambda _: self.is_live,
            look_at_installation=AsyncMock(),
            newest_firmware=lambda _: "2.0",
            start_reauth=self.start_reauth,
        )
        self.installations = InstallationControl(
            hass,
            self.client,
            self.states,
            account=lambda: self.account,
            visible=lambda: self.account,
            missing=lambda: (),
            replace_installation=self._replace,
            replaced_at=lambda _: float("inf"),
            confirmations=self.confirmations,
            batches=batches,
            create_task=Mock(),
            start_reauth=self.start_reauth,
        )

    def _replace(self, installation: Installation) -> None:
        """Replace the installation by a changed one."""
        self.account = Account({"home": installation}, self.account.chargers)

    def report(self, state_id: StateId, value: str) -> None:
        """Let the charger report a value."""
        self.states.apply(
            [Observation("charger", int(state_id), datetime.now(UTC), value)]
        )


@pytest.fixture
async def home(hass: HomeAssistant) -> AsyncGenerator[Home]:
    """Return a home, and cancel its timers at the end."""
    home = Home(hass)
    yield home
    home.confirmations.stop()


def rows(kind: type[Any]) -> list[Any]:
    """Return all settings of a kind."""
    return [item for item in vars(settings).values() if isinstance(item, kind)]


def test_each_command_has_a_row() -> None:
    """Each command has a row, without which it could not be sent."""
    assert COMMANDS.keys() == set(Command)


@pytest.mark.parametrize("setting", rows(ChargerSetting), ids=lambda x: x.keyword)
def test_a_row_of_a_charger_names_an_argument_of_the_client(
    setting: ChargerSetting,
) -> None:
    """Rows name existing arguments of the client, which no type checker can check in strings."""
    assert setting.keyword in inspect.signature(ZaptecClient.update_charger).parameters


@pytest.mark.parametrize("setting", rows(InstallationSetting), ids=lambda x: x.keyword)
def test_a_row_of_an_installation_names_an_argument_and_a_field(
    setting: InstallationSetting,
) -> None:
    """Rows of installations name an argument and the field that shows the value once it is sent."""
    method = inspect.signature(ZaptecClient.update_installation)
    assert setting.keyword in method.parameters
    assert setting.keyword in {field.name for field in fields(Installation)}


async def test_a_command_is_sent_unless_it_is_done(home: Home) -> None:
    """A command without an effect is not sent, as the vendor asks."""
    home.report(StateId.CHARGER_OPERATION_MODE, "3")
    await home.chargers.async_send("charger", Command.STOP_CHARGING_FINAL)
    home.client.send_command.assert_awaited_once_with(
        "charger", Command.STOP_CHARGING_FINAL
    )
    home.report(StateId.FINAL_STOP_ACTIVE, "1")
    home.report(StateId.CHARGER_OPERATION_MODE, "5")
    await home.chargers.async_send("charger", Command.STOP_CHARGING_FINAL)
    home.client.send_command.assert_awaited_once()


async def test_a_command_is_sent_again_while_its_effect_is_uncertain(
    home: Home,
) -> None:
    """A command is sent if the charger may have changed and cannot be read."""
    home.report(StateId.CHARGER_OPERATION_MODE, "1")
    home.is_live = False
    home.client.charger_state.side_effect = ZaptecConnectionError("")
    await home.chargers.async_send("charger", Command.STOP_CHARGING_FINAL)
    home.client.send_command.assert_awaited_once()


MODE = StateId.CHARGER_OPERATION_MODE
PAUSE = StateId.FINAL_STOP_ACTIVE
SESSION = StateId.SESSION_IDENTIFIER
RESTART = Command.RESTART_CHARGER
UPGRADE = Command.UPGRADE_FIRMWARE
STOP = Command.STOP_CHARGING_FINAL
RESUME = Command.RESUME_CHARGING
DEAUTHORIZE = Command.DEAUTHORIZE_AND_STOP


@pytest.mark.parametrize(
    ("command", "reports", "is_sent"),
    [
        (RESTART, {MODE: "3"}, True),
        (UPGRADE, {StateId.SOFTWARE_VERSION: "1.0"}, True),
        (UPGRADE, {}, True),
        (STOP, {MODE: "1"}, False),
        (STOP, {MODE: "2"}, True),
        (STOP, {MODE: "3", PAUSE: "1"}, True),
        (STOP, {MODE: "5"}, True),
        (STOP, {MODE: "5", PAUSE: "1"}, False),
        (STOP, {MODE: "5", PAUSE: "Yes"}, True),
        (STOP, {}, True),
        (RESUME, {MODE: "1"}, False),
        (RESUME, {MODE: "3"}, False),
        (RESUME, {MODE: "5"}, False),
        (RESUME, {MODE: "5", PAUSE: "1"}, True),
        (RESUME, {MODE: "5", PAUSE: "Yes"}, True),
        (RESUME, {MODE: "2", StateId.NEXT_SCHEDULE_EVENT: "22:00"}, True),
        (RESUME, {MODE: "7"}, True),
        (RESUME, {}, True),
        (DEAUTHORIZE, {MODE: "1"}, False),
        (DEAUTHORIZE, {MODE: "5", PAUSE: "1"}, True),
        (DEAUTHORIZE, {}, True),
    ],
)
async def test_whether_a_command_has_an_effect(
    home: Home, command: Command, reports: dict[StateId, str], is_sent: bool
) -> None:
    """A command is sent unless the charger has reported all that it would bring about."""
    for state_id, value in reports.items():
        home.report(state_id, value)
    await home.chargers.async_send("charger", command)
    assert home.client.send_command.await_count == is_sent


@pytest.mark.parametrize("pending", [PAUSE, SESSION])
@pytest.mark.parametrize(
    ("command", "mode"), [(STOP, "1"), (RESUME, "3"), (DEAUTHORIZE, "1")]
)
async def test_a_command_is_sent_while_an_earlier_one_is_not_confirmed(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
    mode: str,
    pending: StateId,
) -> None:
    """A pause or the end of a session that is not confirmed yet may change the mode."""
    monkeypatch.setattr(charger, "STOP_TIME", 0.0)
    home.report(MODE, mode)
    await home.confirmations.async_send("charger", pending, home.client.constants())
    await home.chargers.async_send("charger", command)
    home.client.send_command.assert_awaited_once_with("charger", command)


@pytest.mark.parametrize(
    ("command", "state_id"),
    [
        (RESTART, StateId.IS_ONLINE),
        (UPGRADE, StateId.IS_ONLINE),
        (STOP, PAUSE),
        (RESUME, PAUSE),
        (DEAUTHORIZE, SESSION),
    ],
)
async def test_what_confirms_a_command(
    home: Home, command: Command, state_id: StateId
) -> None:
    """Each command changes one StateId for certain, which is uncertain until it is reported."""
    await home.chargers.async_send("charger", command)
    assert home.confirmations.pending("charger") == {state_id}


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize(
    ("kind", "blocked"),
    [
        (None, set()),
        (AuthenticationType.NATIVE, set()),
        (AuthenticationType.WEBHOOKS, set()),
        (AuthenticationType.OCPP, {STOP, RESUME}),
        (AuthenticationType.OCPPNATIVE, {STOP, RESUME, DEAUTHORIZE}),
    ],
)
async def test_an_ocpp_system_blocks_charging_alone(
    home: Home,
    command: Command,
    kind: AuthenticationType | None,
    blocked: set[Command],
) -> None:
    """An OCPP system decides about charging; restarts and firmware are the cloud's."""
    home.account = Account(
        {"home": replace(INSTALLATION, authentication_type=kind)},
        home.account.chargers,
    )
    if command not in blocked:
        await home.chargers.async_send("charger", command)
        home.client.send_command.assert_awaited_once()
        return
    with pytest.raises(ServiceValidationError) as raised:
        await home.chargers.async_send("charger", command)
    assert raised.value.translation_key == "ocpp_controls_charging"
    home.client.send_command.assert_not_awaited()


@pytest.mark.parametrize("command", Command)
async def test_a_stand_alone_charger_ignores_commands_about_charging_alone(
    home: Home, command: Command
) -> None:
    """A stand-alone charger is restarted and upgraded, but charges without the cloud."""
    home.report(StateId.IS_STAND_ALONE, "1")
    if command in (RESTART, UPGRADE):
        await home.chargers.async_send("charger", command)
        home.client.send_command.assert_awaited_once()
        return
    with pytest.raises(ServiceValidationError) as raised:
        await home.chargers.async_send("charger", command)
    assert raised.value.translation_key == "charger_is_stand_alone"


@pytest.mark.parametrize(
    ("command", "mode", "has_effect"),
    [
        (RESTART, "3", False),
        (UPGRADE, "3", False),
        (STOP, "3", False),
        (STOP, "1", True),
        (RESUME, "2", True),
        (RESUME, "3", True),
        (DEAUTHORIZE, "3", True),
    ],
)
async def test_a_command_that_the_cloud_rejects(
    home: Home, command: Command, mode: str, has_effect: bool
) -> None:
    """A rejected command is an error, unless a reading shows that nothing was left to do."""
    home.is_live = False
    home.report(MODE, mode)
    # The reading before the command fails, so it is sent.
    home.client.charger_state.side_effect = [ZaptecConnectionError(""), ()]
    home.client.send_command.side_effect = ZaptecRejectedError(DEVICE_COMMAND_REJECTED)
    if has_effect:
        await home.chargers.async_send("charger", command)
    else:
        with pytest.raises(HomeAssistantError):
            await home.chargers.async_send("charger", command)
    home.client.send_command.assert_awaited_once()


async def test_a_car_that_charges_needs_no_resume(home: Home) -> None:
    """A car that charges in spite of a pause is not resumed."""
    home.report(MODE, "3")
    home.report(PAUSE, "1")
    await home.chargers.async_send("charger", RESUME)
    home.client.send_command.assert_not_awaited()


@pytest.mark.parametrize(
    ("command", "is_refused"), [(RESUME, True), (STOP, False), (DEAUTHORIZE, False)]
)
async def test_a_session_that_has_ended(
    home: Home, command: Command, is_refused: bool
) -> None:
    """A session that has ended cannot be resumed; it may be stopped once more."""
    for state_id, value in ((SESSION, "a session"), (SESSION, ""), (MODE, "5")):
        home.report(state_id, value)
    if not is_refused:
        await home.chargers.async_send("charger", command)
        home.client.send_command.assert_awaited_once()
        return
    with pytest.raises(ServiceValidationError) as raised:
        await home.chargers.async_send("charger", command)
    assert raised.value.translation_key == "session_ended"
    home.client.send_command.assert_not_awaited()


async def test_the_newest_firmware_is_not_installed_again(home: Home) -> None:
    """The newest firmware is not installed again, because the charger would restart for nothing."""
    home.report(StateId.SOFTWARE_VERSION, "2.0")
    await home.chargers.async_send("charger", Command.UPGRADE_FIRMWARE)
    home.client.send_command.assert_not_awaited()


async def test_a_setting_is_one_request(home: Home) -> None:
    """A setting is one request, with the cloud's name and the value from the row."""
    home.report(StateId.CHARGER_MAX_CURRENT, "20")
    await home.chargers.async_set("charger", MAX_CURRENT, 16.04)
    home.client.update_charger.assert_awaited_once_with(
        "charger", max_charge_current=16.0
    )
    with pytest.raises(ServiceValidationError) as raised:
        await home.chargers.async_set("charger", MIN_CURRENT, 17)
    assert raised.value.translation_key == "min_current_above_max"


async def test_a_setting_of_an_installation_is_shown_at_once(home: Home) -> None:
    """An accepted setting of an installation is shown at once, because no message reports it."""
    await home.installations.async_set("home", PHASE_SWITCH_CURRENT, 12)
    await home.installations.async_set("home", PHASE_SWITCH_CURRENT, 12)
    home.client.update_installation.assert_awaited_once_with(
        "home", three_to_one_phase_switch_current=12
    )
    installation = home.account.installations["home"]
    assert installation.three_to_one_phase_switch_current == 12


@pytest.mark.parametrize(
    ("error", "key", "asks_for_password"),
    [
        (ZaptecAuthenticationError("x"), "authentication_failed", True),
        (ZaptecConnectionError("x"), "cannot_connect", False),
    ],
)
async def test_all_ways_translate_errors_alike(
    home: Home, error: Exception, key: str, asks_for_password: bool
) -> None:
    """All ways to send translate the cloud's errors to the same texts."""
    client = home.client
    for method in (
        client.send_command,
        client.update_charger,
        client.update_installation,
    ):
        method.side_effect = error
    for call in (
        home.chargers.async_send("charger", Command.RESTART_CHARGER),
        home.chargers.async_set("charger", MAX_CURRENT, 10),
        home.installations.async_set("home", PHASE_SWITCH_CURRENT, 12),
    ):
        with pytest.raises(HomeAssistantError) as raised:
            await call
        assert raised.value.translation_key == key
    assert home.start_reauth.called is asks_for_password
