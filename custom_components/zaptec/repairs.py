"""Repair issues: what the user should know of and can change, and their flows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from .api import (
    AuthenticationType,
    AvailableCurrentMode,
    Charger,
    Installation,
    StateId,
)
from .const import DOMAIN, WEB_HOOKS_URL, PushRefusal, PushStatus
from .control.checks import may_control
from .devices.adoption import async_get_device
from .energy_dashboard import CountedTwice
from .leftovers import async_remove_named
from .price_entity import MissingPriceEntity
from .removed_persons import PERSON_REMOVED, RemovedPersonFlow
from .runtime import ZaptecConfigEntry
from .sources.installation_push import InstallationPush
from .sources.link import Link
from .sources.stream_watch import LOSS_MEMORY_MAX, LOSS_MEMORY_MIN, MESSAGES_WITHOUT_GAP
from .texts import without_markup
from .web_hook_issues import WebHookIssues, WebHookProblem
from .web_hook_removal import WEB_HOOKS_REMOVED
from .web_hook_settings import from_entry

README_URL = "https://github.com/zaptec-home-assistant/zaptec#repair-issues"

# Interval between two checks of the issues that depend on time alone.
CHECK_INTERVAL = timedelta(minutes=1)

# Minimum time that messages have to be down before the user learns of it. A shorter outage
# ends by reconnecting.
DOWN_TIME = timedelta(minutes=30)

# Minimum time that messages have to arrive before its outage counts as over.
UP_TIME = timedelta(minutes=1)

# Number of characters of the id of a user group that are shown. It has no other name.
GROUP_ID_SHOWN = 8

# Earliest time that is shown. A charger whose clock is not set reports times of long ago.
EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)

_REFUSALS = {
    PushRefusal.ROLE: "push_not_permitted",
    PushRefusal.UNAVAILABLE: "push_unavailable",
}
_GROUP_REFUSED = "user_group_refused"
_GROUP_UNAVAILABLE = "user_group_unavailable"
_GROUP_SHARED = "user_group_shared"
_PRICE_ENTITY_MISSING = "price_entity_missing"
_CURRENT_MODES = {
    AvailableCurrentMode.SCHEDULE: "schedule_controls_current",
    AvailableCurrentMode.AUTOMATIC: "power_meter_controls_current",
}
_AUTHENTICATION_TYPES = {
    AuthenticationType.OCPP: "ocpp_controls_charging",
    AuthenticationType.OCPPNATIVE: "ocpp_controls_charging",
    AuthenticationType.WEBHOOKS: "web_hook_authorizes",
}
_WEB_HOOK_PROBLEMS = {
    WebHookProblem.NOT_OURS: "web_hooks_not_ours",
    WebHookProblem.NO_CALL: "web_hooks_no_call",
    WebHookProblem.URL_CHANGED: "web_hooks_url_changed",
    WebHookProblem.CLOUD_SIGNED_OUT: "web_hooks_cloud_signed_out",
    WebHookProblem.WRONG_CREDENTIALS: "web_hooks_wrong_credentials",
}


@dataclass(frozen=True, slots=True)
class _Issue:
    """A problem of an installation or a charger."""

    key: str
    device_id: str
    name: str
    since: datetime | None = None
    """When the problem began; None if the cloud does not report it."""
    text: str = ""
    """The key of the texts, if it is not that of the issue."""

    @property
    def id(self) -> str:
        """Return the id, which never changes, so that an ignored issue stays ignored."""
        return f"{self.key}_{self.device_id}"


class Issues:
    """The issues of an account, each for as long as its problem lasts.

    An issue is deleted once its problem is known to have ended. After a start, and while
    the cloud fails, that is unknown for some issues. Deleting one then, and creating it
    again soon after, would show an issue again that the user has ignored.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ZaptecConfigEntry,
        counted_twice: CountedTwice,
    ) -> None:
        """Initialize the issues.

        Args:
            hass: Home Assistant.
            entry: The entry of the account.
            counted_twice: Returns those of some chargers that the Energy dashboard counts
                twice.

        """
        self._hass = hass
        self._counted_twice = counted_twice
        self._entry = entry
        self._runtime = entry.runtime_data
        self._down_since: dict[str, datetime] = {}
        self._missing_price = MissingPriceEntity(hass, self._runtime.prices)
        self._web_hooks = WebHookIssues(hass, entry)
        # When the problem of an issue was first seen, by the id of the issue.
        self._seen: dict[str, datetime] = {}
        # The installations and user groups whose messages another program was seen to read.
        self._shared: set[str] = set()

    @callback
    def start(self) -> None:
        """Keep the issues in line with the account until the entry is unloaded."""
        self._update()
        self._entry.async_on_unload(
            self._runtime.coordinator.async_add_listener(self._update)
        )
        self._entry.async_on_unload(
            async_track_time_interval(
                self._hass, self._update, CHECK_INTERVAL, name=f"{DOMAIN} issues"
            )
        )

    @callback
    def _update(self, _now: datetime | None = None) -> None:
        """Create the issues of present problems, and delete those of past ones."""
        entry_id = self._entry.entry_id
        for installation_id in self._down_since.keys() - self._runtime.links.keys():
            del self._down_since[installation_id]
        groups = {link.channel.id for link in self._runtime.links.groups}
        self._shared &= self._runtime.links.keys() | groups
        issues = {issue.id: issue for issue in self._issues()}
        others = _issue_ids(self._hass, entry_id, is_fixable=False) - issues.keys()
        for issue_id in others - self._undecided(others):
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)
        for issue_id in self._seen.keys() - _issue_ids(self._hass, entry_id):
            del self._seen[issue_id]
        for issue in issues.values():
            since = issue.since or self._seen.setdefault(issue.id, dt_util.utcnow())
            ir.async_create_issue(
                self._hass,
                DOMAIN,
                issue.id,
                data={"entry_id": entry_id},
                is_fixable=False,
                learn_more_url=WEB_HOOKS_URL
                if issue.key in _WEB_HOOK_PROBLEMS.values()
                else README_URL,
                severity=ir.IssueSeverity.WARNING,
                translation_key=issue.text or issue.key,
                translation_placeholders={
                    # Home Assistant shows a description as Markdown, and a title as it is.
                    "name": without_markup(issue.name),
                    "plain_name": issue.name,
                    "since": f"{dt_util.as_local(since):%Y-%m-%d %H:%M}",
                },
            )

    def _issues(self) -> Iterator[_Issue]:
        """Find the problems of the account."""
        account = self._runtime.coordinator.data
        for installation_id, push in self._runtime.links.items():
            installation = account.installations.get(installation_id)
            name = (installation and installation.name) or "Zaptec"
            yield from self._push_issues(installation_id, name, push)
            if installation and may_control(installation):
                is_ours = installation_id in from_entry(self._entry)
                yield from _control_issues(installation, name, has_web_hooks=is_ours)
        for link in self._runtime.links.groups:
            yield from self._group_issues(link)
        for charger in account.chargers.values():
            state = self._runtime.states.get(charger.id)
            if may_control(charger) and state and state.value(StateId.IS_STAND_ALONE):
                yield _Issue(
                    "charger_stand_alone",
                    charger.id,
                    _name(charger),
                    _credible(state.timestamp(StateId.IS_STAND_ALONE)),
                )
        yield from self._history_issues()
        for problem, installation_id in self._web_hooks.find():
            installation = account.installations.get(installation_id)
            name = (installation and installation.name) or "Zaptec"
            yield _Issue(_WEB_HOOK_PROBLEMS[problem], installation_id, name)

    def _history_issues(self) -> Iterator[_Issue]:
        """Find the problems of the history."""
        account = self._runtime.coordinator.data
        for installation_id in self._runtime.history.refused():
            installation = account.installations.get(installation_id)
            name = (installation and installation.name) or "Zaptec"
            yield _Issue("history_not_permitted", installation_id, name)
        for charger_id in self._counted_twice(account.chargers):
            yield _Issue(
                "energy_counted_twice", charger_id, _name(account.chargers[charger_id])
            )
        if entity_id := self._missing_price.find():
            yield _Issue(
                _PRICE_ENTITY_MISSING,
                self._entry.entry_id,
                entity_id,
                self._missing_price.since,
            )

    def _push_issues(
        self, installation_id: str, name: str, push: InstallationPush
    ) -> Iterator[_Issue]:
        """Find the problems of the messages of an installation."""
        if push.shared_since:
            self._shared.add(installation_id)
            yield _Issue("push_shared", installation_id, name, push.shared_since)
        if push.refusal:
            yield _Issue(_REFUSALS[push.refusal], installation_id, name, push.since)
        now = dt_util.utcnow()
        if push.status is PushStatus.CONNECTED:
            if now - push.since >= UP_TIME:
                self._down_since.pop(installation_id, None)
        elif push.status is not PushStatus.NOT_PERMITTED:
            self._down_since.setdefault(installation_id, push.since)
        else:
            self._down_since.pop(installation_id, None)
        down_since = self._down_since.get(installation_id)
        if down_since and now - down_since >= DOWN_TIME:
            yield _Issue("push_down", installation_id, name, down_since)

    def _group_issues(self, link: Link) -> Iterator[_Issue]:
        """Find the problems of the message subscription of a user group."""
        group_id = link.channel.id
        name = f"{group_id[:GROUP_ID_SHOWN]}…"
        if link.refusal:
            is_off = link.refusal is PushRefusal.UNAVAILABLE
            text = _GROUP_UNAVAILABLE if is_off else _GROUP_REFUSED
            yield _Issue(_GROUP_REFUSED, group_id, name, link.since, text)
        elif link.shared_since:
            self._shared.add(group_id)
            yield _Issue(_GROUP_SHARED, group_id, name, link.shared_since)

    def _undecided(self, issue_ids: set[str]) -> set[str]:
        """Return the issues whose problems may be present, which is unknown at the moment.

        Such an issue stays if it exists, and is not created if it does not.
        """
        account = self._runtime.coordinator.data
        ids: set[str] = set()
        for installation_id, push in self._runtime.links.items():
            keys = self._undecided_of_push(installation_id, push)
            installation = account.installations.get(installation_id)
            if installation and may_control(installation):
                if installation.available_current_mode is None:
                    keys.update(_CURRENT_MODES.values())
                if installation.authentication_type is None:
                    keys.update(_AUTHENTICATION_TYPES.values())
            ids.update(f"{key}_{installation_id}" for key in keys)
        for link in self._runtime.links.groups:
            keys = self._undecided_of_push(link.channel.id, link)
            for key, issue in (
                (_REFUSALS[PushRefusal.ROLE], _GROUP_REFUSED),
                ("push_shared", _GROUP_SHARED),
            ):
                if key in keys:
                    ids.add(f"{issue}_{link.channel.id}")
        for charger in account.chargers.values():
            state = self._runtime.states.get(charger.id)
            if may_control(charger) and (
                state is None or state.value(StateId.IS_STAND_ALONE) is None
            ):
                ids.add(f"charger_stand_alone_{charger.id}")
        ids.update(
            f"{_WEB_HOOK_PROBLEMS[problem]}_{installation_id}"
            for problem, installation_id in self._web_hooks.undecided()
        )
        if self._missing_price.is_undecided:
            ids.add(f"{_PRICE_ENTITY_MISSING}_{self._entry.entry_id}")
        if self._misses_devices():
            known = account.installation_ids | account.chargers.keys()
            ids |= {
                key
                for key in issue_ids
                if key.rpartition("_")[2] not in known
                and not key.startswith(
                    (_GROUP_REFUSED, _GROUP_SHARED, _PRICE_ENTITY_MISSING)
                )
            }
        return ids & issue_ids

    def _misses_devices(self) -> bool:
        """Return whether devices are missing from the lists but still registered."""
        return any(
            async_get_device(self._hass, self._entry.entry_id, device_id)
            for device_id in self._runtime.missing.ids
        )

    def _undecided_of_push(
        self, channel_id: str, push: InstallationPush | Link
    ) -> set[str]:
        """Return the keys of the issues that messages do not decide at the moment."""
        keys: set[str] = set()
        if not push.refusal and not push.is_permitted:
            keys.update(_REFUSALS.values())
        up_time = dt_util.utcnow() - push.since
        is_up = push.status is PushStatus.CONNECTED
        if push.status is PushStatus.NOT_PERMITTED:
            return keys
        if not is_up or up_time < UP_TIME:
            keys.add("push_down")
        # After a restart, clearing this issue takes the same evidence as while running.
        if channel_id not in self._shared and not (
            is_up
            and not push.is_incomplete
            and (
                up_time.total_seconds() >= LOSS_MEMORY_MAX
                or (
                    up_time.total_seconds() >= LOSS_MEMORY_MIN
                    and push.counters.messages >= MESSAGES_WITHOUT_GAP
                )
            )
        ):
            keys.add("push_shared")
        return keys


def _control_issues(
    installation: Installation, name: str, *, has_web_hooks: bool
) -> Iterator[_Issue]:
    """Find what makes the controls of an installation ineffective.

    Args:
        installation: The installation.
        name: Its name.
        has_web_hooks: Whether web hooks of Home Assistant are set up for it, so that it is
            the one that decides.

    """
    mode = installation.available_current_mode
    if mode in _CURRENT_MODES:
        yield _Issue(_CURRENT_MODES[mode], installation.id, name)
    authentication_type = installation.authentication_type
    if authentication_type is AuthenticationType.WEBHOOKS and has_web_hooks:
        return
    if authentication_type in _AUTHENTICATION_TYPES:
        yield _Issue(_AUTHENTICATION_TYPES[authentication_type], installation.id, name)


def _name(charger: Charger) -> str:
    """Return the name of a charger."""
    return charger.name or charger.device_id or "Zaptec"


def _credible(moment: datetime | None) -> datetime | None:
    """Return the time of an event, None if the time is implausible."""
    return moment if moment and moment >= EARLIEST else None


def _issue_ids(
    hass: HomeAssistant, entry_id: str, *, is_fixable: bool | None = None
) -> set[str]:
    """Return the ids of the issues of an account that exist.

    A fixable issue does not belong to `Issues`: it is deleted when the user confirms it.
    """
    return {
        issue.issue_id
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN
        and issue.data is not None
        and issue.data.get("entry_id") == entry_id
        and is_fixable in (None, issue.is_fixable)
    }


@callback
def async_delete_issues(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Delete all issues of an account that is removed or disabled."""
    for issue_id in _issue_ids(hass, entry.entry_id):
        ir.async_delete_issue(hass, DOMAIN, issue_id)


class RemoveEntitiesFlow(ConfirmRepairFlow):
    """Removes the entities that an issue names, once the user confirms it."""

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Remove the entities, or ask for a confirmation first."""
        # The issue may have been changed or deleted since the dialog was opened.
        issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
        if user_input is not None and issue and issue.data:
            async_remove_named(self.hass, issue.data)
        return await super().async_step_confirm(user_input)


async def async_create_fix_flow(
    hass: HomeAssistant,
    issue_id: str,
    data: dict[str, str | int | float | None] | None,
) -> RepairsFlow:
    """Return the flow of an issue that the user can answer or confirm."""
    if issue_id.startswith(PERSON_REMOVED) and data:
        return RemovedPersonFlow(str(data["entry_id"]), str(data["person_id"]))
    if issue_id.startswith(WEB_HOOKS_REMOVED):
        return ConfirmRepairFlow()
    return RemoveEntitiesFlow()
