"""The endpoints of chargers: lists, state, settings and commands."""

from collections.abc import Callable

from aiohttp import web

from .. import documents
from ..charger import Charger, CommandRejectedError
from ..faults import rejection
from ..observations import Family
from .call import Call, invalid, number, page


async def read_list(call: Call) -> web.Response:
    """Answer with the chargers of installations in which the account has a role."""
    query = call.query
    name = query.get("namefilter", "").lower()
    wanted = query.get("installationid", "").lower()
    items = [
        documents.charger_list_item(charger, call.account)
        for item in call.visible_installations()
        if not wanted or item.id == wanted
        for charger in item.chargers
        if name in charger.name.lower() or name in charger.serial.lower()
    ]
    return page(items, query)


async def read(call: Call) -> web.Response:
    """Answer with a charger."""
    charger = call.charger(manages=True)
    has_past = call.cloud.archive.has_past(charger.id)
    return web.json_response(
        documents.charger(charger, call.account, has_past=has_past)
    )


async def read_state(call: Call) -> web.Response:
    """Answer with the state of a charger."""
    charger = call.charger(manages=False)
    return web.json_response(documents.state(charger.id, call.cloud.state(charger)))


async def update(call: Call) -> web.Response:
    """Change the settings of a charger."""
    charger = call.charger(manages=True)
    body = await call.body()
    # Check every value before the first is applied.
    actions: list[Callable[[], None]] = []
    for key in ("maxchargecurrent", "minchargecurrent", "offlinechargecurrent"):
        if key in body:
            lowest = -1 if key == "offlinechargecurrent" else 0
            value = number(body, key, lowest, 32)
            if -1 < value < 0:
                raise invalid(key)
            actions.append(_setter(charger, key, value))
    if "maxchargephases" in body:
        if body["maxchargephases"] not in (1, 3):
            raise invalid("maxChargePhases")
        if charger.family is Family.GO:
            return rejection(527, None)
        phases = int(body["maxchargephases"])
        actions.append(lambda: charger.set_max_phases(phases))
    if "offlinechargephase" in body:
        if body["offlinechargephase"] not in (1, 2, 4, 7):
            raise invalid("offlineChargePhase")
        phase = _phase_id(charger, int(body["offlinechargephase"]))
        actions.append(lambda: charger.set_offline_phase(phase))
    if "metervalueinterval" in body:
        interval = int(number(body, "metervalueinterval", 1, 86_400))
        actions.append(lambda: charger.set_meter_interval(interval))
    for action in actions:
        action()
    return web.Response()


async def send_command(call: Call) -> web.Response:
    """Send a command to a charger."""
    charger = call.charger(manages=True)
    commands: dict[str, Callable[[], None]] = {
        "102": charger.restart,
        "200": charger.upgrade_firmware,
        "506": charger.stop_charging,
        "507": charger.resume_charging,
        "10001": charger.deauthorize_and_stop,
    }
    command = commands.get(call.ids[1])
    if command is None:
        return rejection(519, "Unknown command")
    if not charger.is_online:
        return rejection(520, "Could not communicate with the device")
    try:
        command()
    except CommandRejectedError as err:
        return rejection(528, err.details)
    return web.Response()


def _setter(charger: Charger, key: str, value: float) -> Callable[[], None]:
    setters = {
        "maxchargecurrent": charger.set_max_current,
        "minchargecurrent": charger.set_min_current,
        "offlinechargecurrent": charger.set_offline_current,
    }
    return lambda: setters[key](value)


def _phase_id(charger: Charger, phases: int) -> int:
    """Return the PhaseId of Phases flags in the charger's network."""
    if charger.installation.network_type.name.startswith("TN"):
        return {1: 1, 2: 2, 4: 3, 7: 4}[phases]
    return {1: 8, 2: 6, 4: 5, 7: 9}[phases]
