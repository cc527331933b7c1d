"""Repair issues: what a person should know of, and can do something about."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from .api import AuthenticationType, AvailableCurrentMode, Installation, StateId
from .commands import may_control
from .const import DOMAIN, PushRefusal, PushStatus
from .coordinator import Link, ZaptecConfigEntry, ZaptecCoordinator

README_URL = "https://github.com/zaptec-home-assistant/zaptec#repair-issues"

CHECK_INTERVAL = timedelta(minutes=1)

# A link that is down for less is opened again without anybody's doing.
DOWN_TIME = timedelta(minutes=30)

# A link that is up for less has not ended an outage.
UP_TIME = timedelta(minutes=1)

_REFUSALS = {
    PushRefusal.ROLE: "push_not_permitted",
    PushRefusal.UNAVAILABLE: "push_unavailable",
}
_CURRENT_MODES = {
    AvailableCurrentMode.SCHEDULE: "schedule_controls_current",
    AvailableCurrentMode.AUTOMATIC: "power_meter_controls_current",
}
_AUTHENTICATION_TYPES = {
    AuthenticationType.OCPP: "ocpp_controls_charging",
    AuthenticationType.OCPPNATIVE: "ocpp_controls_charging",
    AuthenticationType.WEBHOOKS: "web_hook_authorizes",
}


@dataclass(frozen=True, slots=True)
class _Issue:
    """Something about an installation or a charger."""

    key: str
    device_id: str
    name: str
    since: datetime | None = None
    """Since when it is so; None where nobody tells."""

    @property
    def id(self) -> str:
        """Return the id, always the same, so that what is ignored stays ignored."""
        return f"{self.key}_{self.device_id}"


class Issues:
    """The issues of an account, each as long as it is true."""

    def __init__(self, hass: HomeAssistant, coordinator: ZaptecCoordinator) -> None:
        """Initialize the issues."""
        self._hass = hass
        self._coordinator = coordinator
        self._down_since: dict[str, datetime] = {}
        # When an issue was first seen, by its id.
        self._seen: dict[str, datetime] = {}

    @callback
    def start(self) -> None:
        """Keep the issues in line with the account, as long as the entry is loaded."""
        entry = self._coordinator.config_entry
        self._update()
        entry.async_on_unload(self._coordinator.async_add_listener(self._update))
        entry.async_on_unload(
            async_track_time_interval(
                self._hass, self._update, CHECK_INTERVAL, name=f"{DOMAIN} issues"
            )
        )
        entry.async_on_unload(self._stop)

    @callback
    def _stop(self) -> None:
        """Leave what may be ignored to the next start, if there is one."""
        if self._coordinator.config_entry.disabled_by:
            async_delete_issues(self._hass, self._coordinator.config_entry)

    @callback
    def _update(self, _now: datetime | None = None) -> None:
        """Create the issues that are true, and delete the others."""
        entry_id = self._coordinator.config_entry.entry_id
        issues = {issue.id: issue for issue in self._issues()}
        for issue_id in _issue_ids(self._hass, entry_id) - issues.keys():
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)
            self._seen.pop(issue_id, None)
        for issue in issues.values():
            since = issue.since or self._seen.setdefault(issue.id, dt_util.utcnow())
            ir.async_create_issue(
                self._hass,
                DOMAIN,
                issue.id,
                data={"entry_id": entry_id},
                is_fixable=False,
                learn_more_url=README_URL,
                severity=ir.IssueSeverity.WARNING,
                translation_key=issue.key,
                translation_placeholders={
                    "name": _plain(issue.name),
                    "since": f"{dt_util.as_local(since):%Y-%m-%d %H:%M}",
                },
            )

    def _issues(self) -> Iterator[_Issue]:
        """Find what is to be told."""
        coordinator = self._coordinator
        for installation_id, link in coordinator.links.items():
            installation = coordinator.data.installations.get(installation_id)
            name = (installation and installation.name) or "Zaptec"
            yield from self._link_issues(installation_id, name, link)
            if installation and may_control(installation):
                yield from _control_issues(installation, name)
        for charger in coordinator.data.chargers.values():
            state = coordinator.states.get(charger.id)
            if may_control(charger) and state and state.value(StateId.IS_STAND_ALONE):
                yield _Issue(
                    "charger_stand_alone",
                    charger.id,
                    charger.name or charger.device_id or "Zaptec",
                    state.timestamp(StateId.IS_STAND_ALONE),
                )

    def _link_issues(
        self, installation_id: str, name: str, link: Link
    ) -> Iterator[_Issue]:
        """Find what is to be told of the messages of an installation."""
        if link.shared_since:
            yield _Issue("push_shared", installation_id, name, link.shared_since)
        if link.refusal:
            yield _Issue(_REFUSALS[link.refusal], installation_id, name, link.since)
        now = dt_util.utcnow()
        if link.status is PushStatus.CONNECTED:
            if now - link.since >= UP_TIME:
                self._down_since.pop(installation_id, None)
        elif link.status is not PushStatus.NOT_PERMITTED:
            self._down_since.setdefault(installation_id, link.since)
        else:
            self._down_since.pop(installation_id, None)
        down_since = self._down_since.get(installation_id)
        if down_since and now - down_since >= DOWN_TIME:
            yield _Issue("push_down", installation_id, name, down_since)


def _control_issues(installation: Installation, name: str) -> Iterator[_Issue]:
    """Find what makes controls of an installation futile."""
    mode = installation.available_current_mode
    if mode in _CURRENT_MODES:
        yield _Issue(_CURRENT_MODES[mode], installation.id, name)
    authentication_type = installation.authentication_type
    if authentication_type in _AUTHENTICATION_TYPES:
        yield _Issue(_AUTHENTICATION_TYPES[authentication_type], installation.id, name)


def _plain(name: str) -> str:
    """Return a name that people gave, fit for a text that is shown as Markdown."""
    return "".join(
        f"\\{char}" if char in "\\`*_{}[]()<>#!|~" else char for char in name
    )


def _issue_ids(hass: HomeAssistant, entry_id: str) -> set[str]:
    """Return the ids of the issues of an account that are shown."""
    return {
        issue.issue_id
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN
        and issue.data is not None
        and issue.data.get("entry_id") == entry_id
    }


@callback
def async_delete_issues(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Delete all issues of an account that is gone."""
    for issue_id in _issue_ids(hass, entry.entry_id):
        ir.async_delete_issue(hass, DOMAIN, issue_id)
