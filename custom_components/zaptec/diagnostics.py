"""Diagnostics: what it takes to find a fault from afar, and nothing private.

Nothing in here asks the cloud. What is shown is shown because it is known to be
harmless; devices have stable pseudonyms within one download.
"""

from collections import Counter
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
import math
import platform
import re
from time import monotonic
from typing import Any

from homeassistant.components.diagnostics import REDACTED
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.loader import async_get_integration
from homeassistant.util import dt as dt_util

from .api import (
    Charger,
    Family,
    Installation,
    Kind,
    Statistics,
    observation_type,
    warning_names,
)
from .api.observations import StateId
from .const import CONF_CHARGERS, DOMAIN
from .history.statistics import statistic_id
from .runtime import ZaptecConfigEntry, ZaptecRuntime
from .sources.feed import Feed
from .sources.installation_push import InstallationPush
from .sources.link import Link
from .state import ChargerState
from .web_hook_settings import (
    WebHookSettings,
    WebHookWatch,
    async_get_watch,
    from_entry,
)

# Values of these kinds are numbers or words of a fixed list.
_HARMLESS_KINDS = {
    Kind.BOOLEAN,
    Kind.INTEGER,
    Kind.NUMBER,
    Kind.TIMESTAMP,
    Kind.COMMUNICATION_MODE,
    Kind.NETWORK_TYPE,
    Kind.OPERATION_MODE,
    Kind.PHASE_ID,
}

# The texts that name a software version, and are shown if they look like one.
_VERSIONS = {
    StateId.SMART_MAINBOARD_SOFTWARE_APPLICATION_VERSION,
    StateId.SMART_MAINBOARD_SOFTWARE_BOOTLOADER_VERSION,
    StateId.SMART_COMPUTER_SOFTWARE_APPLICATION_VERSION,
    StateId.SMART_COMPUTER_SOFTWARE_BOOTLOADER_VERSION,
}
_VERSION = re.compile(r"\d{1,5}(\.\d{1,5}){1,4}")


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: ZaptecConfigEntry
) -> dict[str, Any]:
    """Return the diagnostics of an account, whatever its state."""
    return await _async_diagnostics(hass, entry)


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: ZaptecConfigEntry, device: DeviceEntry
) -> dict[str, Any]:
    """Return the diagnostics of an account, with one device alone.

    With a charger comes its installation, as its messages are the installation's.
    """
    only = {key for domain, key in device.identifiers if domain == DOMAIN}
    runtime = getattr(entry, "runtime_data", None)
    if isinstance(runtime, ZaptecRuntime):
        only |= {
            charger.installation_id
            for charger in runtime.coordinator.data.chargers.values()
            if charger.id in only and charger.installation_id
        }
    return await _async_diagnostics(hass, entry, only)


async def _async_diagnostics(
    hass: HomeAssistant, entry: ZaptecConfigEntry, only: set[str] | None = None
) -> dict[str, Any]:
    """Return what is known of an account, and of all or some of its devices."""
    integration = await async_get_integration(hass, DOMAIN)
    result: dict[str, Any] = {
        "versions": {
            "integration": str(integration.version),
            "home_assistant": __version__,
            "python": platform.python_version(),
            "azure_servicebus": await hass.async_add_executor_job(_bus_version),
        },
        "entry": {
            "state": entry.state.value,
            "version": f"{entry.version}.{entry.minor_version}",
            "title": REDACTED,
            "data": dict.fromkeys(sorted(entry.data), REDACTED),
        },
    }
    # An entry that was never set up has none.
    runtime = getattr(entry, "runtime_data", None)
    if not isinstance(runtime, ZaptecRuntime):
        return result
    names = _pseudonyms(runtime)
    chosen = entry.options.get(CONF_CHARGERS)
    result["entry"]["chosen_chargers"] = (
        None if chosen is None else [names.get(key, "unseen") for key in chosen]
    )
    result["discovery"] = _coordinator(runtime.coordinator) | {
        "last_success": _moment(runtime.coordinator.discovered_at),
        "last_success_age": _age(runtime.coordinator.discovered_at),
        "missed": sorted(names.get(key, "unseen") for key in runtime.missing.ids),
        "unknown_chargers": runtime.coordinator.unknown_chargers,
    }
    result["firmware"] = _coordinator(runtime.firmware)
    result["requests"] = _requests(runtime.client.statistics)
    if runtime.prices:
        result["costs"] = _costs(runtime, names)
    result["history"] = runtime.history.summary.of_account()
    account = runtime.coordinator.data
    result["installations"] = {
        names[key]: _installation(runtime, key, account.installations.get(key))
        for key in sorted(account.installation_ids)
        if only is None or key in only
    }
    if groups := runtime.links.groups:
        result["user_groups"] = {
            names[link.channel.id]: _group_link(link, names) for link in groups
        }
    result["chargers"] = {
        names[charger.id]: _charger(runtime, charger, names)
        for charger in account.chargers.values()
        if only is None or charger.id in only
    }
    return result


def _bus_version() -> str | None:
    """Return the version of the bus library; reads the disk."""
    try:
        return version("azure-servicebus")
    except PackageNotFoundError:
        return None


def _pseudonyms(runtime: ZaptecRuntime) -> dict[str, str]:
    """Return what the devices are called in a download, by id."""
    visible = runtime.coordinator.visible
    installations = runtime.coordinator.data.installation_ids | visible.installation_ids
    chargers = runtime.coordinator.data.chargers.keys() | visible.chargers.keys()
    groups = {link.channel.id for link in runtime.links.groups}
    return {
        key: f"{kind} {number}"
        for kind, ids in (
            ("installation", installations),
            ("charger", chargers),
            ("user group", groups),
        )
        for number, key in enumerate(sorted(ids), start=1)
    }


def _coordinator(coordinator: DataUpdateCoordinator[Any]) -> dict[str, Any]:
    """Return how the last update of a coordinator went.

    The text of an error may repeat the cloud's words, its type does not.
    """
    error = coordinator.last_exception
    cause = error.__cause__ if error else None
    return {
        "last_update_success": coordinator.last_update_success,
        "last_exception": type(error).__name__ if error else None,
        "last_exception_cause": type(cause).__name__ if cause else None,
    }


def _counts(requests: Counter[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    """Return numbers of requests by endpoint and status."""
    counts: dict[str, dict[str, int]] = {}
    for (method, endpoint, status), number in sorted(requests.items()):
        by_status = counts.setdefault(f"{method} {endpoint}", {})
        by_status[str(status) if status else "no answer"] = number
    return counts


def _requests(statistics: Statistics) -> dict[str, Any]:
    """Return what was requested; waits are in seconds."""
    return {
        "total": _counts(statistics.requests),
        "last_hour": _counts(statistics.requests_last_hour()),
        "retries": statistics.retries,
        "retries_last_hour": statistics.retries_last_hour(),
        "last_error": statistics.last_error,
        "last_error_at": _moment(statistics.last_error_at),
        "waits_last_hour": {
            priority.name.lower(): {
                "count": waits.count,
                "total": round(waits.total, 3),
                "longest": round(waits.longest, 3),
            }
            for priority, waits in sorted(statistics.waits_last_hour().items())
        },
    }


def _costs(runtime: ZaptecRuntime, names: dict[str, str]) -> dict[str, Any]:
    """Return what kinds of prices are chosen, and how many hours have no price."""
    missing = runtime.history.costs.missing
    return {
        "prices": [
            "entity" if period.entity_id else "fixed"
            for period in runtime.prices.tariff.periods
        ],
        "hours_without_price": {
            names[charger_id]: missing[energy_id]
            for charger_id in runtime.coordinator.data.chargers
            if (energy_id := statistic_id(charger_id)) in missing
        },
    }


def _installation(
    runtime: ZaptecRuntime, key: str, item: Installation | None
) -> dict[str, Any]:
    """Return what is known of an installation; None is one seen by its id only."""
    shown: dict[str, Any] = {
        "visible": item is not None,
        "history": runtime.history.summary.of_installation(key),
    }
    if item:
        shown |= {
            "active": item.active,
            "roles": _word(item.current_user_roles),
            "messaging_enabled": item.messaging_enabled,
            "authentication_type": _word(item.authentication_type),
            "authentication_required": item.is_required_authentication,
            "installation_type": _word(item.installation_type),
            "network_type": _word(item.network_type),
            "available_current_mode": _word(item.available_current_mode),
            "available_current": item.available_current,
            "max_current": item.max_current,
            "three_to_one_phase_switch_current": (
                item.three_to_one_phase_switch_current
            ),
        }
        queued = runtime.available_currents.of(key)
        shown["pending_wish"] = queued.waiting
        shown["pending_wish_due"] = _moment(queued.due)
    if settings := from_entry(runtime.entry).get(key):
        shown["web_hooks"] = _web_hooks(
            settings, async_get_watch(runtime.hass, key), item
        )
    if push := runtime.links.get(key):
        shown["link"] = (
            _link(push.own)
            | _messages(push)
            | {"status": push.status.value, "since": _moment(push.since)}
        )
        if len(push.feeds) > 1:
            shown["link"]["source"] = push.source.value if push.source else None
    return shown


def _web_hooks(
    settings: WebHookSettings, watch: WebHookWatch, item: Installation | None
) -> dict[str, Any]:
    """Return how the web hooks of an installation do, without ids, URLs and credentials."""
    start_url = item.web_hook_start_url if item else None
    return {
        "cloud_hook": settings.is_cloud_hook,
        "on_error": settings.on_error.value,
        "retired": len(settings.retired_ids),
        "is_ours": None if start_url is None else start_url == settings.start_url,
        "first_call": _moment(watch.first_call),
        "last_call": _moment(watch.last_call),
        "last_call_age": _age(watch.last_call),
        "last_door": watch.last_door.value if watch.last_door else None,
        "wrong_credentials": watch.wrong_credentials,
        "last_problem": watch.last_problem.value if watch.last_problem else None,
        "last_problem_at": _moment(watch.last_problem_at),
    }


def _group_link(link: Link, names: dict[str, str]) -> dict[str, Any]:
    """Return how the link to the messages of a user group does."""
    return _link(link) | {
        "shared_since": _moment(link.shared_since),
        "installations": {
            names[key]: {"reports": feed.is_reporting, "proven": feed.is_proven}
            | _messages(feed)
            for key, feed in sorted(link.feeds.items())
        },
    }


def _messages(source: InstallationPush | Feed) -> dict[str, Any]:
    """Return how the messages of an installation arrive; ages are in seconds."""
    return {
        "silent": source.is_silent,
        "loses_messages": source.is_incomplete,
        "shared_since": _moment(source.shared_since),
        "last_message": _moment(source.last_message),
        "last_message_age": _age(source.last_message),
    }


def _link(link: Link) -> dict[str, Any]:
    """Return the state of a link; ages are in seconds."""
    return {
        "status": link.status.value,
        "since": _moment(link.since),
        "transport": link.transport,
        "refusal": link.refusal.value if link.refusal else None,
        "fault": link.fault,
        "fault_at": _moment(link.fault_at),
        "fault_age": _age(link.fault_at),
        "connects": link.counters.connects,
        "messages": link.counters.messages,
        "bad_messages": link.counters.bad_messages,
        "missed_messages": link.counters.missed_messages,
        "losses": link.counters.losses,
        "silent": link.is_silent,
        "given_up_age": None
        if link.reopened_at == -math.inf
        else round(monotonic() - link.reopened_at),
        "last_message": _moment(link.counters.last_message),
        "last_message_age": _age(link.counters.last_message),
    }


def _charger(
    runtime: ZaptecRuntime, charger: Charger, names: dict[str, str]
) -> dict[str, Any]:
    """Return what is known of a charger; ages are in seconds."""
    firmware = runtime.firmware.data.get(charger.id)
    reader = runtime.reader
    last_read = reader.last_read(charger.id)
    due = reader.due(charger.id)
    shown: dict[str, Any] = {
        "installation": names.get(charger.installation_id or ""),
        "model": charger.model,
        "family": charger.family.name.lower(),
        "device_type": charger.device_type,
        "roles": _word(charger.current_user_roles),
        "active": charger.active,
        "online": charger.is_online,
        "firmware": {
            "current": _version(firmware.current_version),
            "available": _version(firmware.available_version),
        }
        if firmware
        else None,
        "last_read_age": None if last_read is None else round(monotonic() - last_read),
        "next_read_in": None if due is None else round(due - monotonic()),
        "awaited": sorted(
            state_id.name.lower()
            for state_id in runtime.confirmations.pending(charger.id)
        ),
        "history": runtime.history.summary.of_charger(charger.id),
    }
    if (state := runtime.states.get(charger.id)) is None:
        return shown
    push = runtime.links.of(charger.id)
    shown |= {
        "readable": reader.is_live(charger.id),
        "complete": push is None or push.is_complete(charger.id),
        "observations": _observations(state, charger.family),
    }
    return shown


def _observations(state: ChargerState, family: Family) -> dict[str, Any]:
    """Return what a charger has reported, by StateId; ages are in seconds."""
    observations: dict[str, Any] = {}
    for observation, parsed, received in state.observations():
        state_id = observation.state_id
        kind = observation_type(state_id, family)
        value: Any = None
        if observation.value:
            value = REDACTED
            if kind and kind.kind in _HARMLESS_KINDS:
                value = _word(parsed)
            elif state_id in _VERSIONS:
                value = _version(observation.value)
            if state_id == StateId.WARNINGS and isinstance(parsed, int):
                value = list(warning_names(parsed, family))
        # What the hourly list shows first has no time of its own.
        timestamp = observation.timestamp
        moment = None if timestamp == datetime.min.replace(tzinfo=UTC) else timestamp
        observations[str(state_id)] = {
            "name": kind.name if kind else None,
            "value": value,
            "unit": kind.unit if kind else None,
            "timestamp": _moment(moment),
            "age": _age(moment),
            "received_age": round(monotonic() - received),
        }
    return observations


def _version(text: str | None) -> str | None:
    """Return a version, if it looks like one."""
    if text is None or _VERSION.fullmatch(text):
        return text
    return REDACTED


def _word(value: object) -> Any:
    """Return a harmless value as JSON has it."""
    if isinstance(value, Enum):
        return value.name.lower() if value.name else str(int(value.value))
    if isinstance(value, datetime):
        return _moment(value)
    return value


def _moment(moment: datetime | None) -> str | None:
    """Return a time as text."""
    return moment.isoformat() if moment else None


def _age(moment: datetime | None) -> int | None:
    """Return the seconds since a time."""
    return round((dt_util.utcnow() - moment).total_seconds()) if moment else None
