"""The endpoints of installations: lists, settings and connection details."""

from typing import Any

from aiohttp import web

from .. import documents
from ..accounts import UserRole
from ..faults import rejection
from .call import Call, Refusal, invalid, number, page


async def read_list(call: Call) -> web.Response:
    """Answer with the installations in which the account has a role."""
    query = call.query
    name = query.get("namefilter", "").lower()
    items = [
        documents.installation(item, call.account, detail=False)
        for item in call.visible_installations()
        if name in item.name.lower()
    ]
    return page(items, query)


async def read(call: Call) -> web.Response:
    """Answer with an installation."""
    item = call.installation()
    return web.json_response(documents.installation(item, call.account, detail=True))


async def read_hierarchy(call: Call) -> web.Response:
    """Answer with the circuits and chargers of an installation."""
    item = call.cloud.installations.get(call.ids[0])
    if item is None or not call.account.manages(item.id):
        return web.Response(status=204)
    return web.json_response(documents.hierarchy(item))


async def read_connection_details(call: Call) -> web.Response:
    """Answer with what a client needs to subscribe to messages."""
    item = call.managed_installation()
    if not item.messaging_enabled:
        return rejection(526, None)
    return web.json_response(call.cloud.connection_details(item))


async def update(call: Call) -> web.Response:
    """Change the settings of an installation."""
    item = call.managed_installation()
    body = await call.body()
    phases = tuple(body.get(f"availablecurrentphase{index}") for index in (1, 2, 3))
    available = body.get("availablecurrent")
    if available is not None and any(value is not None for value in phases):
        raise invalid("Either AvailableCurrent or AvailableCurrentPhase1..3")
    highest = item.max_current
    if "maxcurrent" in body:
        if not call.account.role(item.id) & UserRole.MAINTAINER:
            raise Refusal(web.Response(status=403))
        highest = number(body, "maxcurrent", 0, 10_000)
    if available is not None:
        phases = (number(body, "availablecurrent", 0, highest),) * 3
    currents = None
    if any(value is not None for value in phases):
        if item.available_current_mode:
            # A schedule or a power meter controls the installation.
            return rejection(505, None)
        currents = _phases(phases, highest)
    switch = item.three_to_one_phase_switch_current
    if "threetoonephaseswitchcurrent" in body:
        switch = number(body, "threetoonephaseswitchcurrent", 0, 32)
    # Check every value before the first is applied.
    item.max_current = highest
    item.available_current = currents or item.available_current
    if "minpowerofflinemode" in body:
        item.min_power_offline_mode = bool(body["minpowerofflinemode"])
    if switch != item.three_to_one_phase_switch_current:
        item.three_to_one_phase_switch_current = switch
        for charger in item.chargers:
            charger.remeasure()
    item.updated = call.cloud.clock.now()
    item.rebalance()
    return web.Response()


async def read_firmware(call: Call) -> web.Response:
    """Answer with the firmware of an installation's chargers."""
    item = call.cloud.installations.get(call.ids[0])
    if item is None or not call.account.role(item.id):
        return web.Response(status=403)
    return web.json_response(
        [documents.firmware(charger, call.account) for charger in item.chargers]
    )


def _phases(phases: tuple[Any, ...], highest: float) -> tuple[float, float, float]:
    """Return the three currents; an omitted phase gets the default, the whole current."""
    one, two, three = (
        highest if value is None else number({"phase": value}, "phase", 0, highest)
        for value in phases
    )
    return (one, two, three)
