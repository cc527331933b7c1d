"""Where bearer tokens come from.

The vendor has announced to replace the password grant; whatever follows it has to
be a `TokenSource`.
"""

import asyncio
from http import HTTPStatus
import re
from time import monotonic
from typing import Protocol, override

import aiohttp

from .errors import ZaptecAuthenticationError, ZaptecError, ZaptecResponseError
from .tolerant import parse_float, parse_text
from .transport import Answer, Door, Priority, Statistics, limiter_for

TOKEN_ENDPOINT = "/oauth/token"

# The vendor allows one request a second there (since December 2025).
TOKEN_INTERVAL = 1.1

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

    async def token(self) -> str:
        """Return a token that should be valid.

        Raises:
            ZaptecError: There is none to be had.

        """

    def invalidate(self, token: str) -> None:
        """Note that the cloud has refused a token."""


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
        self._door = Door(
            session,
            limiter_for(base_url, user_name),
            base_url=base_url,
            user_agent=user_agent,
            statistics=statistics,
        )
        self._pace = limiter_for(
            f"{base_url}{TOKEN_ENDPOINT}", user_name, limit=1, window=TOKEN_INTERVAL
        )
        self._token: str | None = None
        self._renew_at = 0.0
        self._refused: ZaptecAuthenticationError | None = None
        self._refused_until = 0.0
        self._login: asyncio.Task[str] | None = None
        self._waiting = 0

    @override
    async def token(self) -> str:
        """Return a token.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecError: The cloud did not give one for another reason.

        """
        if self._token is not None and monotonic() < self._renew_at:
            return self._token
        if self._refused and monotonic() < self._refused_until:
            raise self._refused
        if self._login is None:
            self._login = asyncio.create_task(self._log_in(), name="zaptec login")
            self._login.add_done_callback(self._login_done)
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
        if token == self._token:
            self._token = None

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
        async with self._pace.turn(Priority.COMMAND):
            requested_at = monotonic()
            answer = await self._door.send(
                "POST",
                TOKEN_ENDPOINT,
                priority=Priority.COMMAND,
                form={
                    "grant_type": "password",
                    "username": self._user_name,
                    "password": self._password,
                    # Asked for by the vendor since the migration of November 2025.
                    "scope": "openid",
                },
            )
        if answer.status != HTTPStatus.OK:
            error = _login_error(answer)
            if isinstance(error, ZaptecAuthenticationError):
                self._refused = error
                self._refused_until = monotonic() + REFUSAL_TIME
            raise error
        self._refused = None
        document = answer.document()
        if not isinstance(document, dict):
            raise ZaptecResponseError("The token is no JSON object")
        token = parse_text(document.get("access_token"))
        if token is None or not _TOKEN_PATTERN.fullmatch(token):
            raise ZaptecResponseError("The answer holds no token")
        lifetime = parse_float(document.get("expires_in"))
        if lifetime is None or lifetime <= 0:
            lifetime = DEFAULT_LIFETIME
        self._token = token
        self._renew_at = (
            requested_at + lifetime - min(lifetime * RENEWAL_SHARE, RENEWAL_MAX)
        )
        return token


def _login_error(answer: Answer) -> ZaptecError:
    """Return what a refused login means.

    Only an OAuth error speaks of the account; a proxy answers with 400 and 401
    too.
    """
    if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED):
        try:
            document = answer.document()
        except ZaptecResponseError:
            document = None
        error = document.get("error") if isinstance(document, dict) else None
        if (
            isinstance(error, str)
            and _ERROR_PATTERN.fullmatch(error)
            and error not in _PASSING_ERRORS
        ):
            return ZaptecAuthenticationError(f"The cloud refuses the sign-in ({error})")
    return answer.error()
