"""The endpoint of the archive: completed sessions, the first to end first.

Source: reported by two integrators who read it (July 2026), and by the vendor's reference.
"""

import asyncio
import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
import json
import re

from aiohttp import web

from .. import documents
from ..accounts import UserRole
from ..archive import Position
from ..distortions import Distortions
from ..faults import not_found, rejection
from ..past import sort_key
from ..session import Session
from .call import Call, Refusal, integer, invalid, parse_time

_PAGE_SIZE, _LARGEST_PAGE = 50, 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def read(call: Call) -> web.Response:
    """Answer with a page of the completed sessions of an installation or a charger."""
    query = call.query
    installation_id, charger_id = _place(call, query)
    start, end = _time(query, "from"), _time(query, "to")
    if end <= start:
        raise invalid("To has to be after From")
    size = integer(query, "pagesize", _PAGE_SIZE, 1, _LARGEST_PAGE)
    archive = call.cloud.archive
    now = archive.now()
    sessions = archive.listed(
        start=start,
        end=end,
        installation_id=installation_id,
        charger_id=charger_id,
        after=_position(query.get("cursor")),
        now=now,
    )
    # A page takes some 30 ms, in which the chargers and other requests would stand still.
    text = await asyncio.to_thread(_page, sessions, size, now, archive.distortions)
    return web.Response(text=text, content_type="application/json")


def _page(
    sessions: Iterator[Session], size: int, now: datetime, distortions: Distortions
) -> str:
    """Return the JSON of a page."""
    found = list(islice(sessions, size + 1))
    more = len(found) > size
    page = {
        "sessions": [
            documents.archived_session(session, now) for session in found[:size]
        ],
        "cursor": _cursor(found[size - 1]) if more else None,
        "hasMore": more,
    }
    return json.dumps(distortions.apply(page))


def _place(call: Call, query: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the installation or the charger of the query.

    Raises:
        Refusal: There is not exactly one, it does not exist, or the account does not own it.
    """
    installation_id = query.get("installationid", "").lower() or None
    charger_id = query.get("chargerid", "").lower() or None
    if (installation_id is None) == (charger_id is None):
        raise invalid("Exactly one of InstallationId and ChargerId")
    if not _UUID.fullmatch(installation_id or charger_id or ""):
        raise invalid("InstallationId or ChargerId")
    owner_id = installation_id
    if charger_id:
        charger = call.cloud.chargers.get(charger_id)
        if charger is None:
            raise Refusal(not_found("Charger not found."))
        owner_id = charger.installation.id
    if not call.account.role(owner_id or "") & UserRole.OWNER:
        raise Refusal(web.Response(status=403))
    return installation_id, charger_id


def _time(query: dict[str, str], key: str) -> datetime:
    """Return a time that is required.

    Raises:
        Refusal: It is missing, or not a time.
    """
    if (time := parse_time(query.get(key))) is None:
        raise Refusal(rejection(503, f"{key.capitalize()} is required", status=400))
    return time


def _cursor(session: Session) -> str:
    ended, session_id = sort_key(session)
    text = f"{ended.isoformat()} {session_id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _position(cursor: str | None) -> Position | None:
    """Return the end and the id of the session that a cursor stands for.

    Raises:
        Refusal: It is no cursor.
    """
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor).decode()
        ended, session_id = text.split(" ")
        position = datetime.fromisoformat(ended), session_id
    except binascii.Error, UnicodeDecodeError, ValueError:
        raise invalid("Cursor") from None
    if position[0].tzinfo is None:
        raise invalid("Cursor")
    return position
