"""Renewal by refresh tokens, which must never be worse than a sign-in by password."""

import asyncio
from itertools import count, pairwise
import json
import logging
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from freezegun.api import TickingDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    Command,
    PasswordTokenSource,
    Priority,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecServerError,
    auth,
)
from custom_components.zaptec.api.auth import REFRESH_PAUSE, REFRESH_TIMEOUT
from custom_components.zaptec.api.requester import COMMAND_TIMEOUT

from .calls import CHARGER, DOCUMENT, READ, WRITE
from .conftest import PASSWORD, USER_NAME, Cloud, Handler, reset
from .virtual_time import outcomes

TOKEN = "/oauth/token"
LIFETIME = 3600
# An odd text, which a form has to encode.
REFRESH_TOKEN = "refresh&=+% "
BY_PASSWORD = {
    "grant_type": "password",
    "username": USER_NAME,
    "password": PASSWORD,
    "scope": "openid",
}


def by_refresh_token(number: int) -> dict[str, str]:
    """Return the form of a request with the refresh token of the response of that number."""
    return {
        "grant_type": "refresh_token",
        "refresh_token": f"{REFRESH_TOKEN}{number}",
    }


def responds(
    document: Any = None,
    *,
    status: int = 200,
    text: str | None = None,
    headers: dict[str, str] | None = None,
) -> Handler:
    """Return a handler that responds with JSON or a text."""

    async def handler(request: web.Request) -> web.Response:
        body = json.dumps(document) if text is None else text
        return web.Response(status=status, text=body, headers=headers)

    return handler


async def hangs(request: web.Request) -> web.StreamResponse:
    """Do not respond."""
    await asyncio.sleep(1e9)
    raise AssertionError


INVALID = responds(
    {
        "error": "invalid_grant",
        "error_description": f"The refresh token of {USER_NAME} is invalid.",
    },
    status=400,
)


class TokenEndpoint:
    """A token endpoint that returns a refresh token with each token.

    Attributes:
        on_refresh: Responds to refresh tokens, instead of a token.
        on_password: Responds to passwords, instead of a token.
        refresh_token: What the responses contain instead of a refresh token.
        times: When each request came, by the clock of the event loop.
    """

    def __init__(self, cloud: Cloud) -> None:
        """Initialize the endpoint."""
        self._cloud = cloud
        self._numbers = count(1)
        self.on_refresh: Handler | None = None
        self.on_password: Handler | None = None
        self.refresh_token: dict[str, object] | None = None
        self.times: list[float] = []
        cloud.handle("POST", TOKEN, self._respond)

    @property
    def forms(self) -> list[dict[str, str]]:
        """Return the forms of the requests."""
        return [dict(parse_qsl(body.decode())) for body in self._cloud.bodies[TOKEN]]

    @property
    def grants(self) -> list[str]:
        """Return the grants that were requested."""
        return [form["grant_type"] for form in self.forms]

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        """Respond to a request."""
        self.times.append(asyncio.get_running_loop().time())
        is_refresh = self.grants[-1] == "refresh_token"
        if handler := self.on_refresh if is_refresh else self.on_password:
            return await handler(request)
        number = next(self._numbers)
        refresh_token = {"refresh_token": f"{REFRESH_TOKEN}{number}"}
        if self.refresh_token is not None:
            refresh_token = self.refresh_token
        return web.json_response(
            {"access_token": f"token-{number}", "expires_in": LIFETIME, **refresh_token}
        )


@pytest.fixture
def endpoint(cloud: Cloud) -> TokenEndpoint:
    """Return the token endpoint of the cloud."""
    return TokenEndpoint(cloud)


@pytest.fixture
def source(
    cloud: Cloud, session: aiohttp.ClientSession, hasty: None
) -> PasswordTokenSource:
    """Return a token source without pauses between its requests."""
    return new_source(cloud, session)


def new_source(cloud: Cloud, session: aiohttp.ClientSession) -> PasswordTokenSource:
    """Return a token source."""
    return PasswordTokenSource(
        session, USER_NAME, PASSWORD, base_url=cloud.url, user_agent="test"
    )


class Clock:
    """The time that token sources use."""

    def __init__(self) -> None:
        """Initialize the clock."""
        self.now = 1000.0

    def expire(self) -> None:
        """Let the time pass after which a token is renewed."""
        self.now += LIFETIME - auth.RENEWAL_MAX


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the time that the source uses, which the test can change."""
    clock = Clock()
    monkeypatch.setattr(auth, "monotonic", lambda: clock.now)
    return clock


async def test_a_token_is_renewed_by_the_refresh_token_of_the_last_response(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """The form has nothing but the refresh token, which each response replaces."""
    for number in range(1, 5):
        assert await source.token() == f"token-{number}"
        assert await source.token() == f"token-{number}"
        clock.expire()
    assert endpoint.forms == [
        BY_PASSWORD,
        by_refresh_token(1),
        by_refresh_token(2),
        by_refresh_token(3),
    ]


@pytest.mark.parametrize(
    "refresh_token",
    [
        {},
        {"refresh_token": None},
        {"refresh_token": ""},
        {"refresh_token": 7},
        {"refresh_token": ["a"]},
        {"refresh_token": "a\nb"},
        {"refresh_token": "a\n"},
        {"refresh_token": "é"},
        {"refresh_token": "\x7f"},
    ],
)
async def test_without_a_refresh_token_the_password_is_used(
    source: PasswordTokenSource,
    endpoint: TokenEndpoint,
    clock: Clock,
    refresh_token: dict[str, object],
) -> None:
    """A response without a valid refresh token ends the use of the one before."""
    await source.token()
    clock.expire()
    endpoint.refresh_token = refresh_token
    assert await source.token() == "token-2"
    clock.expire()
    assert await source.token() == "token-3"
    assert endpoint.grants == ["password", "refresh_token", "password"]


FAILURES: dict[str, Handler] = {
    "invalid": INVALID,
    "unauthorized": responds({"error": "invalid_client"}, status=401),
    "bad request": responds({"title": "Bad request"}, status=400),
    "forbidden": responds(text="", status=403),
    "not found": responds(text="no", status=404),
    "web page": responds(text="<html>no</html>", status=400),
    "busy page": responds(text="<html>busy</html>", status=503),
    "too many": responds(text="", status=429),
    "server error": responds(text="<html>oops</html>", status=500),
    "bad gateway": responds(text="<html>bad gateway</html>", status=502),
    "redirect": responds(text="", status=302, headers={"Location": "/x"}),
    "portal": responds(text="<html>hello</html>"),
    "half a document": responds(text='{"access_token":'),
    "nothing": responds(text=""),
    "a list": responds([]),
    "no token": responds({"refresh_token": "another"}),
    "wrong token": responds({"access_token": "a b", "refresh_token": "another"}),
    "reset": reset,
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_a_refresh_token_that_fails_is_replaced_by_the_password_at_once(
    source: PasswordTokenSource,
    endpoint: TokenEndpoint,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    failure: Handler,
) -> None:
    """The request that needs a token notices nothing, and the log has one line for developers."""
    caplog.set_level(logging.DEBUG)
    await source.token()
    clock.expire()
    endpoint.on_refresh = failure
    assert await source.token() == "token-2"
    assert endpoint.forms == [BY_PASSWORD, by_refresh_token(1), BY_PASSWORD]
    (line,) = [item for item in caplog.records if item.name == auth.__name__]
    assert line.levelno == logging.DEBUG
    assert line.getMessage().startswith("A refresh token failed")
    shown = f"{source!r} {source._refresh_token!r} {caplog.text}"
    for secret in (USER_NAME, PASSWORD, REFRESH_TOKEN, "another"):
        assert secret not in shown


async def test_refresh_tokens_that_fail_every_time_cost_one_request_a_day(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """For a day after a failure, the refresh tokens of later responses are not used."""
    await source.token()
    clock.expire()
    endpoint.on_refresh = INVALID
    began_at = clock.now
    while clock.now < began_at + 3 * REFRESH_PAUSE:
        await source.token()
        clock.expire()
    assert endpoint.grants.count("refresh_token") == 3


@pytest.mark.parametrize(
    ("later", "grant"),
    [(REFRESH_PAUSE - 1, "password"), (REFRESH_PAUSE, "refresh_token")],
)
async def test_refresh_tokens_are_used_again_a_day_after_a_failure(
    source: PasswordTokenSource,
    endpoint: TokenEndpoint,
    clock: Clock,
    later: float,
    grant: str,
) -> None:
    """A failure may have been an outage, so that later refresh tokens work."""
    await source.token()
    clock.expire()
    endpoint.on_refresh = responds(text="", status=503)
    await source.token()
    endpoint.on_refresh = None
    clock.now += later
    assert await source.token() == "token-3"
    assert endpoint.grants[3:] == [grant]


async def test_only_a_refused_password_is_an_authentication_error(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """If the password is refused, too, its error is raised, and it is left alone for an hour."""
    await source.token()
    clock.expire()
    endpoint.on_refresh = responds(text="", status=503)
    endpoint.on_password = INVALID
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    clock.now += auth.REFUSAL_TIME - 1
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    assert endpoint.grants == ["password", "refresh_token", "password"]


async def test_a_refused_refresh_token_is_no_authentication_error(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """If the refresh token is refused and the cloud fails then, the password is not to blame."""
    await source.token()
    clock.expire()
    endpoint.on_refresh = INVALID
    endpoint.on_password = responds(text="", status=500)
    with pytest.raises(ZaptecServerError) as raised:
        await source.token()
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    endpoint.on_password = None
    assert await source.token() == "token-2"
    assert endpoint.grants == ["password", "refresh_token", "password", "password"]


async def test_an_unreachable_cloud_does_not_get_a_refresh_token_twice(
    source: PasswordTokenSource, cloud: Cloud, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """A refresh token is not used again, even if its request may not have arrived."""
    await source.token()
    clock.expire()
    endpoint.on_refresh = endpoint.on_password = reset
    for _ in range(3):
        with pytest.raises(ZaptecConnectionError):
            await source.token()
    endpoint.on_refresh = endpoint.on_password = None
    assert await source.token() == "token-2"
    assert endpoint.grants == ["password", "refresh_token", *["password"] * 4]


async def test_all_requests_share_a_renewal(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """Concurrent requests share one refresh token, and after its failure one sign-in."""
    await source.token()
    clock.expire()
    tokens = await asyncio.gather(*(source.token() for _ in range(50)))
    assert set(tokens) == {"token-2"}
    clock.expire()
    endpoint.on_refresh = INVALID
    tokens = await asyncio.gather(*(source.token() for _ in range(50)))
    assert set(tokens) == {"token-3"}
    assert endpoint.forms == [
        BY_PASSWORD,
        by_refresh_token(1),
        by_refresh_token(2),
        BY_PASSWORD,
    ]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_renewal_that_is_cancelled_costs_the_refresh_token(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock, waits: bool
) -> None:
    """If all requests that wait for a renewal are cancelled, the next one uses the password."""
    await source.token()
    clock.expire()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def respond(request: web.Request) -> web.Response:
        asked.set()
        await answered.wait()
        return web.json_response({"access_token": "late", "refresh_token": "late"})

    endpoint.on_refresh = respond
    first, second = (asyncio.create_task(source.token()) for _ in range(2))
    await asked.wait()
    first.cancel()
    if waits:
        answered.set()
        assert await second == "late"
        assert endpoint.grants == ["password", "refresh_token"]
        return
    second.cancel()
    await asyncio.wait([first, second])
    async with asyncio.timeout(60):
        assert await source.token() == "token-2"
    answered.set()
    assert endpoint.grants == ["password", "refresh_token", "password"]


async def test_after_a_rejected_token_the_password_is_used(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """The cloud may have revoked the refresh token with it, so none is used for a day."""
    source.invalidate(await source.token())
    assert await source.token() == "token-2"
    clock.expire()
    assert await source.token() == "token-3"
    clock.now += REFRESH_PAUSE
    assert await source.token() == "token-4"
    assert endpoint.forms == [BY_PASSWORD] * 3 + [by_refresh_token(3)]


async def test_the_late_rejection_of_an_old_token_does_not_count(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """A token that was replaced may be rejected; the refresh token of the new one is still used."""
    old = await source.token()
    clock.expire()
    await source.token()
    source.invalidate(old)
    clock.expire()
    await source.token()
    assert endpoint.forms == [BY_PASSWORD, by_refresh_token(1), by_refresh_token(2)]


async def test_a_pause_does_not_cost_the_refresh_token(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """While the cloud asks for a pause, only the user's commands renew the token."""
    await source.token()
    clock.expire()
    source._transport._limiter.pause(600)
    for priority in (Priority.BACKGROUND, Priority.FIRST_STATE, Priority.AUTOMATIC):
        with pytest.raises(ZaptecBusyError):
            await source.token(priority)
    assert endpoint.grants == ["password"]
    assert await source.token(Priority.COMMAND) == "token-2"
    assert endpoint.grants == ["password", "refresh_token"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_that_the_cloud_asks_for_holds_the_password_back(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock, status: int
) -> None:
    """If a refresh token causes a pause, only the user's command goes on with the password."""
    await source.token()
    clock.expire()
    endpoint.on_refresh = responds(
        text="", status=status, headers={"Retry-After": "60"}
    )
    with pytest.raises(ZaptecBusyError) as raised:
        await source.token(Priority.BACKGROUND)
    assert raised.value.retry_after == pytest.approx(60, abs=5)
    assert endpoint.grants == ["password", "refresh_token"]
    assert await source.token(Priority.COMMAND) == "token-2"
    assert endpoint.grants == ["password", "refresh_token", "password"]


async def test_a_pause_during_a_renewal_does_not_hold_a_command_back(
    source: PasswordTokenSource, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """A command that joins a renewal of the background gives it its own priority."""
    await source.token()
    clock.expire()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def refuse(request: web.Request) -> web.StreamResponse:
        asked.set()
        await answered.wait()
        return web.Response(status=429, headers={"Retry-After": "60"})

    endpoint.on_refresh = refuse
    background = asyncio.create_task(source.token(Priority.BACKGROUND))
    await asked.wait()
    command = asyncio.create_task(source.token(Priority.COMMAND))
    await asyncio.sleep(0)
    answered.set()
    assert await command == await background == "token-2"


async def test_a_renewal_and_a_sign_in_are_more_than_a_second_apart(
    clocks: TickingDateTimeFactory,
    cloud: Cloud,
    session: aiohttp.ClientSession,
    endpoint: TokenEndpoint,
) -> None:
    """The token endpoint gets at most one request a second, of all clients and grants."""
    sources = [new_source(cloud, session) for _ in range(3)]
    await outcomes(clocks, *(source.token() for source in sources), longest=3)
    clocks.tick(LIFETIME)
    endpoint.on_refresh = INVALID
    await outcomes(clocks, *(source.token() for source in sources), longest=7)
    assert sorted(endpoint.grants[3:]) == ["password"] * 3 + ["refresh_token"] * 3
    assert min(after - before for before, after in pairwise(endpoint.times)) > 1


def new_client(cloud: Cloud, session: aiohttp.ClientSession) -> ZaptecClient:
    """Return a client of the account."""
    return ZaptecClient(session, USER_NAME, PASSWORD, base_url=cloud.url)


async def stop(zaptec: ZaptecClient) -> None:
    """Send a command."""
    await zaptec.send_command(CHARGER, Command.STOP_CHARGING_FINAL)


@pytest.mark.parametrize("password_hangs", [False, True])
async def test_a_renewal_without_a_response_fits_into_the_time_of_a_command(
    clocks: TickingDateTimeFactory,
    cloud: Cloud,
    session: aiohttp.ClientSession,
    endpoint: TokenEndpoint,
    password_hangs: bool,
) -> None:
    """A command is sent even if the refresh token and a sign-in got no response before."""
    cloud.answer("GET", READ, DOCUMENT)
    cloud.answer("POST", WRITE, {})
    zaptec = new_client(cloud, session)
    await outcomes(clocks, zaptec.charger(CHARGER), longest=5)
    clocks.tick(LIFETIME)
    endpoint.on_refresh = hangs

    async def hang_once(request: web.Request) -> web.StreamResponse:
        endpoint.on_password = None
        return await hangs(request)

    if password_hangs:
        endpoint.on_password = hang_once
    ((error, duration),) = await outcomes(clocks, stop(zaptec), longest=COMMAND_TIMEOUT)
    assert error is None
    assert REFRESH_TIMEOUT < duration < COMMAND_TIMEOUT
    assert cloud.counts[WRITE] == 1
    assert endpoint.grants[1:] == [
        "refresh_token",
        *["password"] * (1 + password_hangs),
    ]


async def test_a_refresh_token_is_not_used_after_its_command_ran_out_of_time(
    clocks: TickingDateTimeFactory,
    cloud: Cloud,
    session: aiohttp.ClientSession,
    endpoint: TokenEndpoint,
) -> None:
    """A cloud that never responds gets one refresh token, however many commands follow."""
    cloud.answer("GET", READ, DOCUMENT)
    zaptec = new_client(cloud, session)
    await outcomes(clocks, zaptec.charger(CHARGER), longest=5)
    clocks.tick(LIFETIME)
    endpoint.on_refresh = endpoint.on_password = hangs
    for _ in range(3):
        ((error, _),) = await outcomes(
            clocks, stop(zaptec), longest=COMMAND_TIMEOUT + 1
        )
        assert isinstance(error, ZaptecConnectionError)
    assert endpoint.grants.count("refresh_token") == 1
