"""The REST service: tokens, limits and faults, and the way to the endpoints.

Paths are matched without regard to case, as the vendor's server does. Everything else under /api
is answered with 404 and kept in `Rest.forbidden`.

Source: vendor's API reference, "API usage guidelines", "API fair use policy", "API changes: what
you need to know" and "Charger command validation update".
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from .accounts import Account
from .constants import CONSTANTS
from .endpoints import ROUTES
from .endpoints.call import Call, Cloud, Refusal
from .faults import Fault, Faults, failure, nginx
from .limits import RequestCounter
from .listener import Listener
from .tokens import TokenError, Tokens, TooManyTokenRequestsError

NO_ANSWER = -1
_UNANSWERED = ("hang", "reset", "giant", "drip")


@dataclass(slots=True)
class RequestRecord:
    """A received request; `status` is 0 until it is answered, `NO_ANSWER` if a fault prevents it.

    `grant` is the grant type of a token request.
    """

    time_monotonic: float
    method: str
    path: str
    status: int = 0
    account: str | None = None
    grant: str | None = None


class Rest:
    """The service, its faults and its counters.

    Attributes:
        cloud: What the endpoints serve.
        requests: Every request since the start or `clear`, in the order of arrival.
        forbidden: Requests for undocumented paths, as "METHOD path".
        peak_per_second: Most API requests of one account in any second of real time.
        latency: How long the answer to each request takes, in s of real time.
        tokens: The issued tokens; `tokens.lifetime` is the next one's `expires_in`.
    """

    def __init__(
        self,
        cloud: Cloud,
        on_write: Callable[[], None],
        *,
        host: str,
        port: int,
        token_lifetime: int,
        refresh_tokens: bool = False,
    ) -> None:
        """Initialize the service; `start` listens.

        Args:
            cloud: What the endpoints serve.
            on_write: Called after each request that has changed something.
            host: A loopback address.
            port: 0 for a free one.
            token_lifetime: `expires_in` of the tokens, s of real time.
            refresh_tokens: Whether each token comes with a refresh token.
        """
        self.requests: list[RequestRecord] = []
        self.forbidden: list[str] = []
        self.peak_per_second = 0
        self.latency = 0.0
        self.tokens = Tokens(
            cloud.accounts, token_lifetime, gives_refresh_tokens=refresh_tokens
        )
        self.cloud = cloud
        self._on_write = on_write
        self._faults = Faults()
        self._counters: dict[str, RequestCounter] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._listener = Listener(app, host, port)
        self._routes = [
            (route.method, route.pattern, route.handler) for route in ROUTES
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
        """The faults in force, as text."""
        return self._faults.active

    async def start(self) -> None:
        """Listen."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close all connections, also those of requests that hang."""
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
        """Make requests fail.

        Args:
            path_pattern: A regular expression, searched in the path without regard to case. In a
                token request, it is also searched in `/oauth/token?grant_type=...`.
            method: Only this HTTP method.
            fault: A status (400 to 599) with the vendor's body, or one of
                `faults.FAULT_NAMES`.
            times: How often; None: until `heal`.

        Raises:
            ValueError: There is no such fault, or the pattern is not valid.
        """
        self._faults.add(path_pattern, method, fault, times)

    def heal(self) -> None:
        """End all faults except a cut, and the archive's delay and distortions."""
        self._faults.heal()
        self.cloud.archive.heal()

    def clear(self) -> None:
        """Forget the requests counted so far."""
        self.requests.clear()
        self.forbidden.clear()
        self.peak_per_second = 0

    # How every request is answered.

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
        form = await _token_form(request)
        paths = [request.path]
        if form is not None:
            record.grant = form.get("grant_type")
            paths.append(f"{request.path}?grant_type={record.grant}")
        fault = self._faults.take(request.method, *paths)
        if fault is not None:
            self.tokens.use_up(form or {})
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
            if form is None:
                response = await self._dispatch(request, account)
            else:
                response = self._token(form, record)
        except Refusal as refusal:
            response = refusal.response
        record.status = response.status
        return response

    async def _dispatch(
        self, request: web.Request, account: Account | None
    ) -> web.StreamResponse:
        path = request.path
        if path.lower() == "/api/constants" and request.method == "GET":
            return web.json_response(CONSTANTS)
        for method, pattern, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(path)):
                if account is None:
                    return web.Response(status=401)
                ids = tuple(item.lower() for item in match.groups())
                response = await handler(Call(self.cloud, request, account, ids))
                # Clients write only when a user acts.
                if method != "GET" and response.status < 400:
                    self._on_write()
                return response
        if path.lower().startswith("/api/"):
            self.forbidden.append(f"{request.method} {path}")
        return web.Response(status=404)

    def _token(self, form: dict[str, str], record: RequestRecord) -> web.StreamResponse:
        if (user_name := form.get("username")) in self.cloud.accounts:
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


async def _token_form(request: web.Request) -> dict[str, str] | None:
    """Return the form of a token request, None for another request."""
    if request.path.lower() != "/oauth/token" or request.method != "POST":
        return None
    return {key: str(value) for key, value in (await request.post()).items()}
