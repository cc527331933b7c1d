"""The REST service: the documented endpoints of api.zaptec.com.

Paths are matched without regard to case, as the vendor's server does. Everything else under /api
is answered 404 and kept in `Rest.forbidden`.

Source: vendor's API reference, "API usage guidelines", "API fair use policy", "API changes: what
you need to know" and "Charger command validation update".
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
import json
import math
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import documents
from .accounts import Account, UserRole
from .charger import Charger, CommandRejectedError, StoredObservation
from .constants import CONSTANTS
from .faults import Fault, Faults, failure, nginx, not_found, rejection
from .installation import Installation
from .limits import RequestCounter
from .listener import Listener
from .observations import Family, StateId
from .session import Session
from .tokens import TokenError, Tokens, TooManyTokenRequestsError

if TYPE_CHECKING:
    from .simulator import Simulator

STATE_CACHE_SECONDS = 15.0
NO_ANSWER = -1
_UNANSWERED = ("hang", "reset", "giant", "drip")
_PAGE_SIZE, _LARGEST_PAGE = 50, 100
_LARGEST_ARCHIVE_PAGE = 200
_ID = r"([0-9a-f-]{36})"

type Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class RequestRecord:
    """A request that came in; `status` 0: in work, `NO_ANSWER`: none will come (a fault)."""

    time_monotonic: float
    method: str
    path: str
    status: int = 0
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request with whose it is, and what the path named."""

    request: web.Request
    account: Account
    ids: tuple[str, ...]

    @property
    def query(self) -> dict[str, str]:
        """The query, its keys in lower case."""
        return {key.lower(): value for key, value in self.request.query.items()}

    async def body(self) -> dict[str, Any]:
        """Return the JSON object sent, its keys in lower case.

        Raises:
            Refusal: It is none.
        """
        try:
            body = json.loads(await self.request.text() or "{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(rejection(529, "The body is not a JSON object", status=400))
        return {key.lower(): value for key, value in body.items()}


class Refusal(Exception):
    """A request is answered with an error."""

    def __init__(self, response: web.Response) -> None:
        """Keep the answer."""
        super().__init__(response.status)
        self.response = response


class Rest:
    """The service, its faults and its counters.

    Attributes:
        requests: Every request since the start or `clear`, in the order of arrival.
        forbidden: Requests for what is not documented, as "METHOD path".
        peak_per_second: Most API requests of one account in any second of real time.
        latency: How long the answer to each request takes, in s of real time.
        tokens: The issued tokens; `tokens.lifetime` is the next one's `expires_in`.
    """

    def __init__(
        self, simulator: Simulator, host: str, port: int, token_lifetime: int
    ) -> None:
        """Prepare; nothing listens yet."""
        self.requests: list[RequestRecord] = []
        self.forbidden: list[str] = []
        self.peak_per_second = 0
        self.latency = 0.0
        self.tokens = Tokens(simulator.accounts, token_lifetime)
        self._simulator = simulator
        self._faults = Faults()
        self._counters: dict[str, RequestCounter] = {}
        self._cache: dict[str, tuple[datetime, dict[int, StoredObservation]]] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._listener = Listener(app, host, port)
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(f"/api/{path}/?", re.IGNORECASE), handler)
            for method, path, handler in (
                ("GET", "installation", self._installations),
                ("GET", f"installation/{_ID}", self._installation),
                ("GET", f"installation/{_ID}/hierarchy", self._hierarchy),
                (
                    "GET",
                    f"installation/{_ID}/messagingConnectionDetails",
                    self._connection_details,
                ),
                ("POST", f"installation/{_ID}/update", self._update_installation),
                ("GET", "chargers", self._chargers),
                ("GET", f"chargers/{_ID}", self._charger),
                ("GET", f"chargers/{_ID}/state", self._state),
                ("POST", f"chargers/{_ID}/update", self._update_charger),
                ("POST", rf"chargers/{_ID}/sendCommand/(\d+)", self._send_command),
                ("GET", f"chargerFirmware/installation/{_ID}", self._firmware),
                ("GET", "chargehistory", self._charge_history),
                ("POST", "chargehistory/installationreport", self._report),
                ("GET", f"session/{_ID}", self._session),
                ("POST", f"session/{_ID}/priority", self._prioritize),
                ("GET", "sessions/archived", self._archived_sessions),
            )
        ]

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._listener.url

    @property
    def is_listening(self) -> bool:
        """Whether it is reachable."""
        return self._listener.is_listening

    @property
    def faults(self) -> list[str]:
        """The faults in force, for people."""
        return self._faults.active

    async def start(self) -> None:
        """Listen."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close everything, also what hangs."""
        self._faults.heal()
        await self._listener.stop()

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        await self._listener.cut()

    async def restore(self) -> None:
        """Listen again on the same port."""
        await self._listener.restore()

    def fail(
        self,
        path_pattern: str,
        *,
        method: str | None = None,
        fault: Fault,
        times: int | None = None,
    ) -> None:
        """Let requests fail.

        Args:
            path_pattern: A regular expression, searched in the path without regard to case.
            method: Only this HTTP method.
            fault: A status (400 to 599) with the vendor's body, or one of
                `faults.FAULT_NAMES`.
            times: How often; None: until `heal`.

        Raises:
            ValueError: There is no such fault, or the pattern is not valid.
        """
        self._faults.add(path_pattern, method, fault, times)

    def heal(self) -> None:
        """End all faults but a cut."""
        self._faults.heal()

    def clear(self) -> None:
        """Forget the requests counted so far."""
        self.requests.clear()
        self.forbidden.clear()
        self.peak_per_second = 0

    # The way of every request.

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        record = RequestRecord(
            asyncio.get_running_loop().time(), request.method, request.path
        )
        self.requests.append(record)
        account = self.tokens.account(request.headers.get("Authorization", ""))
        allowed = True
        if account:
            record.account = account.user_name
            counter = self._counters.setdefault(account.user_name, RequestCounter())
            allowed, seen = counter.count(record.time_monotonic)
            self.peak_per_second = max(self.peak_per_second, seen)
        fault = self._faults.take(request.method, request.path)
        if fault is not None:
            record.status = NO_ANSWER if fault in _UNANSWERED else 0
            response = await self._faults.apply(request, fault)
            record.status = record.status or response.status
            return response
        if not allowed:
            record.status = 429
            return failure(429)
        if self.latency:
            await asyncio.sleep(self.latency)
        try:
            response = await self._dispatch(request, account, record)
        except Refusal as refusal:
            response = refusal.response
        record.status = response.status
        return response

    async def _dispatch(
        self, request: web.Request, account: Account | None, record: RequestRecord
    ) -> web.StreamResponse:
        path = request.path
        if path.lower() == "/oauth/token" and request.method == "POST":
            return await self._token(request, record)
        if path.lower() == "/api/constants" and request.method == "GET":
            return web.json_response(CONSTANTS)
        for method, pattern, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(path)):
                if account is None:
                    return web.Response(status=401)
                ids = tuple(item.lower() for item in match.groups())
                response = await handler(Call(request, account, ids))
                # Nothing but an act of the user makes a client write.
                if method != "GET" and response.status < 400:
                    self._simulator.autoplay.pause()
                return response
        if path.lower().startswith("/api/"):
            self.forbidden.append(f"{request.method} {path}")
        return web.Response(status=404)

    async def _token(
        self, request: web.Request, record: RequestRecord
    ) -> web.StreamResponse:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if (user_name := form.get("username")) in self._simulator.accounts:
            record.account = user_name
        try:
            return web.json_response(self.tokens.issue(form))
        except TooManyTokenRequestsError:
            return nginx(503)
        except TokenError as err:
            answer = {"error": err.error, "error_description": err.description}
            if err.uri:
                answer["error_uri"] = err.uri
            return web.json_response(answer, status=400)

    # Installations.

    def _visible(self, account: Account) -> list[Installation[Charger]]:
        return [
            item
            for item in self._simulator.installations.values()
            if account.role(item.id)
        ]

    def _installation_of(self, call: Call) -> Installation[Charger]:
        item = self._simulator.installations.get(call.ids[0])
        if item is None or not call.account.role(item.id):
            raise Refusal(rejection(512, "Unknown object"))
        return item

    def _managed_installation(self, call: Call) -> Installation[Charger]:
        item = self._installation_of(call)
        if not call.account.manages(item.id):
            raise Refusal(web.Response(status=403))
        return item

    async def _installations(self, call: Call) -> web.Response:
        query = call.query
        name = query.get("namefilter", "").lower()
        items = [
            documents.installation(item, call.account, detail=False)
            for item in self._visible(call.account)
            if name in item.name.lower()
        ]
        return _page(items, query)

    async def _installation(self, call: Call) -> web.Response:
        item = self._installation_of(call)
        return web.json_response(
            documents.installation(item, call.account, detail=True)
        )

    async def _hierarchy(self, call: Call) -> web.Response:
        item = self._simulator.installations.get(call.ids[0])
        if item is None or not call.account.manages(item.id):
            return web.Response(status=204)
        return web.json_response(documents.hierarchy(item))

    async def _connection_details(self, call: Call) -> web.Response:
        item = self._managed_installation(call)
        if not item.messaging_enabled:
            return rejection(526, None)
        return web.json_response(self._simulator.connection_details(item))

    async def _update_installation(self, call: Call) -> web.Response:
        item = self._managed_installation(call)
        body = await call.body()
        phases = tuple(body.get(f"availablecurrentphase{index}") for index in (1, 2, 3))
        available = body.get("availablecurrent")
        if available is not None and any(value is not None for value in phases):
            raise _invalid("Either AvailableCurrent or AvailableCurrentPhase1..3")
        highest = item.max_current
        if "maxcurrent" in body:
            if not call.account.role(item.id) & UserRole.MAINTAINER:
                raise Refusal(web.Response(status=403))
            highest = _number(body, "maxcurrent", 0, 10_000)
        if available is not None:
            phases = (_number(body, "availablecurrent", 0, highest),) * 3
        currents = None
        if any(value is not None for value in phases):
            if item.available_current_mode:
                # A schedule or a power meter controls the installation.
                return rejection(505, None)
            currents = _phases(phases, highest)
        switch = item.three_to_one_phase_switch_current
        if "threetoonephaseswitchcurrent" in body:
            switch = _number(body, "threetoonephaseswitchcurrent", 0, 32)
        # Every value is checked before the first is applied.
        item.max_current = highest
        item.available_current = currents or item.available_current
        if "minpowerofflinemode" in body:
            item.min_power_offline_mode = bool(body["minpowerofflinemode"])
        if switch != item.three_to_one_phase_switch_current:
            item.three_to_one_phase_switch_current = switch
            for charger in item.chargers:
                charger.remeasure()
        item.updated = self._simulator.clock.now()
        item.rebalance()
        return web.Response()

    # Chargers.

    def _charger_of(self, call: Call, *, manages: bool) -> Charger:
        charger = self._simulator.chargers.get(call.ids[0])
        if charger is None:
            raise Refusal(not_found("Charger not found."))
        installation_id = charger.installation.id
        if not call.account.role(installation_id) or (
            manages and not call.account.manages(installation_id)
        ):
            raise Refusal(web.Response(status=403))
        return charger

    async def _chargers(self, call: Call) -> web.Response:
        query = call.query
        name = query.get("namefilter", "").lower()
        wanted = query.get("installationid", "").lower()
        items = [
            documents.charger_list_item(charger, call.account)
            for item in self._visible(call.account)
            if not wanted or item.id == wanted
            for charger in item.chargers
            if name in charger.name.lower() or name in charger.serial.lower()
        ]
        return _page(items, query)

    async def _charger(self, call: Call) -> web.Response:
        charger = self._charger_of(call, manages=True)
        return web.json_response(documents.charger(charger, call.account))

    async def _state(self, call: Call) -> web.Response:
        charger = self._charger_of(call, manages=False)
        now = self._simulator.clock.now()
        cached = self._cache.get(charger.id)
        if cached is None or (now - cached[0]).total_seconds() >= STATE_CACHE_SECONDS:
            cached = (now, dict(charger.observations))
            self._cache[charger.id] = cached
        return web.json_response(documents.state(charger.id, cached[1]))

    async def _update_charger(self, call: Call) -> web.Response:
        charger = self._charger_of(call, manages=True)
        body = await call.body()
        # Every value is checked before the first is applied.
        actions: list[Callable[[], None]] = []
        for key in ("maxchargecurrent", "minchargecurrent", "offlinechargecurrent"):
            if key in body:
                lowest = -1 if key == "offlinechargecurrent" else 0
                value = _number(body, key, lowest, 32)
                if -1 < value < 0:
                    raise _invalid(key)
                actions.append(_setter(charger, key, value))
        if "maxchargephases" in body:
            if body["maxchargephases"] not in (1, 3):
                raise _invalid("maxChargePhases")
            if charger.family is Family.GO:
                return rejection(527, None)
            phases = int(body["maxchargephases"])
            actions.append(lambda: charger.set_max_phases(phases))
        if "offlinechargephase" in body:
            if body["offlinechargephase"] not in (1, 2, 4, 7):
                raise _invalid("offlineChargePhase")
            phase = _phase_id(charger, int(body["offlinechargephase"]))
            actions.append(lambda: charger.set_offline_phase(phase))
        if "metervalueinterval" in body:
            interval = int(_number(body, "metervalueinterval", 1, 86_400))
            actions.append(lambda: charger.set_meter_interval(interval))
        for action in actions:
            action()
        return web.Response()

    async def _send_command(self, call: Call) -> web.Response:
        charger = self._charger_of(call, manages=True)
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

    async def _firmware(self, call: Call) -> web.Response:
        item = self._simulator.installations.get(call.ids[0])
        if item is None or not call.account.role(item.id):
            return web.Response(status=403)
        return web.json_response(
            [documents.firmware(charger, call.account) for charger in item.chargers]
        )

    # Sessions.

    def _completed(self, call: Call, query: dict[str, str]) -> list[Session]:
        """Return the completed sessions that the query asks for, the newest first."""
        start, end = _time(query.get("from")), _time(query.get("to"))
        found = [
            session
            for item in self._visible(call.account)
            for session in item.archive
            if query.get("installationid", item.id).lower() == item.id
            and query.get("chargerid", session.charger_id).lower() == session.charger_id
            and query.get("userid") in (None, session.user and session.user.id)
            and (start is None or session.started >= start)
            and (end is None or session.started < end)
        ]
        return sorted(found, key=lambda session: session.started, reverse=True)

    async def _charge_history(self, call: Call) -> web.Response:
        query = call.query
        details = query.get("detaillevel", "0") in ("1", "Details")
        items = [
            documents.charge_history_item(session, call.account, energy_details=details)
            for session in self._completed(call, query)
        ]
        return _page(items, query)

    async def _report(self, call: Call) -> web.Response:
        body = await call.body()
        query = {
            "installationid": str(body.get("installationid", "")),
            "from": str(body.get("fromdate", "")),
            "to": str(body.get("enddate", "")),
        }
        item = self._simulator.installations.get(query["installationid"].lower())
        if item is None or not call.account.manages(item.id):
            return web.Response(status=403)
        by_charger = body.get("groupby") == 1
        groups: dict[str, list[Session]] = {}
        for session in self._completed(call, query):
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

    def _running(self, call: Call) -> Iterable[Charger]:
        return (
            charger
            for item in self._visible(call.account)
            for charger in item.chargers
            if charger.session and charger.session.id == call.ids[0]
        )

    async def _session(self, call: Call) -> web.Response:
        for charger in self._running(call):
            if charger.session:
                energy = float(charger.value(StateId.SESSION_ENERGY) or 0)
                return web.json_response(documents.session(charger.session, energy))
        for session in self._completed(call, {}):
            if session.id == call.ids[0]:
                return web.json_response(documents.session(session, session.energy))
        return not_found("Session not found.")

    async def _prioritize(self, call: Call) -> web.Response:
        body = await call.body()
        for charger in self._running(call):
            if not call.account.manages(charger.installation.id):
                return web.Response(status=403)
            if charger.session:
                charger.session.prioritized_current = _number(
                    body, "prioritizedcurrent", 0, 32
                )
                charger.installation.rebalance()
                return web.Response()
        return not_found("Session not found.")

    async def _archived_sessions(self, call: Call) -> web.Response:
        query = call.query
        if ("installationid" in query) == ("chargerid" in query):
            raise _invalid("Exactly one of InstallationId and ChargerId")
        size = _integer(query, "pagesize", _PAGE_SIZE, 1, _LARGEST_ARCHIVE_PAGE)
        start = _cursor_position(query.get("cursor"))
        sessions = self._completed(call, query)
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


def _page(items: list[documents.Document], query: dict[str, str]) -> web.Response:
    size = _integer(query, "pagesize", _PAGE_SIZE, 1, _LARGEST_PAGE)
    index = _integer(query, "pageindex", 0, 0, 1_000_000)
    return web.json_response(
        {
            "Pages": math.ceil(len(items) / size),
            "Data": items[index * size : (index + 1) * size],
        }
    )


def _invalid(details: str) -> Refusal:
    return Refusal(rejection(529, f"Invalid value: {details}", status=400))


def _integer(
    query: dict[str, str], key: str, default: int, lowest: int, highest: int
) -> int:
    try:
        value = int(query.get(key, default))
    except ValueError:
        raise _invalid(key) from None
    if value < lowest:
        raise _invalid(key)
    return min(value, highest)


def _number(body: dict[str, Any], key: str, lowest: float, highest: float) -> float:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(key)
    if not lowest <= value <= highest:
        raise _invalid(f"{key} must be between {lowest:g} and {highest:g}")
    return float(value)


def _phases(phases: tuple[Any, ...], highest: float) -> tuple[float, float, float]:
    """Return the three currents; a phase left out is set to its default, all of it."""
    one, two, three = (
        highest if value is None else _number({"phase": value}, "phase", 0, highest)
        for value in phases
    )
    return (one, two, three)


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


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid("time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"session:{position}".encode()).decode()


def _cursor_position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("session:"))
    except binascii.Error, UnicodeDecodeError, ValueError:
        raise _invalid("Cursor") from None
