"""The endpoints of sessions: history, report, single sessions and priority."""

from collections.abc import Iterable
import math

from aiohttp import web

from .. import documents
from ..charger import Charger
from ..faults import not_found
from ..observations import StateId
from ..session import Session
from .call import Call, number, page, parse_time


async def read_history(call: Call) -> web.Response:
    """Answer with completed sessions in the older model."""
    query = call.query
    details = query.get("detaillevel", "0") in ("1", "Details")
    items = [
        documents.charge_history_item(session, call.account, energy_details=details)
        for session in _completed(call, query)
    ]
    return page(items, query)


async def report(call: Call) -> web.Response:
    """Answer with the sums of completed sessions by charger or user."""
    body = await call.body()
    query = {
        "installationid": str(body.get("installationid", "")),
        "from": str(body.get("fromdate", "")),
        "to": str(body.get("enddate", "")),
    }
    item = call.cloud.installations.get(query["installationid"].lower())
    if item is None or not call.account.manages(item.id):
        return web.Response(status=403)
    by_charger = body.get("groupby") == 1
    groups: dict[str, list[Session]] = {}
    for session in _completed(call, query):
        user = session.user.full_name if session.user else ""
        name = session.charger_name if by_charger else user
        groups.setdefault(name, []).append(session)
    return web.json_response(
        {
            "InstallationName": item.name,
            "InstallationTimeZone": item.time_zone,
            "GroupedBy": "Charger" if by_charger else "User",
            "Fromdate": query["from"],
            "Enddate": query["to"],
            "totalUserChargerReportModel": [
                {
                    "GroupAsString": name,
                    "TotalChargeSessionCount": len(sessions),
                    "TotalChargeSessionEnergy": round(
                        math.fsum(session.energy for session in sessions), 3
                    ),
                    "TotalChargeSessionDuration": math.fsum(
                        (session.ended - session.started).total_seconds() / 3600
                        for session in sessions
                        if session.ended
                    ),
                }
                for name, sessions in groups.items()
            ],
        }
    )


async def read(call: Call) -> web.Response:
    """Answer with a running or completed session."""
    for charger in _running(call):
        if charger.session:
            energy = float(charger.value(StateId.SESSION_ENERGY) or 0)
            return web.json_response(documents.session(charger.session, energy))
    session = call.cloud.archive.find(call.ids[0])
    if session and call.account.role(session.installation_id):
        return web.json_response(documents.session(session, session.energy))
    return not_found("Session not found.")


async def prioritize(call: Call) -> web.Response:
    """Give a running session its current before the others."""
    body = await call.body()
    for charger in _running(call):
        if not call.account.manages(charger.installation.id):
            return web.Response(status=403)
        if charger.session:
            charger.session.prioritized_current = number(
                body, "prioritizedcurrent", 0, 32
            )
            charger.installation.rebalance()
            return web.Response()
    return not_found("Session not found.")


def _completed(call: Call, query: dict[str, str]) -> list[Session]:
    """Return the completed sessions that the query asks for, the newest first."""
    start, end = parse_time(query.get("from")), parse_time(query.get("to"))
    found = [
        session
        for item in call.visible_installations()
        for session in item.archive
        if query.get("installationid", item.id).lower() == item.id
        and query.get("chargerid", session.charger_id).lower() == session.charger_id
        and query.get("userid") in (None, session.user and session.user.id)
        and (start is None or session.started >= start)
        and (end is None or session.started < end)
    ]
    return sorted(found, key=lambda session: session.started, reverse=True)


def _running(call: Call) -> Iterable[Charger]:
    return (
        charger
        for item in call.visible_installations()
        for charger in item.chargers
        if charger.session and charger.session.id == call.ids[0]
    )
