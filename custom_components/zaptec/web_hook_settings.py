"""The web hooks by which the Zaptec cloud asks who may charge: their settings and calls.

The settings are stored in the data of the account that shows the installation, not in its
options: the ids and the password are secrets. What was called is kept in memory only: after
a restart, the next call shows again that the web hooks work.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
import secrets
from typing import Any, Final, Self

from homeassistant.components.webhook import async_generate_id
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from .authorization import Access
from .const import DOMAIN, LOGGER

# The settings of the web hooks in the data of an entry, by installation.
CONF_WEB_HOOKS: Final = "web_hooks"

# Who may charge, in the settings of the web hooks of an installation.
CONF_ACCESS: Final = "access"

_ACCESSES: Final = {access.value: access for access in Access}

# Maximum number of ids that are kept after renewals, until the web hooks are turned off. The
# portal may have an old URL for long, also one of two; Home Assistant would answer 200 and log
# an id that it doesn't know.
RETIRED_IDS_MAX: Final = 20

# Length of the password and of the random part of the user name (bytes). Both are hexadecimal
# numbers, as the portal takes them as a query string, in which other characters are escaped.
_PASSWORD_BYTES = 32
_USERNAME_BYTES = 4

# The watches of the web hooks, by installation.
_WATCHES: HassKey[dict[str, WebHookWatch]] = HassKey(f"{DOMAIN}_web_hook_watches")


class OnError(StrEnum):
    """What the start call is answered when our own part of the decision fails."""

    PERMIT = "permit"
    REFUSE = "refuse"


class Door(StrEnum):
    """The two web hooks of an installation."""

    START = "start"
    END = "end"


class CallProblem(StrEnum):
    """Why a call with the right credentials was not understood."""

    BODY = "body"
    """The body is too large, not JSON, or lacks a field."""
    CHARGER = "charger"
    """The charger or installation is not one of those that the web hook is for."""
    FAILURE = "failure"
    """Our own part failed; see the log."""


@dataclass(frozen=True, slots=True)
class WebHookSettings:
    """The web hooks of one installation."""

    start_id: str = field(repr=False)
    end_id: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)
    on_error: OnError = OnError.PERMIT
    start_url: str = field(default="", repr=False)
    """The URL that was shown to the user last, "" if none was."""
    end_url: str = field(default="", repr=False)
    is_cloud_hook: bool = False
    """Whether those URLs are cloud hooks."""
    retired_ids: tuple[str, ...] = field(default=(), repr=False)
    """Ids from before a renewal, which are registered and permit nothing."""
    access: Access | None = Access.EVERYONE
    """Who may charge, None if that cannot be read."""

    @property
    def access_or_fallback(self) -> Access:
        """Return who may charge, as the user has chosen for errors if that is unknown."""
        if self.access is not None:
            return self.access
        return Access.EVERYONE if self.on_error is OnError.PERMIT else Access.NOBODY

    @classmethod
    def new(cls, on_error: OnError = OnError.PERMIT) -> Self:
        """Return settings with new ids, a new user name and a new password."""
        return cls(
            start_id=async_generate_id(),
            end_id=async_generate_id(),
            username=f"{DOMAIN}{secrets.token_hex(_USERNAME_BYTES)}",
            password=secrets.token_hex(_PASSWORD_BYTES),
            on_error=on_error,
        )

    def renewed(self) -> Self:
        """Return settings with new secrets; calls with the present ones permit nothing."""
        retired = (*self.retired_ids, self.start_id, self.end_id)
        new = replace(self.new(), retired_ids=retired[-RETIRED_IDS_MAX:])
        return self.with_secrets_of(new)

    def with_secrets_of(self, other: Self) -> Self:
        """Return these settings with the ids, URLs, user name and password of others."""
        return replace(
            self,
            start_id=other.start_id,
            end_id=other.end_id,
            username=other.username,
            password=other.password,
            start_url=other.start_url,
            end_url=other.end_url,
            is_cloud_hook=other.is_cloud_hook,
            retired_ids=other.retired_ids,
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """Return all ids that are to be registered."""
        return (self.start_id, self.end_id, *self.retired_ids)

    @property
    def payload(self) -> str:
        """Return the authentication payload, as the portal takes it."""
        return f"username={self.username}&password={self.password}"

    def as_stored(self) -> dict[str, Any]:
        """Return the settings as they are stored."""
        return asdict(self) | {
            "on_error": self.on_error.value,
            "retired_ids": list(self.retired_ids),
            "access": self.access and self.access.value,
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Return stored settings.

        Raises:
            KeyError, TypeError, ValueError: What is stored is not such settings.

        """
        if not all(
            isinstance(stored[key], str) and stored[key]
            for key in ("start_id", "end_id", "username", "password")
        ):
            raise ValueError
        return cls(
            start_id=stored["start_id"],
            end_id=stored["end_id"],
            username=stored["username"],
            password=stored["password"],
            on_error=OnError(stored.get("on_error", OnError.PERMIT)),
            start_url=str(stored.get("start_url", "")),
            end_url=str(stored.get("end_url", "")),
            is_cloud_hook=bool(stored.get("is_cloud_hook")),
            retired_ids=tuple(map(str, stored.get("retired_ids", ()))),
            access=_ACCESSES.get(str(stored.get(CONF_ACCESS))),
        )


def from_entry(entry: ConfigEntry[Any]) -> dict[str, WebHookSettings]:
    """Return the web hooks that are set up on an account, by installation.

    The entry may be in any state, so that the web hooks answer while it is not loaded.
    """
    settings: dict[str, WebHookSettings] = {}
    for installation_id, stored in (entry.data.get(CONF_WEB_HOOKS) or {}).items():
        try:
            settings[installation_id] = WebHookSettings.from_stored(stored)
        except KeyError, TypeError, ValueError:
            # Without the value: it has the secrets.
            LOGGER.error("The stored webhooks of an installation are not readable")
    return settings


@callback
def async_store(
    hass: HomeAssistant,
    entry: ConfigEntry[Any],
    installation_id: str,
    settings: WebHookSettings | None,
) -> None:
    """Store the web hooks of an installation on an account; None removes them.

    Home Assistant then announces the changed entry (SIGNAL_CONFIG_ENTRY_CHANGED). Who may
    charge stays as it is, because that may have changed since the settings were read.
    """
    stored = dict(entry.data.get(CONF_WEB_HOOKS) or {})
    present = stored.pop(installation_id, {})
    if settings:
        kept = {key: present[key] for key in (CONF_ACCESS,) if key in present}
        stored[installation_id] = settings.as_stored() | kept
    _store(hass, entry, stored)


@callback
def async_store_access(
    hass: HomeAssistant, entry: ConfigEntry[Any], installation_id: str, access: Access
) -> None:
    """Store who may charge in an installation whose web hooks are set up."""
    stored = dict(entry.data.get(CONF_WEB_HOOKS) or {})
    stored[installation_id] = {**stored[installation_id], CONF_ACCESS: access.value}
    _store(hass, entry, stored)


def _store(
    hass: HomeAssistant, entry: ConfigEntry[Any], stored: Mapping[str, Any]
) -> None:
    """Store the web hooks of all installations of an account."""
    data = {key: value for key, value in entry.data.items() if key != CONF_WEB_HOOKS}
    if stored:
        data[CONF_WEB_HOOKS] = stored
    hass.config_entries.async_update_entry(entry, data=data)


class WebHookWatch:
    """Which calls came to the web hooks of one installation since the start."""

    def __init__(self) -> None:
        """Initialize the watch of web hooks that were not called."""
        self._listeners: set[Callable[[], None]] = set()
        self.forget()

    @callback
    def forget(self) -> None:
        """Start over, because the web hooks have new secrets."""
        self.first_call: datetime | None = None
        self.last_call: datetime | None = None
        # A start call alone shows that the cloud asks who may charge.
        self.last_start: datetime | None = None
        self.last_door: Door | None = None
        # When each charger was last asked for, by its id.
        self.chargers: dict[str, datetime] = {}
        self.wrong_credentials = 0
        # How many of them came to a former URL since the last call to a present one.
        self.former_urls = 0
        self.last_wrong_credentials: datetime | None = None
        self.last_problem: CallProblem | None = None
        self.last_problem_at: datetime | None = None

    @callback
    def add_listener(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Run a callback at each call; return how to stop that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    @callback
    def note_call(self, door: Door, now: datetime, charger_id: str = "") -> None:
        """Note a call that was understood and has the right credentials.

        Args:
            door: Which of the web hooks was called.
            now: The time.
            charger_id: The charger of a start call, which is one of the installation's.

        """
        self.first_call = self.first_call or now
        # The portal has the new values now. Others may still be guessing.
        self.wrong_credentials -= self.former_urls
        self.former_urls = 0
        self.last_call = now
        self.last_door = door
        if door is Door.START:
            self.last_start = now
        if charger_id:
            self.chargers[charger_id] = now
        self._notify()

    @callback
    def note_wrong_credentials(self, now: datetime, *, is_former: bool = False) -> None:
        """Note a call whose user name or password is wrong or missing.

        Args:
            now: The time.
            is_former: Whether it came to a URL from before a renewal, whose password counts
                no more.

        """
        self.wrong_credentials += 1
        self.former_urls += is_former
        self.last_wrong_credentials = now
        self._notify()

    @callback
    def note_problem(self, problem: CallProblem, now: datetime) -> None:
        """Note a call that has the right credentials and was not understood."""
        self.last_problem = problem
        self.last_problem_at = now
        self._notify()

    def _notify(self) -> None:
        """Run the listeners, each of which may remove itself."""
        for listener in list(self._listeners):
            listener()


@callback
def async_get_watch(hass: HomeAssistant, installation_id: str) -> WebHookWatch:
    """Return the watch of an installation's web hooks, whether its account runs or not."""
    watches = hass.data.setdefault(_WATCHES, {})
    return watches.setdefault(installation_id, WebHookWatch())


@callback
def async_drop_watch(hass: HomeAssistant, installation_id: str) -> None:
    """Forget the calls of an installation whose web hooks were turned off."""
    hass.data.get(_WATCHES, {}).pop(installation_id, None)
