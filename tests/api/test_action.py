"""Actions of the user end in time, and report truly whether anything was sent."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from freezegun.api import TickingDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    Command,
    Priority,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecInterceptedError,
    ZaptecNotSentError,
    ZaptecServerError,
    acts_by_itself,
    automatic,
    current_deadline,
    limits_time,
    time_limit,
)
from custom_components.zaptec.api.action import ACTION_TIMEOUT
from custom_components.zaptec.api.limiter import QUEUE_TIMEOUT
from custom_components.zaptec.api.requester import COMMAND_TIMEOUT
from tests.time_machine import calm_down

from .conftest import PASSWORD, USER_NAME, Cloud, Handler
from .virtual_time import outcomes, travel

TOKEN = "/oauth/token"
CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
READ = f"/api/chargers/{CHARGER}"
WRITE = f"{READ}/sendCommand/506"
DOCUMENT = {"Id": CHARGER, "Name": "Garage"}
PAUSE = 600


@pytest.fixture
def zaptec(
    clocks: TickingDateTimeFactory, cloud: Cloud, session: aiohttp.ClientSession
) -> ZaptecClient:
    """Return a client with the real rate limit and pauses."""
    return new_client(cloud, session)


def new_client(cloud: Cloud, session: aiohttp.ClientSession) -> ZaptecClient:
    """Return a client of the account."""
    return ZaptecClient(session, USER_NAME, PASSWORD, base_url=cloud.url)


def slow(seconds: float, status: int = 200) -> Handler:
    """Return a handler that responds after a number of seconds."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response(DOCUMENT, status=status)

    return handler


async def hang(request: web.Request) -> web.StreamResponse:
    """Do not respond."""
    await asyncio.sleep(1e9)
    raise AssertionError


async def stop(zaptec: ZaptecClient) -> None:
    """Send a command."""
    await zaptec.send_command(CHARGER, Command.STOP_CHARGING_FINAL)


@limits_time
async def stop_for_the_user(zaptec: ZaptecClient) -> None:
    """Send a command as an action of the user."""
    await stop(zaptec)


async def look(zaptec: ZaptecClient) -> None:
    """Send a read as an action of the user."""
    await zaptec.charger_state(CHARGER, priority=Priority.COMMAND)


@pytest.mark.parametrize("send", [stop, stop_for_the_user])
@pytest.mark.parametrize("number", [200, 500])
async def test_many_commands_at_once_are_all_sent(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    number: int,
    send: Callable[[ZaptecClient], Awaitable[None]],
) -> None:
    """Many commands are all sent within the rate limit; the time limit of each starts in its slot."""
    loop = asyncio.get_running_loop()
    spans: list[tuple[float, float]] = []

    async def answer(request: web.Request) -> web.Response:
        began_at = loop.time()
        await asyncio.sleep(0.4)
        spans.append((began_at, loop.time()))
        return web.Response()

    cloud.handle("POST", WRITE, answer)
    results = await outcomes(
        clocks, *(send(zaptec) for _ in range(number)), longest=QUEUE_TIMEOUT
    )
    assert [error for error, _ in results if error] == []
    assert cloud.counts == {TOKEN: 1, WRITE: number}
    # The last commands have waited longer than the time limit of one command.
    assert max(took for _, took in results) > COMMAND_TIMEOUT
    begins = sorted(begin for begin, _ in spans)
    assert all(
        later - earlier > 1.0
        for earlier, later in zip(begins, begins[10:], strict=False)
    )


async def test_a_command_whose_turn_never_comes_is_not_sent(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """In a blocked queue, each command either succeeds or fails unsent, and none waits forever."""
    await zaptec.authenticate()
    cloud.handle("POST", WRITE, slow(10))
    results = await outcomes(
        clocks,
        *(stop(zaptec) for _ in range(200)),
        longest=QUEUE_TIMEOUT + COMMAND_TIMEOUT + 5,
        step=0.5,
    )
    errors = [error for error, _ in results if error]
    assert {type(error) for error in errors} == {ZaptecNotSentError}
    assert 0 < cloud.counts[WRITE] == len(results) - len(errors)


async def test_the_time_of_a_command_does_not_run_in_the_queue(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A command has its whole 15 s, even if the ones before it took almost as long."""
    await zaptec.authenticate()
    cloud.handle("POST", WRITE, slow(12))
    results = await outcomes(
        clocks, *(stop(zaptec) for _ in range(11)), longest=35, step=0.5
    )
    assert [error for error, _ in results if error] == []
    assert max(took for _, took in results) > 24


async def test_the_user_s_action_ends_in_time_in_a_queue_that_stands_still(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """If the cloud hangs, the user's actions end in time instead of waiting for each other."""
    await zaptec.authenticate()
    cloud.handle("POST", WRITE, hang)
    results = await outcomes(
        clocks, *(stop_for_the_user(zaptec) for _ in range(25)), longest=40
    )
    assert max(took for _, took in results) < ACTION_TIMEOUT + 5
    kinds = [type(error) for error, _ in results]
    assert kinds.count(ZaptecConnectionError) == cloud.counts[WRITE] == 20
    assert kinds.count(ZaptecNotSentError) == 5


@pytest.mark.parametrize("path", [READ + "/state", TOKEN])
@pytest.mark.parametrize("is_automatic", [False, True])
async def test_a_look_for_the_user_ends_in_time(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    path: str,
    is_automatic: bool,
) -> None:
    """A read for the user ends in time, and not after four attempts of 15 s each."""
    cloud.handle("POST" if path == TOKEN else "GET", path, hang)
    ((error, took),) = await outcomes(
        clocks,
        (look_by_itself if is_automatic else look)(zaptec),
        longest=80,
        step=0.5,
    )
    assert isinstance(error, ZaptecConnectionError)
    assert took < ACTION_TIMEOUT + 5


async def test_all_stages_of_an_action_have_one_deadline(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """The reads and the command of one action share its time limit."""
    await zaptec.authenticate()
    cloud.handle("GET", READ + "/state", hang)
    cloud.handle("POST", WRITE, slow(9, 500))

    @limits_time
    async def act() -> None:
        for step in (stop, look, look):
            with pytest.raises((ZaptecServerError, ZaptecConnectionError)):
                await step(zaptec)
        # No time is left for this request.
        with pytest.raises(ZaptecNotSentError):
            await stop_for_the_user(zaptec)

    ((error, took),) = await outcomes(clocks, act(), longest=80, step=0.5)
    assert error is None
    assert ACTION_TIMEOUT - 1 < took < ACTION_TIMEOUT + 5
    assert cloud.counts[WRITE] == 1


async def test_a_sign_in_ends_in_time(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    session: aiohttp.ClientSession,
) -> None:
    """A sign-in ends in time even if it waits for sign-ins of the account's other clients."""
    cloud.handle("POST", TOKEN, hang)
    others = [new_client(cloud, session) for _ in range(5)]
    results = await outcomes(
        clocks, *(item.authenticate() for item in (*others, zaptec)), longest=80
    )
    assert {isinstance(error, ZaptecConnectionError) for error, _ in results} == {True}
    assert max(took for _, took in results) < ACTION_TIMEOUT + 5


async def test_a_deadline_ends_with_its_action(clocks: TickingDateTimeFactory) -> None:
    """The time limit of an action no longer applies to what it started once the action has ended."""
    with time_limit() as deadline:
        assert current_deadline() is deadline
        with time_limit() as inner:
            assert inner is deadline
        with automatic():
            assert current_deadline() is None
        assert current_deadline() is deadline
        started = asyncio.create_task(asyncio.sleep(0, current_deadline()))

        async def later() -> object:
            await asyncio.sleep(1)
            return current_deadline()

        late = asyncio.create_task(later())
    assert await started is deadline
    await travel(clocks, 1.5, step=0.5)
    assert await late is None
    assert current_deadline() is None


@pytest.mark.parametrize("fault", [500, 502, 503, "hang", "html", "redirect", "lost"])
async def test_a_command_waits_for_a_sign_in_that_fails_once(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud, fault: object
) -> None:
    """If the sign-in fails once, nothing was sent, so the command tries again within its time."""
    handler = failing(fault)
    cloud.handle("POST", TOKEN, handler, cloud._give_token)
    cloud.answer("POST", WRITE)
    ((error, took),) = await outcomes(clocks, stop(zaptec), longest=25)
    assert error is None
    assert cloud.counts == {TOKEN: 2, WRITE: 1}
    assert took >= 1


class Fixed:
    """A token source that always has a token."""

    async def token(self, priority: Priority = Priority.COMMAND) -> str:
        """Return the token."""
        return "fixed"

    def invalidate(self, token: str) -> None:
        """Keep the token."""


async def test_a_connection_that_is_never_made(
    clocks: TickingDateTimeFactory,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If no connection is made, the last attempt ends before the time limit, certainly unsent."""

    async def connect(*_: object, **__: object) -> None:
        await asyncio.sleep(1e9)

    # A token source without requests leaves no open connection that could be reused.
    zaptec = ZaptecClient(
        session,
        USER_NAME,
        PASSWORD,
        base_url="http://127.0.0.1:1",
        token_source=Fixed(),
    )
    assert session.connector is not None
    monkeypatch.setattr(session.connector, "_create_connection", connect)
    ((error, took),) = await outcomes(clocks, stop(zaptec), longest=25)
    assert isinstance(error, ZaptecNotSentError)
    assert took > 11


@pytest.mark.parametrize("fault", [500, 502, 503, "hang", "html", "redirect", "lost"])
async def test_a_command_without_a_sign_in_is_not_sent(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud, fault: object
) -> None:
    """Without a sign-in the command was certainly not sent, and the token endpoint is spared."""
    loop = asyncio.get_running_loop()
    moments: list[float] = []
    handler = failing(fault)

    async def fail(request: web.Request) -> web.StreamResponse:
        moments.append(loop.time())
        return await handler(request)

    cloud.handle("POST", TOKEN, fail)
    cloud.answer("POST", WRITE)
    results = await outcomes(clocks, *(stop(zaptec) for _ in range(10)), longest=25)
    assert {type(error) for error, _ in results} == {ZaptecNotSentError}
    assert max(took for _, took in results) < COMMAND_TIMEOUT + 5
    for error, _ in results:
        if fault in ("html", "redirect"):
            assert isinstance(
                error.__cause__ if error else None, ZaptecInterceptedError
            )
    assert cloud.counts[WRITE] == 0
    assert len(moments) > 1
    assert all(
        later - earlier > 1
        for earlier, later in zip(moments, moments[1:], strict=False)
    )


def failing(fault: object) -> Handler:
    """Return a handler that responds with a fault."""

    async def handler(request: web.Request) -> web.StreamResponse:
        match fault:
            case "hang":
                return await hang(request)
            case "html":
                return web.Response(text="<html>Welcome</html>")
            case "redirect":
                return web.Response(status=302, headers={"Location": "/portal"})
            case "lost":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
        assert isinstance(fault, int)
        return web.Response(status=fault, text="<html>nginx</html>")

    return handler


async def read(zaptec: ZaptecClient) -> None:
    """Send a read in the background."""
    await zaptec.charger(CHARGER)


@acts_by_itself
async def look_by_itself(zaptec: ZaptecClient) -> None:
    """Send a read for an automatic command."""
    await look(zaptec)


@acts_by_itself
async def stop_by_itself(zaptec: ZaptecClient) -> None:
    """Send an automatic command."""
    await stop(zaptec)


@pytest.mark.parametrize("queued", [read, stop_by_itself])
async def test_a_pause_holds_for_all_that_is_queued(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    queued: Callable[[ZaptecClient], Awaitable[None]],
) -> None:
    """During a pause only requests of the user are sent, wherever they were in the queue."""
    await zaptec.authenticate()

    async def pause(request: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(status=429, headers={"Retry-After": str(PAUSE)})

    for method, path in (("GET", READ), ("POST", WRITE)):
        cloud.handle(method, path, pause)
    waiting = [asyncio.create_task(queued(zaptec)) for _ in range(40)]
    await calm_down()
    sent = cloud.counts.total()
    assert sent <= 11
    cloud.handle("POST", WRITE, slow(0.1))
    command = asyncio.create_task(stop(zaptec))
    results = await outcomes(clocks, *waiting, command, longest=5)
    assert all(isinstance(error, ZaptecBusyError) for error, _ in results[:-1])
    assert results[-1][0] is None
    assert cloud.counts.total() == sent + 1

    # Requests that come later are not sent until the pause is over, either.
    results = await outcomes(
        clocks, *(queued(zaptec) for _ in range(40)), longest=COMMAND_TIMEOUT
    )
    assert all(isinstance(error, ZaptecBusyError) for error, _ in results)
    assert cloud.counts.total() == sent + 1
    cloud.handle("GET", READ, slow(0.1))
    await travel(clocks, PAUSE, step=10)
    ((error, _),) = await outcomes(clocks, queued(zaptec), longest=5)
    assert error is None


@pytest.mark.parametrize("queued", [read, stop_by_itself])
async def test_no_sign_in_during_a_pause_but_for_the_user(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    queued: Callable[[ZaptecClient], Awaitable[None]],
) -> None:
    """During a pause only a request of the user signs in; others are not sent, so need no token."""
    cloud.answer("POST", WRITE, status=429, headers={"Retry-After": str(PAUSE)})
    cloud.answer("POST", WRITE)
    with pytest.raises(ZaptecBusyError):
        await stop(zaptec)
    # The token expires with the cloud's next response.
    zaptec._token_source.invalidate("token-1")
    results = await outcomes(clocks, *(queued(zaptec) for _ in range(40)), longest=16)
    assert all(isinstance(error, ZaptecBusyError) for error, _ in results)
    assert cloud.counts[TOKEN] == 1
    results = await outcomes(clocks, stop(zaptec), longest=5)
    assert results[0][0] is None
    assert cloud.counts[TOKEN] == 2


@pytest.mark.parametrize("joined", [False, True])
async def test_a_sign_in_that_is_queued_when_a_pause_begins(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    session: aiohttp.ClientSession,
    joined: bool,
) -> None:
    """A sign-in that is queued when a pause begins is sent only for a command of the user."""
    other = new_client(cloud, session)
    await other.authenticate()
    await travel(clocks, 2)

    async def pause(request: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(status=503, headers={"Retry-After": str(PAUSE)})

    cloud.handle("POST", WRITE, pause)
    # All slots are taken, so the sign-in of the other client has to wait.
    writes = [asyncio.create_task(stop(other)) for _ in range(10)]
    await calm_down()
    assert cloud.counts == {TOKEN: 1, WRITE: 10}
    cloud.handle("POST", WRITE, slow(0))
    reading = asyncio.create_task(read(zaptec))
    await calm_down()
    command = asyncio.create_task(stop(zaptec)) if joined else None
    await calm_down()
    await travel(clocks, 3)
    assert isinstance(reading.exception(), (ZaptecBusyError, ZaptecNotSentError))
    assert cloud.counts[TOKEN] == 1 + joined
    if command:
        assert command.exception() is None
    await asyncio.gather(*writes, return_exceptions=True)


@pytest.mark.parametrize(("seconds", "error_type"), [(10, None), (11, ZaptecBusyError)])
async def test_how_long_a_read_waits_for_a_pause(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    seconds: int,
    error_type: type[ZaptecBusyError] | None,
) -> None:
    """A read waits for a short pause; a longer one is raised to the caller."""
    headers = {"Retry-After": str(seconds)}
    cloud.answer("GET", READ, status=429, headers=headers)
    cloud.answer("GET", READ, DOCUMENT)
    ((error, took),) = await outcomes(clocks, read(zaptec), longest=20)
    assert (type(error) if error else None) is error_type
    assert took >= (0 if error_type else seconds)
    # This wait does not count as a wait for a slot.
    waits = zaptec.statistics.waits_last_hour().values()
    assert max(wait.longest for wait in waits) < 5


async def test_automatic_commands_wait_behind_the_user_s(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """Automatic commands are sent after the user's, because no user waits for them."""
    await zaptec.authenticate()
    order: list[str] = []
    cloud.handle("POST", WRITE, slow(0.4))

    async def send(
        name: str, send_it: Callable[[ZaptecClient], Awaitable[None]]
    ) -> None:
        await send_it(zaptec)
        order.append(name)

    await outcomes(
        clocks,
        *(send("automatic", stop_by_itself) for _ in range(20)),
        *(send("user", stop) for _ in range(10)),
        longest=20,
    )
    # The first eight had their slots before the user's command came.
    assert order[8:18].count("user") == 10


async def refuse(request: web.Request) -> web.Response:
    """Refuse any token."""
    return web.Response(status=401)


@pytest.mark.parametrize("clients", ["one", "new ones"])
async def test_a_cloud_that_refuses_its_own_tokens(
    clocks: TickingDateTimeFactory,
    zaptec: ZaptecClient,
    cloud: Cloud,
    session: aiohttp.ClientSession,
    clients: str,
) -> None:
    """If the cloud refuses its own tokens, only a few are requested until it accepts one."""
    cloud.handle("GET", READ, refuse)
    cloud.handle("POST", WRITE, refuse)
    for _ in range(60):
        # Home Assistant retries a set-up with a new client each time.
        client = zaptec if clients == "one" else new_client(cloud, session)
        results = await outcomes(
            clocks, read(client), stop(client), longest=COMMAND_TIMEOUT + 1
        )
        assert not any(error is None for error, _ in results)
        await travel(clocks, 10, step=5)
    # Ten minutes have passed.
    assert 3 <= cloud.counts[TOKEN] <= 5
    if clients == "one":
        # The same token is not sent twice for one request, either.
        assert cloud.counts[READ] <= 60 + cloud.counts[TOKEN]
        # The cloud accepts its earlier tokens again, so no other one is needed.
        sign_ins = cloud.counts[TOKEN]
        cloud.handle("GET", READ, slow(0))
        ((error, _),) = await outcomes(clocks, read(zaptec), longest=5)
        assert error is None
        assert cloud.counts[TOKEN] == sign_ins


async def test_an_endpoint_that_refuses_all_tokens(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """If one endpoint refuses all tokens, requests to others still use the same token."""
    cloud.handle("GET", READ, refuse)
    cloud.answer("GET", READ + "/state", [])
    for _ in range(30):
        results = await outcomes(clocks, read(zaptec), look(zaptec), longest=20)
        assert [error is None for error, _ in results] == [False, True]
        await travel(clocks, 20, step=5)
    assert cloud.counts[TOKEN] <= 5


async def test_tokens_that_are_refused_now_and_then(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A refused token is replaced at once, however often, as long as the new ones are accepted."""
    for number in range(12):
        cloud.handle("GET", READ, *([refuse] * (number > 0)), slow(0))
        ((error, _),) = await outcomes(clocks, read(zaptec), longest=5)
        assert error is None
        assert cloud.counts[TOKEN] == number + 1
        await travel(clocks, 90, step=10)


async def test_refused_tokens_are_forgotten(
    clocks: TickingDateTimeFactory, zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """Refused tokens are forgotten after half an hour, so that the next one is requested at once."""
    cloud.handle("GET", READ, refuse)
    for _ in range(4):
        await outcomes(clocks, read(zaptec), longest=5)
    assert cloud.counts[TOKEN] == 3
    await travel(clocks, 3000, step=100)
    for _ in range(4):
        await outcomes(clocks, read(zaptec), longest=5)
    # The old token is no longer new, so its refusal does not count.
    assert cloud.counts[TOKEN] == 6
