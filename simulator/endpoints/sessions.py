"""The endpoints of sessions: history, report, archive and priority."""

import base64
import binascii
from collections.abc import Iterable
import math

from aiohttp import web

from .. import documents
from ..charger import Charger
from ..faults import not_found
from ..observations import StateId
from ..session import Session
from .call import Call, integer, invalid, number, page, parse_time

_PAGE_SIZE, _LARGEST_PAGE = 50, 200


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
    for session in _completed(call, {}):
        if session.id == call.ids[0]:
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


async def read_archived(call: Call) -> web.Response:
    """Answer with completed sessions in the newer model."""
    query = call.query
    if ("installationid" in query) == ("chargerid" in query):
        raise invalid("Exactly one of InstallationId and ChargerId")
    size = integer(query, "pagesize", _PAGE_SIZE, 1, _LARGEST_PAGE)
    start = _cursor_position(query.get("cursor"))
    sessions = _completed(call, query)
    more = start + size < len(sessions)
    return web.json_response(
        {
            "sessions": [
                documents.archived_session(session)
                for session in sessions[start : start + size]
            ],
            "cursor": _cursor(start + size) if more else None,
            "hasMore": more,
        }
    )


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


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"session:{position}".encode()).decode()


def _cursor_position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("session:"))
    except binascii.Error, UnicodeDecodeError, ValueError:
        raise invalid("Cursor") from None
