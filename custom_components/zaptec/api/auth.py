"""Where bearer tokens come from.

The vendor has announced to replace the password grant; whatever follows it has to
be a `TokenSource`.
"""

import asyncio
from collections import deque
from http import HTTPStatus
import re
from time import monotonic
from typing import Protocol, override

import aiohttp

from .errors import (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecResponseError,
)
from .limiter import Priority, limiter_for
from .parsing import parse_float, parse_text
from .statistics import Statistics
from .transport import Response, Transport

TOKEN_ENDPOINT = "/oauth/token"

# Longest time for the answer to a sign-in (s), which takes 0.2 s. Two of them are within
# the time of a command.
TOKEN_TIMEOUT = 7.0

# A token that is refused so soon after it was issued (s) was never good.
NEW_TOKEN_TIME = 60.0

# Delay before another sign-in (s), by how many new tokens were refused within the time
# below (s). The last one is for all further refusals.
REFUSAL_PAUSES = (0.0, 0.0, 0.0, 120.0, 300.0)
REFUSALS_TIME = 1800.0

# A password that was refused is not tried again for so long (seconds): what is
# needed is another one, and too many failures may lock the account.
REFUSAL_TIME = 3600.0

# Seconds, for an answer that does not tell.
DEFAULT_LIFETIME = 3600.0

# A token is renewed this much of its life before its end, but not earlier than
# a minute.
RENEWAL_SHARE = 0.1
RENEWAL_MAX = 60.0

# OAuth errors that say nothing about the account (RFC 6749, 4.1.2.1).
_PASSING_ERRORS = ("server_error", "temporarily_unavailable")
_ERROR_PATTERN = re.compile(r"[a-z_]{1,40}", re.ASCII)

# What a bearer token may consist of (RFC 6750, 2.1).
_TOKEN_PATTERN = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)


class TokenSource(Protocol):
    """Gives tokens to requests."""

    async def token(self, priority: Priority = Priority.COMMAND) -> str:
        """Return a token that should be valid.

        Args:
            priority: How urgent the request is that needs it. While the cloud asks
                for a pause, only the user's commands are worth a sign-in.

        Raises:
            ZaptecError: There is none to be had.

        """

    def invalidate(self, token: str) -> None:
        """Note that the cloud has refused a token.

        The next one may be the same, if the source has no better one.
        """


class RefusedTokens:
    """The new tokens of an account that the cloud has refused lately.

    A cloud that gives tokens and refuses them must not be asked for one with each
    request. This is kept per account, as a set-up that fails is tried again by Home
    Assistant with a new client each time.
    """

    def __init__(self) -> None:
        """Initialize with no refusal."""
        # Monotonic seconds.
        self._refusals: deque[float] = deque(maxlen=len(REFUSAL_PAUSES))

    def add(self) -> None:
        """Note a refusal."""
        self._refusals.append(monotonic())

    @property
    def pause_left(self) -> float:
        """Return the seconds until the next sign-in is worth a try."""
        now = monotonic()
        while self._refusals and not 0 <= now - self._refusals[0] <= REFUSALS_TIME:
            self._refusals.popleft()
        if not self._refusals:
            return 0.0
        pause = REFUSAL_PAUSES[min(len(self._refusals), len(REFUSAL_PAUSES) - 1)]
        return max(0.0, self._refusals[-1] + pause - now)


_refused_tokens: dict[tuple[str, str], RefusedTokens] = {}


def refused_tokens_of(base_url: str, user_name: str) -> RefusedTokens:
    """Return the refused tokens of an account, the same ones for all its clients."""
    key = (base_url, user_name.strip().lower())
    return _refused_tokens.setdefault(key, RefusedTokens())


def reset_refused_tokens() -> None:
    """Forget the refused tokens of all accounts, as tests need it."""
    _refused_tokens.clear()


class PasswordTokenSource(TokenSource):
    """Tokens for a user name and password.

    One login serves all that wait for it, and fails for all of them.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        user_name: str,
        password: str,
        *,
        base_url: str,
        user_agent: str,
        statistics: Statistics | None = None,
    ) -> None:
        """Initialize the source.

        Args:
            session: Where connections come from.
            user_name: The account.
            password: Its password.
            base_url: Where the cloud is.
            user_agent: Who we say we are.
            statistics: Where to count the requests.

        """
        base_url = base_url.rstrip("/")
        self._user_name = user_name
        self._password = password
        self._transport = Transport(
            session,
            limiter_for(base_url, user_name),
            base_url=base_url,
            user_agent=user_agent,
            statistics=statistics,
        )
        # The vendor allows one request a second there (since December 2025).
        self._token_limiter = limiter_for(
            f"{base_url}{TOKEN_ENDPOINT}", user_name, limit=1
        )
        self._refused_tokens = refused_tokens_of(base_url, user_name)
        self._token: str | None = None
        # Whether the cloud has refused it.
        self._is_token_refused = False
        self._issued_at = 0.0
        self._renew_at = 0.0
        self._refused: ZaptecAuthenticationError | None = None
        self._refused_until = 0.0
        self._login: asyncio.Task[str] | None = None
        self._waiting = 0
        # That of the most urgent request which waits for the login.
        self._login_priority = Priority.BACKGROUND

    @override
    async def token(self, priority: Priority = Priority.COMMAND) -> str:
        """Return a token.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecBusyError: The cloud asks for a pause, or has refused too many new
                tokens.
            ZaptecError: The cloud did not give one for another reason.

        """
        if self._token is not None and monotonic() < self._renew_at:
            if not self._is_token_refused or self._refused_tokens.pause_left:
                return self._token
        if self._refused and monotonic() < self._refused_until:
            raise self._refused
        if pause := self._refused_tokens.pause_left:
            raise ZaptecBusyError("The cloud refuses its own new tokens", pause)
        if self._login is None:
            self._login_priority = priority
            self._login = asyncio.create_task(self._log_in(), name="zaptec login")
            self._login.add_done_callback(self._login_done)
        self._login_priority = min(self._login_priority, priority)
        login = self._login
        self._waiting += 1
        try:
            await asyncio.wait([login])
        finally:
            self._waiting -= 1
            if not self._waiting and not login.done():
                self._forget_login(login)
                login.cancel()
        return login.result()

    @override
    def invalidate(self, token: str) -> None:
        """Note that the cloud has refused a token."""
        if token != self._token or self._is_token_refused:
            return
        self._is_token_refused = True
        if monotonic() - self._issued_at < NEW_TOKEN_TIME:
            self._refused_tokens.add()

    def _login_done(self, task: asyncio.Task[str]) -> None:
        """Note the end of a login."""
        self._forget_login(task)
        if not task.cancelled():
            # Whoever waited gets it; if nobody did any more, it is no news.
            task.exception()

    def _forget_login(self, task: asyncio.Task[str]) -> None:
        """Let the next request that needs a token log in anew."""
        if self._login is task:
            self._login = None

    async def _log_in(self) -> str:
        """Fetch a token."""
        async with self._token_limiter.slot(Priority.COMMAND):
            requested_at = monotonic()
            response = await self._transport.send(
                "POST",
                TOKEN_ENDPOINT,
                priority=Priority.SIGN_IN,
                pause_priority=lambda: self._login_priority,
                timeout=TOKEN_TIMEOUT,
                form={
                    "grant_type": "password",
                    "username": self._user_name,
                    "password": self._password,
                    # Asked for by the vendor since the migration of November 2025.
                    "scope": "openid",
                },
            )
        if response.status != HTTPStatus.OK:
            error = _login_error(response)
            if isinstance(error, ZaptecAuthenticationError):
                self._refused = error
                self._refused_until = monotonic() + REFUSAL_TIME
            raise error
        self._refused = None
        try:
            document = response.document()
        except ZaptecResponseError:
            # The vendor answers with JSON, whatever happens.
            raise ZaptecInterceptedError from None
        if not isinstance(document, dict):
            raise ZaptecResponseError("The token is no JSON object")
        token = parse_text(document.get("access_token"))
        if token is None or not _TOKEN_PATTERN.fullmatch(token):
            raise ZaptecResponseError("The answer holds no token")
        lifetime = parse_float(document.get("expires_in"))
        if lifetime is None or lifetime <= 0:
            lifetime = DEFAULT_LIFETIME
        self._token = token
        self._is_token_refused = False
        self._issued_at = monotonic()
        self._renew_at = (
            requested_at + lifetime - min(lifetime * RENEWAL_SHARE, RENEWAL_MAX)
        )
        return token


def _login_error(response: Response) -> ZaptecError:
    """Return what a refused login means.

    Only an OAuth error speaks of the account. A captive portal or a proxy answers with
    a redirect, or with a page and any status that blames the request.
    """
    if (
        response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or response.status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        # The vendor's own server in front of the cloud sends pages with these.
        return response.error()
    try:
        document = response.document()
    except ZaptecInterceptedError as err:
        return err
    except ZaptecResponseError:
        document = None
    if response.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED):
        error = document.get("error") if isinstance(document, dict) else None
        if (
            isinstance(error, str)
            and _ERROR_PATTERN.fullmatch(error)
            and error not in _PASSING_ERRORS
        ):
            return ZaptecAuthenticationError(f"The cloud refuses the sign-in ({error})")
    return response.error()
