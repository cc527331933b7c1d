"""The cloud's calls of web hooks, over real HTTP or through another transport.

Source: "Integrating with Zaptec charging systems", Web hook authorization. The vendor does not
document the case of the fields, how an absent token is written, and what follows a call without
an answer: attributes of `WebHookCaller` choose among what is possible.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
import json
import re
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl
import uuid

import aiohttp

from .authorization import Answer, Application, WebHooks
from .clock import Clock
from .session import Session

type Hook = Literal["token", "start", "end"]
HOOKS: tuple[Hook, ...] = ("token", "start", "end")

# "unreachable": the call does not arrive. "lost": it arrives, its answer does not. "timeout": the
# same, and the cloud waits until its time-out. "doubled": it arrives twice. A status: a relay answers, and the
# call does not arrive, unless `is_delivered`.
type HookFault = int | Literal["unreachable", "lost", "timeout", "doubled"]
HOOK_FAULTS: tuple[str, ...] = ("unreachable", "lost", "timeout", "doubled")

# Longest time of a call (s of real time).
_CALL_TIMEOUT = 10.0
# Longest answer that is read.
_ANSWER_SIZE = 65_536
# Number of calls that are kept.
_CALLS = 50_000
# The vendor's format of a UUID.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, repr=False)
class HookRequest:
    """A POST request of the cloud."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookResponse:
    """The answer to a request."""

    status: int
    body: bytes = b""
    content_type: str = ""


class NoAnswerError(Exception):
    """A transport has no answer."""


type Transport = Callable[[HookRequest], Awaitable[HookResponse]]


@dataclass(frozen=True, slots=True)
class HookCall:
    """A call that was made; it holds no secret.

    Attributes:
        time: When it was made, in simulated time.
        hook: What was called.
        charger_id: The charger whose car asks, or has left.
        has_code: Whether it had the code of a card.
        status: The status of the answer, None without one.
        session_id: The session that was permitted, or has ended.
    """

    time: datetime
    hook: Hook
    charger_id: str
    has_code: bool
    status: int | None
    session_id: str | None


class Site(Protocol):
    """An installation, as far as its web hooks need it."""

    id: str
    name: str
    web_hooks: WebHooks

    @property
    def reports_sessions(self) -> bool:
        """Whether the end of a session is reported to a web hook."""


class Applicant(Protocol):
    """A charger, as far as web hooks need it."""

    id: str
    name: str

    @property
    def installation(self) -> Site:
        """The installation that it belongs to now."""


class HttpTransport:
    """Sends requests over HTTP, each over a connection of its own."""

    def __init__(self) -> None:
        """Initialize the transport; the first request opens the client."""
        self._client: aiohttp.ClientSession | None = None

    async def __call__(self, request: HookRequest) -> HookResponse:
        """Send a request, and return the answer."""
        if self._client is None:
            # A connection that is kept open might be closed by the hook's server at any time.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._client = aiohttp.ClientSession(connector=connector)
        async with self._client.post(
            request.url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
        ) as answer:
            body = await answer.content.read(_ANSWER_SIZE)
            return HookResponse(answer.status, body, answer.content_type)

    async def close(self) -> None:
        """Close the client."""
        client, self._client = self._client, None
        if client:
            await client.close()


@dataclass(slots=True)
class _Rule:
    """Which calls fail, how, and how many more times (None: until healed)."""

    fault: HookFault
    hook: Hook | None
    times: int | None
    is_delivered: bool


class HookFaults:
    """What goes wrong on the way to web hooks; the first rule that matches is applied."""

    def __init__(self) -> None:
        """Initialize without rules."""
        self._rules: list[_Rule] = []

    @property
    def active(self) -> list[str]:
        """The rules in force, as text."""
        return [
            f"{rule.hook or 'any'} calls: {rule.fault}"
            + (f" ({rule.times} times)" if rule.times is not None else "")
            for rule in self._rules
        ]

    def add(
        self,
        fault: HookFault,
        hook: Hook | None = None,
        times: int | None = None,
        *,
        is_delivered: bool = False,
    ) -> None:
        """Add a rule.

        Args:
            fault: What goes wrong.
            hook: Which calls fail, None for all.
            times: How many of them, None until `heal`.
            is_delivered: Whether the call arrives, although a relay answers with the status.

        Raises:
            ValueError: There is no such fault or hook.
        """
        is_status = isinstance(fault, int) and 400 <= fault < 600
        if not is_status and fault not in HOOK_FAULTS:
            raise ValueError(f"No such fault of a webhook: {fault}")
        if hook not in (None, *HOOKS):
            raise ValueError(f"A webhook is one of {', '.join(HOOKS)}")
        if times is not None and times < 1:
            raise ValueError("times is at least 1")
        self._rules.append(_Rule(fault, hook, times, is_delivered))

    def take(self, hook: Hook) -> _Rule | None:
        """Return the rule for a call, and count its use."""
        for rule in self._rules:
            if rule.hook in (None, hook):
                if rule.times is not None:
                    rule.times -= 1
                    if not rule.times:
                        self._rules.remove(rule)
                return rule
        return None

    def heal(self) -> None:
        """Remove all rules."""
        self._rules.clear()


class WebHookCaller:
    """Calls the web hooks of all installations.

    Attributes:
        transport: Sends the requests.
        timeout: Longest time of a call, s of real time; None waits as long as it takes.
        case: How the names of fields are written.
        absent_code: How the absence of a card's code is written.
        unanswered_denies: Whether a call without any answer ends the authorization.
        retry_interval: Time until a session's end is reported again (s).
        retry_timeout: Time after which it is not reported any more (s).
        calls: The latest calls.
        problems: Answers that the vendor does not document.
        faults: What goes wrong with the calls.
    """

    def __init__(self, clock: Clock) -> None:
        """Initialize the caller."""
        self._http = HttpTransport()
        self.transport: Transport = self._http
        self.timeout: float | None = _CALL_TIMEOUT
        self.case: Literal["camel", "pascal", "lower"] = "camel"
        self.absent_code: Literal["absent", "null", "empty"] = "absent"
        self.unanswered_denies = False
        self.retry_interval = 60.0
        self.retry_timeout = 86_400.0
        self.calls: deque[HookCall] = deque(maxlen=_CALLS)
        self.problems: list[str] = []
        self.faults = HookFaults()
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        # For which charger, and which of its applications, an id was given.
        self._given: dict[str, tuple[str, int]] = {}
        self._unreported: dict[str, datetime] = {}
        self._failures: list[BaseException] = []

    @property
    def unreported(self) -> list[str]:
        """The ids of the ended sessions that still have to be reported."""
        return list(self._unreported)

    async def settle(self) -> None:
        """Wait until each call that was made is answered; raise what failed."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._raise_failure()

    async def stop(self) -> None:
        """Abort the calls that are not answered."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.close()
        self._raise_failure()

    def ask(
        self,
        charger: Applicant,
        application: Application,
        on_answer: Callable[[Answer], None],
    ) -> None:
        """Call the hook of a session's start; `on_answer` receives what it says."""
        self._start(self._ask(charger, application, on_answer))

    def report(self, site: Site, session: Session) -> None:
        """Report an ended session until that succeeds, or the time is over."""
        if site.reports_sessions:
            last = self._clock.now() + timedelta(seconds=self.retry_timeout)
            self._unreported[session.id] = last
            self._start(self._report(site, session))

    async def _ask(
        self,
        charger: Applicant,
        application: Application,
        on_answer: Callable[[Answer], None],
    ) -> None:
        site = charger.installation
        fields: dict[str, object] = {}
        if application.code:
            fields["token"] = application.code
        elif self.absent_code != "absent":
            fields["token"] = None if self.absent_code == "null" else ""
        fields |= {
            "chargerId": charger.id,
            "chargerName": charger.name,
            "installationId": site.id,
            "installationName": site.name,
        }
        call = partial(self._log, "start", charger.id, has_code=bool(application.code))
        response, delay = await self._call(
            "start", site.web_hooks, site.web_hooks.start_url, fields, call
        )
        answer = self._read(response, charger, application)
        if delay:
            self._clock.call_later(delay, lambda: on_answer(answer))
        else:
            on_answer(answer)

    def _read(
        self,
        response: HookResponse | None,
        charger: Applicant,
        application: Application,
    ) -> Answer:
        """Return what an answer means."""
        if response is None:
            return Answer(None, denies=self.unanswered_denies)
        status = response.status
        if status != 200:
            if status < 400:
                self.problems.append(f"start: status {status} is not documented")
            return Answer(status, denies=status != _UNAUTHORIZED)
        session_id = _session_id(response.body)
        if session_id is None:
            self.problems.append("start: status 200 without a UUID as sessionId")
            return Answer(status, denies=True)
        if response.content_type != "application/json":
            self.problems.append("start: the content type is not application/json")
        owner = (charger.id, application.number)
        if self._given.setdefault(session_id, owner) != owner:
            self.problems.append("start: the sessionId was given before")
            return Answer(status, denies=True)
        return Answer(status, session_id)

    async def _report(self, site: Site, session: Session) -> None:
        assert session.ended
        fields: dict[str, object] = {
            "sessionId": session.id,
            "sessionStart": _hook_time(session.started),
            "sessionEnd": _hook_time(session.ended),
            "energy": round(session.energy, 3),
        }
        call = partial(self._log, "end", session.charger_id, session_id=session.id)
        response, delay = await self._call(
            "end", site.web_hooks, site.web_hooks.end_url, fields, call
        )
        if response and 200 <= response.status < 300:
            self._unreported.pop(session.id, None)
            return
        self._clock.call_later(
            max(delay, self.retry_interval), partial(self._retry, site, session)
        )

    def _retry(self, site: Site, session: Session) -> None:
        """Report a session again, unless its time is over or the web hook was removed."""
        last = self._unreported[session.id]
        if site.reports_sessions and self._clock.now() <= last:
            self._start(self._report(site, session))
        else:
            del self._unreported[session.id]

    async def _call(
        self,
        hook: Hook,
        settings: WebHooks,
        url: str,
        fields: dict[str, object],
        log: Callable[[HookResponse | None], None],
    ) -> tuple[HookResponse | None, float]:
        """Call a hook; return its answer, and the simulated time until it is known (s)."""
        try:
            authorization = await self._authorization(settings)
        except NoAnswerError:
            return None, 0.0
        headers = {"Content-Type": "application/json; charset=utf-8"} | authorization
        document = {_cased(key, self.case): value for key, value in fields.items()}
        request = HookRequest(url, headers, json.dumps(document).encode())
        response, delay = await self._deliver(hook, request)
        log(response)
        return response, delay

    async def _authorization(self, settings: WebHooks) -> dict[str, str]:
        """Return the header that authenticates the cloud; the payload may be empty.

        Raises:
            NoAnswerError: The token service gives no token.
        """
        if not settings.auth_url:
            payload = dict(parse_qsl(settings.auth_payload))
            if "username" not in payload:
                return {}
            text = f"{payload['username']}:{payload.get('password', '')}"
            code = base64.b64encode(text.encode()).decode()
            return {"Authorization": f"Basic {code}"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = HookRequest(
            settings.auth_url, headers, settings.auth_payload.encode()
        )
        response, _ = await self._deliver("token", request)
        self._log("token", "", response)
        if response is None or response.status != 200:
            raise NoAnswerError
        token = _document(response.body).get("access_token")
        if not isinstance(token, str) or not token:
            raise NoAnswerError
        return {"Authorization": f"Bearer {token}"}

    async def _deliver(
        self, hook: Hook, request: HookRequest
    ) -> tuple[HookResponse | None, float]:
        """Send a request, unless a fault prevents it; see `_call`."""
        rule = self.faults.take(hook)
        if rule is None:
            return await self._send(request), 0.0
        match rule.fault:
            case "unreachable":
                return None, 0.0
            case "lost":
                await self._send(request)
                return None, 0.0
            case "timeout":
                await self._send(request)
                return None, self.timeout or _CALL_TIMEOUT
            case "doubled":
                await self._send(request)
                return await self._send(request), 0.0
            case status:
                if rule.is_delivered:
                    await self._send(request)
                body = b"<html><body>The relay has no answer</body></html>"
                return HookResponse(int(status), body, "text/html"), 0.0

    async def _send(self, request: HookRequest) -> HookResponse | None:
        try:
            async with asyncio.timeout(self.timeout):
                return await self.transport(request)
        except (
            aiohttp.ClientError,
            NoAnswerError,
            OSError,
            TimeoutError,
            ValueError,
        ):
            return None

    def _log(
        self,
        hook: Hook,
        charger_id: str,
        response: HookResponse | None,
        *,
        has_code: bool = False,
        session_id: str | None = None,
    ) -> None:
        if hook == "start" and response and response.status == 200:
            session_id = _session_id(response.body)
        status = response.status if response else None
        self.calls.append(
            HookCall(self._clock.now(), hook, charger_id, has_code, status, session_id)
        )

    def _start(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call, name="web hook")
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            self._failures.append(failure)

    def _raise_failure(self) -> None:
        """Raise what a callback of a charger has raised."""
        failures, self._failures = self._failures, []
        if failures:
            raise failures[0]


def _cased(key: str, case: str) -> str:
    """Write the name of a field."""
    match case:
        case "pascal":
            return key[0].upper() + key[1:]
        case "lower":
            return key.lower()
        case _:
            return key


def _document(body: bytes) -> dict[str, Any]:
    """Return the JSON object in an answer, empty if there is none."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _session_id(body: bytes) -> str | None:
    """Return the UUID in an answer, None if there is none."""
    fields = {key.lower(): value for key, value in _document(body).items()}
    value = fields.get("sessionid")
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        return None
    return str(uuid.UUID(value))


def _hook_time(time: datetime) -> str:
    """Write a time as the vendor documents it."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
