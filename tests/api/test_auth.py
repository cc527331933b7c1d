"""Tokens for a user name and password."""

import asyncio
import gc
import logging
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from freezegun.api import TickingDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    PasswordTokenSource,
    Priority,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecRejectedError,
    ZaptecResponseError,
    ZaptecServerError,
    auth,
)
from custom_components.zaptec.api.auth import RefusedTokens

from .conftest import PASSWORD, USER_NAME, Cloud, reset
from .virtual_time import outcomes

TOKEN = "/oauth/token"
WRONG = {"error": "invalid_grant", "error_description": f"No {USER_NAME} here"}


@pytest.fixture
def source(
    cloud: Cloud, session: aiohttp.ClientSession, hasty: None
) -> PasswordTokenSource:
    """Return a token source."""
    return PasswordTokenSource(
        session, USER_NAME, PASSWORD, base_url=cloud.url + "/", user_agent="test/1.0"
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time that the source uses, which the test can change."""
    now = [1000.0]
    monkeypatch.setattr(auth, "monotonic", lambda: now[0])
    return now


def answer(cloud: Cloud, document: Any = None, **options: Any) -> None:
    """Set the responses to token requests."""
    cloud.handle("POST", TOKEN)
    cloud.answer("POST", TOKEN, document, **options)


async def test_request(source: PasswordTokenSource, cloud: Cloud) -> None:
    """The token request is the vendor's form, and the returned token is used repeatedly."""
    assert await source.token() == "token-1"
    assert await source.token() == "token-1"
    assert cloud.counts[TOKEN] == 1
    assert parse_qs(cloud.bodies[TOKEN][0].decode()) == {
        "grant_type": ["password"],
        "username": [USER_NAME],
        "password": [PASSWORD],
        "scope": ["openid"],
    }
    (request,) = cloud.requests
    assert request.headers["User-Agent"] == "test/1.0"
    assert request.headers["Accept"] == "application/json"
    assert request.content_type == "application/x-www-form-urlencoded"
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (86399, 86399 - 60),
        ("86399", 86399 - 60),
        (100, 90),
        (None, 3540),
        ("soon", 3540),
        (0, 3540),
        (-5, 3540),
    ],
)
async def test_renewal(
    source: PasswordTokenSource,
    cloud: Cloud,
    clock: list[float],
    expires_in: object,
    lifetime: float,
) -> None:
    """A token is renewed shortly before the end of the lifetime in its response."""
    answer(cloud, {"access_token": "abc", "expires_in": expires_in})
    await source.token()
    clock[0] += lifetime - 1
    await source.token()
    assert cloud.counts[TOKEN] == 1
    clock[0] += 1
    await source.token()
    assert cloud.counts[TOKEN] == 2


async def test_one_login_for_all(source: PasswordTokenSource, cloud: Cloud) -> None:
    """Concurrent callers share a single token request."""
    tokens = await asyncio.gather(*(source.token() for _ in range(50)))
    assert set(tokens) == {"token-1"}
    assert cloud.counts[TOKEN] == 1


async def test_one_failure_for_all(source: PasswordTokenSource, cloud: Cloud) -> None:
    """Concurrent callers share a failure, so that a wrong password is tried once only."""
    answer(cloud, WRONG, status=400)
    results = await asyncio.gather(
        *(source.token() for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(result, ZaptecAuthenticationError) for result in results)
    assert cloud.counts[TOKEN] == 1
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    assert cloud.counts[TOKEN] == 1


async def test_a_refused_password_has_another_chance_later(
    source: PasswordTokenSource, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused password is tried again later, because the refusal may be the cloud's fault."""
    answer(cloud, WRONG, status=400)
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    monkeypatch.setattr(source, "_refused_until", 0.0)
    cloud.handle("POST", TOKEN)
    answer(cloud, {"access_token": "abc"})
    assert await source.token() == "abc"
    source.invalidate("abc")
    assert await source.token() == "abc"


async def test_a_refused_password_is_left_alone_for_an_hour(
    source: PasswordTokenSource, cloud: Cloud, clock: list[float]
) -> None:
    """A refused password is not tried for an hour, because failures may lock the account."""
    answer(cloud, WRONG, status=400)
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    clock[0] += 3599.5
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    assert cloud.counts[TOKEN] == 1
    clock[0] += 0.5
    with pytest.raises(ZaptecAuthenticationError):
        await source.token()
    assert cloud.counts[TOKEN] == 2


async def test_invalid_token(source: PasswordTokenSource, cloud: Cloud) -> None:
    """A refused token is replaced, unless another request has already done so."""
    old = await source.token()
    source.invalidate(old)
    new = await source.token()
    assert new != old
    source.invalidate(old)
    assert await source.token() == new


async def test_pace(cloud: Cloud, session: aiohttp.ClientSession) -> None:
    """Token requests of an account are more than a second apart."""
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def give(request: web.Request) -> web.Response:
        moments.append(loop.time())
        return web.json_response({"access_token": "abc"})

    cloud.handle("POST", TOKEN, give)
    # Two clients of one account, as during a reconfiguration.
    sources = [
        PasswordTokenSource(
            session, USER_NAME, PASSWORD, base_url=cloud.url, user_agent="test"
        )
        for _ in range(2)
    ]
    for source in sources:
        await source.token()
    assert moments[1] - moments[0] > 1


async def test_no_login_waits_longer_than_it_must(
    clocks: TickingDateTimeFactory, cloud: Cloud, session: aiohttp.ClientSession
) -> None:
    """Sign-ins wait no longer than the limit of one per second requires."""
    sources = [
        PasswordTokenSource(
            session, USER_NAME, PASSWORD, base_url=cloud.url, user_agent="test"
        )
        for _ in range(3)
    ]
    await outcomes(clocks, *(source.token() for source in sources), longest=2.6)
    assert cloud.counts[TOKEN] == 3


async def test_cancelled_waiter(source: PasswordTokenSource, cloud: Cloud) -> None:
    """Cancelling one caller does not affect the others that wait for the same token."""
    asked, answered = asyncio.Event(), asyncio.Event()

    async def give(request: web.Request) -> web.Response:
        asked.set()
        await answered.wait()
        return web.json_response({"access_token": "abc"})

    cloud.handle("POST", TOKEN, give)
    first, second = (asyncio.create_task(source.token()) for _ in range(2))
    await asked.wait()
    first.cancel()
    await asyncio.sleep(0)
    answered.set()
    assert await second == "abc"
    assert first.cancelled()
    assert cloud.counts[TOKEN] == 1


async def test_cancelled_login(source: PasswordTokenSource, cloud: Cloud) -> None:
    """The sign-in is cancelled when no caller waits for it; the next caller starts a new one."""
    asked = asyncio.Event()
    forever = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        asked.set()
        await forever.wait()
        return web.Response()

    async def give(request: web.Request) -> web.Response:
        return web.json_response({"access_token": "abc"})

    cloud.handle("POST", TOKEN, hang, give)
    first = asyncio.create_task(source.token())
    await asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(60):
        assert await source.token() == "abc"
    forever.set()


async def test_a_login_that_fails_as_the_last_one_gives_up(
    source: PasswordTokenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last caller is cancelled as the sign-in fails, asyncio must not log its exception."""
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: logged.append(context)
    )
    answered = asyncio.Event()

    async def fail() -> str:
        await answered.wait()
        raise ZaptecConnectionError("The cloud did not answer in time")

    monkeypatch.setattr(source, "_log_in", fail)
    waiter = asyncio.create_task(source.token())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answered.set()
    # The sign-in ends before its waiter runs again.
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait([waiter])
    assert waiter.cancelled()
    # asyncio logs an unretrieved exception when the task is freed, so drop all references.
    del waiter
    gc.collect()
    assert logged == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"document": WRONG, "status": 400}, ZaptecAuthenticationError),
        ({"document": WRONG, "status": 401}, ZaptecAuthenticationError),
        (
            {"document": {"error": "unauthorized_client"}, "status": 400},
            ZaptecAuthenticationError,
        ),
        ({"document": {"error": "server_error"}, "status": 400}, ZaptecRejectedError),
        ({"document": {"error": "<b>"}, "status": 400}, ZaptecRejectedError),
        ({"document": ["error"], "status": 400}, ZaptecRejectedError),
        ({"text": "<html>no</html>", "status": 400}, ZaptecInterceptedError),
        ({"text": "<html>no</html>", "status": 401}, ZaptecInterceptedError),
        ({"text": " <!DOCTYPE html>", "status": 403}, ZaptecInterceptedError),
        ({"text": "", "status": 400}, ZaptecRejectedError),
        ({"text": "", "status": 401}, ZaptecServerError),
        ({"text": "no", "status": 404}, ZaptecNotFoundError),
        ({"text": "", "status": 407}, ZaptecInterceptedError),
        ({"text": "", "status": 511}, ZaptecInterceptedError),
        ({"text": "<html>busy</html>", "status": 429}, ZaptecBusyError),
        ({"text": "<html>bad gateway</html>", "status": 502}, ZaptecServerError),
        ({"text": "<html>busy</html>", "status": 503}, ZaptecBusyError),
        ({"text": "", "status": 429}, ZaptecBusyError),
        ({"text": "<html>oops</html>", "status": 500}, ZaptecServerError),
        (
            {"text": "", "status": 302, "headers": {"Location": "/x"}},
            ZaptecInterceptedError,
        ),
        ({"text": "<html>hello</html>"}, ZaptecInterceptedError),
        ({"text": "Please sign in"}, ZaptecInterceptedError),
        ({"text": '{"access_token":'}, ZaptecInterceptedError),
        ({"text": ""}, ZaptecInterceptedError),
        ({"document": []}, ZaptecResponseError),
        ({"document": {}}, ZaptecResponseError),
        ({"document": {"access_token": 7}}, ZaptecResponseError),
        ({"document": {"access_token": "a\r\nX: y"}}, ZaptecResponseError),
    ],
)
async def test_failures(
    source: PasswordTokenSource,
    cloud: Cloud,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    error: type[ZaptecError],
) -> None:
    """Only an OAuth error blames the password, and no error text contains secrets."""
    caplog.set_level(logging.DEBUG)
    answer(cloud, **options)
    with pytest.raises(error) as raised:
        await source.token()
    assert type(raised.value) is error
    shown = f"{raised.value!r} {raised.value} {source!r} {caplog.text}"
    assert USER_NAME not in shown
    assert PASSWORD not in shown


async def test_no_answer(
    source: PasswordTokenSource, cloud: Cloud, zaptec: ZaptecClient
) -> None:
    """A broken connection does not count as a refused password."""
    cloud.handle("POST", TOKEN, reset)
    with pytest.raises(ZaptecConnectionError):
        await source.token()
    with pytest.raises(ZaptecConnectionError):
        await zaptec.authenticate()
    assert zaptec.statistics.requests["POST", TOKEN, 0] == 1
    assert zaptec.statistics.last_error == f"POST {TOKEN}: ServerDisconnectedError"


async def test_a_new_token_after_a_refused_one_is_used_again(
    source: PasswordTokenSource, cloud: Cloud
) -> None:
    """A new token is used again; a late refusal of the old one does not affect it."""
    source.invalidate(await source.token())
    assert await source.token() == "token-2"
    assert await source.token() == "token-2"
    assert cloud.counts[TOKEN] == 2


async def test_a_token_is_refused_once(
    source: PasswordTokenSource, cloud: Cloud
) -> None:
    """A token is counted as refused once, however many requests in flight used it."""
    token = await source.token()
    for _ in range(20):
        source.invalidate(token)
    assert await source.token() == "token-2"
    assert cloud.counts[TOKEN] == 2


def test_new_tokens_that_are_refused(clock: list[float]) -> None:
    """The delay grows with the number of refused new tokens within the last half hour."""
    tokens = RefusedTokens()
    assert tokens.pause_left == 0
    delays = []
    for _ in range(6):
        tokens.add()
        delays.append(tokens.pause_left)
    assert delays == [0, 0, 120, 300, 300, 300]
    clock[0] += 299
    assert tokens.pause_left == 1
    clock[0] += 2
    assert tokens.pause_left == 0


@pytest.mark.parametrize(("later", "delay"), [(1800.0, 120), (1800.5, 0)])
def test_how_long_a_refused_token_counts(
    clock: list[float], later: float, delay: float
) -> None:
    """A refusal counts for half an hour; older ones say nothing about the cloud's present state."""
    tokens = RefusedTokens()
    tokens.add()
    tokens.add()
    clock[0] += later
    tokens.add()
    assert tokens.pause_left == delay


@pytest.mark.parametrize(("age", "is_new"), [(59.5, True), (60.0, False)])
async def test_how_long_a_token_is_new(
    source: PasswordTokenSource,
    cloud: Cloud,
    clock: list[float],
    age: float,
    is_new: bool,
) -> None:
    """A token that worked for a minute is not new, so its refusal does not delay the next one."""
    for _ in range(3):
        token = await source.token()
        clock[0] += age
        source.invalidate(token)
    assert (source._refused_tokens.pause_left > 0) is is_new


async def test_a_sign_in_counts_as_the_request_that_needs_it(
    source: PasswordTokenSource, cloud: Cloud
) -> None:
    """A sign-in has the priority of the request that needs it, and later ones do not inherit it."""
    source.invalidate(await source.token())
    limiter = source._transport._limiter
    limiter.pause(600)
    with pytest.raises(ZaptecBusyError):
        await source.token(Priority.BACKGROUND)
    with pytest.raises(ZaptecBusyError):
        await source.token(Priority.AUTOMATIC)
    assert cloud.counts[TOKEN] == 1
    assert await source.token() == "token-2"


async def test_a_sign_in_goes_before_all_that_wait_for_it(
    clocks: TickingDateTimeFactory, cloud: Cloud, session: aiohttp.ClientSession
) -> None:
    """A sign-in is sent before the queued requests that wait for its token."""
    source = PasswordTokenSource(
        session, USER_NAME, PASSWORD, base_url=cloud.url, user_agent="test"
    )
    limiter = source._transport._limiter
    order: list[str] = []

    async def command() -> None:
        async with limiter.slot(Priority.COMMAND):
            await asyncio.sleep(0.4)
        order.append("command")

    async def sign_in() -> None:
        await source.token(Priority.BACKGROUND)
        order.append("sign-in")

    commands = [command() for _ in range(40)]
    await outcomes(clocks, *commands, sign_in(), longest=20)
    assert order.index("sign-in") <= 11
