"""Finds what keeps the web hooks of an account from working."""

from collections.abc import Iterator
from datetime import timedelta
from enum import Enum, auto

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from yarl import URL

from .api import AuthenticationType, Charger, Installation, OperationMode, StateId
from .runtime import ZaptecConfigEntry
from .web_hook_settings import (
    WebHookSettings,
    WebHookWatch,
    async_get_watch,
    from_entry,
)
from .web_hook_urls import WebHookUrlError, base_url, has_cloud

# Time for which a car waits without a call before the user learns of it. The cloud calls
# within seconds, and then each 10 s.
NO_CALL_TIME = timedelta(minutes=2)

# Maximum difference between the clocks of the cloud and of Home Assistant.
_CLOCK_DIFFERENCE = timedelta(minutes=1)

# Number of calls with wrong credentials of which the user learns, and time after the last
# one until the issue ends.
WRONG_CREDENTIALS_MIN = 3
WRONG_CREDENTIALS_TIME = timedelta(days=1)


class WebHookProblem(Enum):
    """What keeps web hooks from working."""

    NOT_OURS = auto()
    """The cloud calls other URLs."""
    NO_CALL = auto()
    """A car waits, and no call has come for it."""
    URL_CHANGED = auto()
    """Home Assistant has another external URL than the one that was shown to the user."""
    CLOUD_SIGNED_OUT = auto()
    """They are reached by Home Assistant Cloud, which is no longer signed in."""
    WRONG_CREDENTIALS = auto()
    """Calls came with another user name or password, or to URLs from before a renewal."""


class WebHookIssues:
    """The problems of the web hooks that are set up on an account."""

    def __init__(self, hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
        """Initialize without problems."""
        self._hass = hass
        self._entry = entry
        self._runtime = entry.runtime_data
        self._started = dt_util.utcnow()
        # The installations with a car for which no call came. Only a call shows that the
        # problem is over: the car may have left.
        self._not_called: set[str] = set()

    def find(self) -> Iterator[tuple[WebHookProblem, str]]:
        """Find the problems, each with its installation."""
        web_hooks = from_entry(self._entry)
        installations = self._runtime.coordinator.data.installations
        self._not_called &= web_hooks.keys()
        for installation_id, settings in web_hooks.items():
            watch = async_get_watch(self._hass, installation_id)
            installation = installations.get(installation_id)
            if installation and _is_elsewhere(installation, settings):
                yield WebHookProblem.NOT_OURS, installation_id
            elif installation and self._is_not_called(installation, watch):
                yield WebHookProblem.NO_CALL, installation_id
            if self._has_changed(settings):
                yield WebHookProblem.URL_CHANGED, installation_id
            if settings.is_cloud_hook and not has_cloud(self._hass):
                yield WebHookProblem.CLOUD_SIGNED_OUT, installation_id
            if _has_wrong_credentials(watch):
                yield WebHookProblem.WRONG_CREDENTIALS, installation_id

    def undecided(self) -> Iterator[tuple[WebHookProblem, str]]:
        """Return the problems that may be present, which is unknown at the moment."""
        installations = self._runtime.coordinator.data.installations
        for installation_id in from_entry(self._entry):
            installation = installations.get(installation_id)
            if installation is None or installation.authentication_type is None:
                yield WebHookProblem.NOT_OURS, installation_id
            watch = async_get_watch(self._hass, installation_id)
            if watch.last_start is None and (
                installation is None
                or installation.authentication_type
                in (None, AuthenticationType.WEBHOOKS)
            ):
                yield WebHookProblem.NO_CALL, installation_id

    def _is_not_called(self, installation: Installation, watch: WebHookWatch) -> bool:
        """Return whether a car waits, or has waited, without a call."""
        if installation.authentication_type is not AuthenticationType.WEBHOOKS:
            self._not_called.discard(installation.id)
            return False
        if any(
            self._waits_without_call(charger, watch)
            for charger in self._runtime.coordinator.data.chargers.values()
            if charger.installation_id == installation.id
        ):
            self._not_called.add(installation.id)
        elif watch.last_start and dt_util.utcnow() - watch.last_start < NO_CALL_TIME:
            self._not_called.discard(installation.id)
        return installation.id in self._not_called

    def _waits_without_call(self, charger: Charger, watch: WebHookWatch) -> bool:
        """Return whether a car has waited for an authorization, and no call came for it.

        A car that was there before the start may have been asked for then.
        """
        state = self._runtime.states.get(charger.id)
        if (
            state is None
            or state.value(StateId.CHARGER_OPERATION_MODE)
            is not OperationMode.CONNECTED_REQUESTING
            or state.value(StateId.SESSION_IDENTIFIER)
        ):
            return False
        since = state.timestamp(StateId.CHARGER_OPERATION_MODE)
        if since is None or since < self._started:
            return False
        called = watch.chargers.get(charger.id)
        return dt_util.utcnow() - since >= NO_CALL_TIME and (
            called is None or called < since - _CLOCK_DIFFERENCE
        )

    def _has_changed(self, settings: WebHookSettings) -> bool:
        """Return whether the URL in the portal no longer leads to this Home Assistant."""
        if settings.is_cloud_hook or not settings.start_url:
            return False
        try:
            return (
                URL(base_url(self._hass)).origin() != URL(settings.start_url).origin()
            )
        except WebHookUrlError:
            return True


def _is_elsewhere(installation: Installation, settings: WebHookSettings) -> bool:
    """Return whether the cloud calls other URLs than ours, as far as it shows them."""
    if installation.authentication_type is not AuthenticationType.WEBHOOKS:
        return False
    return any(
        url is not None and url.strip() != ours
        for url, ours in (
            (installation.web_hook_start_url, settings.start_url),
            (installation.web_hook_end_url, settings.end_url),
        )
    )


def _has_wrong_credentials(watch: WebHookWatch) -> bool:
    """Return whether calls came with wrong credentials, lately."""
    return (
        watch.wrong_credentials >= WRONG_CREDENTIALS_MIN
        and watch.last_wrong_credentials is not None
        and dt_util.utcnow() - watch.last_wrong_credentials < WRONG_CREDENTIALS_TIME
    )
