"""The sources of bearer tokens.

The vendor has announced that it will replace the password grant. Its successor has to
be a `TokenSource`, too.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
import logging
import math
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

_LOGGER = logging.getLogger(__name__)

TOKEN_ENDPOINT = "/oauth/token"

# Longest time for the response to a sign-in (s), which usually takes 0.2 s. Two
# sign-ins fit into the time of a command.
TOKEN_TIMEOUT = 7.0

# Longest time for the response to a refresh token (s). After it, the delay between two
# token requests, a sign-in that gets no response and another one still fit into the
# time of a command.
REFRESH_TIMEOUT = 4.0

# Time during which no refresh token is used after one has failed, or after the cloud
# has rejected a token (s). Refresh tokens may fail every time: in November 2025, the
# vendor's cloud issued some that it rejected a day later. A failed one costs a request,
# so at most one a day may fail. If it failed because of an outage, a later one works.
REFRESH_PAUSE = 86400.0

# A token that is rejected within this time after it was issued (s) was never valid.
NEW_TOKEN_TIME = 60.0

# Delay before another sign-in (s), by the number of new tokens that were rejected
# within the time below (s). The last delay applies to all further rejections.
REFUSAL_PAUSES = (0.0, 0.0, 0.0, 120.0, 300.0)
REFUSALS_TIME = 1800.0

# Delay before a rejected password is tried again (s). It will hardly be accepted later,
# and too many failures may lock the account.
REFUSAL_TIME = 3600.0

# Lifetime of a token whose response does not contain it (s).
DEFAULT_LIFETIME = 3600.0

# A token is renewed when this share of its lifetime is left, but not earlier than this
# time before its end (s).
RENEWAL_SHARE = 0.1
RENEWAL_MAX = 60.0

# OAuth errors that do not concern the account (RFC 6749, 4.1.2.1).
_TEMPORARY_ERRORS = ("server_error", "temporarily_unavailable")
_ERROR_PATTERN = re.compile(r"[a-z_]{1,40}", re.ASCII)

# The characters that a bearer token may contain (RFC 6750, 2.1).
_TOKEN_PATTERN = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)

# The characters that a refresh token may contain (RFC 6749, A.17).
_REFRESH_TOKEN_PATTERN = re.compile(r"[ -~]+", re.ASCII)


class TokenSource(Protocol):
    """Provides tokens for requests."""

    async def token(self, priority: Priority = Priority.COMMAND) -> str:
        """Return a token that should be valid.

        Args:
            priority: The priority of the request that needs the token. While the cloud
                asks for a pause, only the user's commands may cause a sign-in.

        Raises:
            ZaptecError: There is no token.

        """

    def invalidate(self, token: str) -> None:
        """Mark a token as rejected by the cloud.

        The source may return the same token again if it has no better one.
        """


class RefusedTokens:
    """The new tokens of an account that the cloud has recently rejected.

    If the cloud issues tokens and then rejects them, each request would cause a
    sign-in. The rejections are kept per account, because Home Assistant retries a
    failed set-up with a new client each time.
    """

    def __init__(self) -> None:
        """Initialize the rejected tokens."""
        # Times of the latest rejections (monotonic seconds).
        self._refusals: deque[float] = deque(maxlen=len(REFUSAL_PAUSES))

    def add(self) -> None:
        """Add a rejection."""
        self._refusals.append(monotonic())

    @property
    def pause_left(self) -> float:
        """Return the time until the next sign-in is allowed (s)."""
        now = monotonic()
        while self._refusals and not 0 <= now - self._refusals[0] <= REFUSALS_TIME:
            self._refusals.popleft()
        if not self._refusals:
            return 0.0
        pause = REFUSAL_PAUSES[min(len(self._refusals), len(REFUSAL_PAUSES) - 1)]
        return max(0.0, self._refusals[-1] + pause - now)


_refused_tokens: dict[tuple[str, str], RefusedTokens] = {}


def refused_tokens_of(base_url: str, user_name: str) -> RefusedTokens:
    """Return the rejected tokens of an account, shared by all its clients."""
    key = (base_url, user_name.strip().lower())
    return _refused_tokens.setdefault(key, RefusedTokens())


def reset_refused_tokens() -> None:
    """Forget the rejected tokens of all accounts (for tests)."""
    _refused_tokens.clear()


class RefreshToken:
    """The refresh token of the latest response, if it had one.

    It is used at most once, because the vendor's successor to the password grant
    revokes all tokens of an account if one is used twice (August 2026).
    """

    def __init__(self) -> None:
        """Initialize without a refresh token."""
        self._value: str | None = None
        self._paused_until = -math.inf

    def replace(self, value: object) -> None:
        """Replace the refresh token by that of a response; None if it had none."""
        self._value = (
            value
            if isinstance(value, str) and _REFRESH_TOKEN_PATTERN.fullmatch(value)
            else None
        )

    def take(self) -> str | None:
        """Return the refresh token, and forget it; None if the password is needed.

        It is forgotten before it is sent: if the response is lost, the cloud may have
        accepted the refresh token, and must not receive it again.
        """
        value, self._value = self._value, None
        return value if monotonic() >= self._paused_until else None

    def give_up(self) -> None:
        """Forget the refresh token, and use no other one for some time."""
        self._value = None
        self._paused_until = monotonic() + REFRESH_PAUSE


class PasswordTokenSource(TokenSource):
    """Provides tokens for a user name and password.

    If the cloud issues refresh tokens, they renew the token instead of the password.
    Whatever goes wrong with a refresh token, the password is used at once, so that a
    request fails only if the password fails, too.

    All requests that wait for a token share one sign-in, and its error if it fails.
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
            session: The session that opens connections.
            user_name: The user name of the account.
            password: The password of the account.
            base_url: The URL of the cloud.
            user_agent: The user agent of the requests.
            statistics: The statistics to add to, by default new ones.

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
        # The vendor allows one request a second to this endpoint (since December 2025).
        self._token_limiter = limiter_for(
            f"{base_url}{TOKEN_ENDPOINT}", user_name, limit=1
        )
        self._refused_tokens = refused_tokens_of(base_url, user_name)
        self._refresh_token = RefreshToken()
        self._token: str | None = None
        # Whether the cloud has rejected the token.
        self._is_token_refused = False
        self._issued_at = 0.0
        self._renew_at = 0.0
        self._refused: ZaptecAuthenticationError | None = None
        self._refused_until = 0.0
        self._login: asyncio.Task[str] | None = None
        self._waiting_requests = 0
        # The priority of the most urgent request that waits for the sign-in.
        self._login_priority = Priority.BACKGROUND

    @override
    async def token(self, priority: Priority = Priority.COMMAND) -> str:
        """Return a token.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecBusyError: The cloud asks for a pause, or has rejected too many new
                tokens.
            ZaptecError: There is no token for another reason.

        """
        if self._token is not None and monotonic() < self._renew_at:
            if not self._is_token_refused or self._refused_tokens.pause_left:
                return self._token
        if self._refused and monotonic() < self._refused_until:
            raise self._refused
        if pause := self._refused_tokens.pause_left:
            raise ZaptecBusyError("The cloud rejects its own new tokens", pause)
        if self._login is None:
            self._login_priority = priority
            self._login = asyncio.create_task(self._log_in(), name="zaptec login")
            self._login.add_done_callback(self._login_done)
        self._login_priority = min(self._login_priority, priority)
        login = self._login
        self._waiting_requests += 1
        try:
            await asyncio.wait([login])
        finally:
            self._waiting_requests -= 1
            if not self._waiting_requests and not login.done():
                self._forget_login(login)
                login.cancel()
        return login.result()

    @override
    def invalidate(self, token: str) -> None:
        """Mark a token as rejected by the cloud."""
        if token != self._token or self._is_token_refused:
            return
        self._is_token_refused = True
        # The cloud may have revoked the refresh token along with the token, and a
        # sign-in by password is the surest way to a token that is accepted.
        self._refresh_token.give_up()
        if monotonic() - self._issued_at < NEW_TOKEN_TIME:
            self._refused_tokens.add()

    def _login_done(self, task: asyncio.Task[str]) -> None:
        """Forget a sign-in that has ended."""
        self._forget_login(task)
        if not task.cancelled():
            # Retrieve the exception: if all waiting requests were cancelled, asyncio
            # would log it as never retrieved.
            task.exception()

    def _forget_login(self, task: asyncio.Task[str]) -> None:
        """Let the next request that needs a token start a new sign-in."""
        if self._login is task:
            self._login = None

    async def _log_in(self) -> str:
        """Return a new token, by the refresh token or else by the password."""
        # A pause would hold the request back after its refresh token was forgotten.
        self._transport.check_pause(self._login_priority)
        if (refresh_token := self._refresh_token.take()) is not None:
            try:
                return await self._request_token(
                    {"grant_type": "refresh_token", "refresh_token": refresh_token},
                    REFRESH_TIMEOUT,
                )
            except ZaptecError as err:
                self._refresh_token.give_up()
                _LOGGER.debug(
                    "A refresh token failed, so the password is used: %s", err
                )
        return await self._sign_in()

    async def _sign_in(self) -> str:
        """Return a new token by the password.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecError: There is no token for another reason.

        """
        try:
            return await self._request_token(
                {
                    "grant_type": "password",
                    "username": self._user_name,
                    "password": self._password,
                    # Required by the vendor since the migration of November 2025.
                    "scope": "openid",
                },
                TOKEN_TIMEOUT,
            )
        except ZaptecAuthenticationError as err:
            self._refused = err
            self._refused_until = monotonic() + REFUSAL_TIME
            raise

    async def _request_token(self, form: Mapping[str, str], timeout: float) -> str:
        """Request a token, and return it.

        Args:
            form: The token request.
            timeout: Longest time for the response (s).

        Raises:
            ZaptecAuthenticationError: The cloud rejects what the form contains.
            ZaptecError: There is no token for another reason.

        """
        async with self._token_limiter.slot(Priority.COMMAND):
            requested_at = monotonic()
            response = await self._transport.send(
                "POST",
                TOKEN_ENDPOINT,
                priority=Priority.SIGN_IN,
                pause_priority=lambda: self._login_priority,
                timeout=timeout,
                form=form,
            )
        if response.status != HTTPStatus.OK:
            raise _login_error(response)
        self._refused = None
        return self._accept(response, requested_at)

    def _accept(self, response: Response, requested_at: float) -> str:
        """Store the token of a response, and return it.

        Args:
            response: The response of the token endpoint, with status 200.
            requested_at: When it was requested (monotonic seconds).

        Raises:
            ZaptecResponseError: The response contains no token.

        """
        try:
            document = response.document()
        except ZaptecResponseError:
            # The vendor's response is always JSON.
            raise ZaptecInterceptedError from None
        if not isinstance(document, dict):
            raise ZaptecResponseError("The response is not a JSON object")
        token = parse_text(document.get("access_token"))
        if token is None or not _TOKEN_PATTERN.fullmatch(token):
            raise ZaptecResponseError("The response contains no token")
        lifetime = parse_float(document.get("expires_in"))
        if lifetime is None or lifetime <= 0:
            lifetime = DEFAULT_LIFETIME
        self._token = token
        self._refresh_token.replace(document.get("refresh_token"))
        self._is_token_refused = False
        self._issued_at = monotonic()
        self._renew_at = (
            requested_at + lifetime - min(lifetime * RENEWAL_SHARE, RENEWAL_MAX)
        )
        return token


def _login_error(response: Response) -> ZaptecError:
    """Return the error that a failed sign-in stands for.

    Only an OAuth error concerns the account. A captive portal or a proxy responds with
    a redirect, or with a web page and any status of a client error.
    """
    if (
        response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or response.status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        # The vendor's own reverse proxy sends web pages with these statuses.
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
            and error not in _TEMPORARY_ERRORS
        ):
            return ZaptecAuthenticationError(
                f"The cloud rejected the sign-in ({error})"
            )
    return response.error()
