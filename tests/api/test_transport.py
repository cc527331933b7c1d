"""Requests: how they are repeated, and what their failures mean."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
import json
import socket
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    Command,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecResponseError,
    ZaptecServerError,
    requester,
    transport,
)

from .conftest import PASSWORD, USER_NAME, Cloud, reset

CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
READ = f"/api/chargers/{CHARGER}"
WRITE = f"/api/chargers/{CHARGER}/sendCommand/506"
DOCUMENT = {"Id": CHARGER, "Name": "Garage"}


async def read(zaptec: ZaptecClient) -> None:
    """Read something."""
    assert (await zaptec.charger(CHARGER)).name == "Garage"


async def write(zaptec: ZaptecClient) -> None:
    """Write something."""
    await zaptec.send_command(CHARGER, Command.STOP_CHARGING_FINAL)


async def hang(request: web.Request) -> web.StreamResponse:
    """Answer too late."""
    await asyncio.sleep(0.5)
    return web.Response()


async def truncate(request: web.Request) -> web.StreamResponse:
    """Promise more than what comes."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"Id":')
    return await reset(request)


async def test_headers(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A request says who asks, and carries the token."""
    cloud.answer("GET", READ, DOCUMENT)
    await read(zaptec)
    headers = cloud.requests[-1].headers
    assert headers["Authorization"] == "Bearer token-1"
    assert headers["User-Agent"] == "test/1.0"
    assert headers["Accept"] == "application/json"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524, 429])
async def test_reads_are_repeated(
    zaptec: ZaptecClient, cloud: Cloud, status: int
) -> None:
    """A fault that may pass is tried again, three times at most."""
    for _ in range(3):
        cloud.answer("GET", READ, status=status, text="<html>oops</html>")
    cloud.answer("GET", READ, DOCUMENT)
    await read(zaptec)
    assert cloud.counts[READ] == 4

    cloud.handle("GET", READ)
    cloud.answer("GET", READ, status=status, text="")
    with pytest.raises((ZaptecBusyError, ZaptecServerError)):
        await read(zaptec)
    assert cloud.counts[READ] == 8
    assert zaptec.statistics.requests["GET", "/api/chargers/{id}", status] == 7
    assert zaptec.statistics.requests["GET", "/api/chargers/{id}", 200] == 1
    assert zaptec.statistics.last_error == f"GET /api/chargers/{{id}}: {status}"


@pytest.mark.parametrize("fault", [reset, truncate, hang])
async def test_reads_are_repeated_after_a_broken_connection(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """So is a read without a whole answer."""
    monkeypatch.setattr(transport, "REQUEST_TIMEOUT", 0.1)
    await zaptec.authenticate()
    cloud.handle("GET", READ, fault)
    cloud.answer("GET", READ, DOCUMENT)
    await read(zaptec)
    cloud.handle("GET", READ, fault)
    with pytest.raises(ZaptecConnectionError):
        await read(zaptec)


@pytest.mark.parametrize("status", [400, 403, 404, 302, 418, 519, 530])
async def test_reads_are_not_repeated_in_vain(
    zaptec: ZaptecClient, cloud: Cloud, status: int
) -> None:
    """What is final is final."""
    cloud.answer("GET", READ, status=status, headers={"Location": "/elsewhere"})
    with pytest.raises(ZaptecError):
        await read(zaptec)
    assert cloud.counts == {"/oauth/token": 1, READ: 1}


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (reset, ZaptecConnectionError, "was lost"),
        (truncate, ZaptecConnectionError, "was lost"),
        (hang, ZaptecConnectionError, "in time"),
        (500, ZaptecServerError, "status 500"),
        (502, ZaptecServerError, "status 502"),
        (504, ZaptecServerError, "status 504"),
    ],
)
async def test_writes_are_not_repeated(
    zaptec: ZaptecClient,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    fault: Any,
    error: type[ZaptecError],
    words: str,
) -> None:
    """What may have been carried out is not sent again."""
    monkeypatch.setattr(transport, "REQUEST_TIMEOUT", 0.2)
    await zaptec.authenticate()
    if isinstance(fault, int):
        cloud.answer("POST", WRITE, status=fault, text="")
    else:
        cloud.handle("POST", WRITE, fault)
    with pytest.raises(error, match=words):
        await write(zaptec)
    assert cloud.counts[WRITE] == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_writes_are_repeated_when_refused(
    zaptec: ZaptecClient, cloud: Cloud, status: int
) -> None:
    """What the cloud was too busy for is sent again."""
    for _ in range(6):
        cloud.answer("POST", WRITE, status=status, text="")
    cloud.answer("POST", WRITE, text="")
    await write(zaptec)
    assert cloud.counts[WRITE] == 7


async def test_writes_are_given_up_in_time(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person gets an answer while waiting, not after."""
    monkeypatch.setattr(requester, "COMMAND_TIMEOUT", 0.2)
    await zaptec.authenticate()
    cloud.handle("POST", WRITE, hang)
    with pytest.raises(ZaptecConnectionError, match="in time"):
        await write(zaptec)

    cloud.handle("POST", WRITE)
    cloud.answer("POST", WRITE, status=429, headers={"Retry-After": "60"})
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(ZaptecBusyError) as raised:
        await write(zaptec)
    assert raised.value.retry_after == 60
    assert loop.time() - start < 0.2


def unused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_a_write_that_never_arrived_is_repeated(
    session: aiohttp.ClientSession, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection has carried nothing, neither to the token nor further."""
    monkeypatch.setattr(requester, "BACKOFF_BASE", 0.05)
    port = unused_port()
    cloud = Cloud(port)
    cloud.answer("POST", WRITE, text="")
    zaptec = ZaptecClient(
        session, USER_NAME, PASSWORD, base_url=f"http://127.0.0.1:{port}"
    )
    writing = asyncio.create_task(write(zaptec))
    while not zaptec.statistics.requests["POST", "/oauth/token", 0]:
        await asyncio.sleep(0.001)
    await cloud.server.start_server()
    await writing
    assert cloud.counts == {"/oauth/token": 1, WRITE: 1}

    await cloud.server.close()
    writing = asyncio.create_task(write(zaptec))
    endpoint = "/api/chargers/{id}/sendCommand/506"
    while not zaptec.statistics.requests["POST", endpoint, 0]:
        await asyncio.sleep(0.001)
    again = Cloud(port)
    again.answer("POST", WRITE, text="")
    await again.server.start_server()
    await writing
    assert again.counts == {WRITE: 1}
    await again.server.close()


async def test_an_unreachable_cloud_is_not_named(
    session: aiohttp.ClientSession, hasty: None
) -> None:
    """Errors tell what happened, not to whom."""
    port = unused_port()
    zaptec = ZaptecClient(
        session, USER_NAME, PASSWORD, base_url=f"http://127.0.0.1:{port}"
    )
    with pytest.raises(ZaptecConnectionError, match="can't be reached") as raised:
        await read(zaptec)
    assert str(port) not in str(raised.value)


async def test_an_expired_token_is_renewed(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A 401 was not carried out, so even a write is sent again, once."""
    cloud.answer("POST", WRITE, status=401, text="")
    cloud.answer("POST", WRITE, text="")
    await write(zaptec)
    assert cloud.counts == {"/oauth/token": 2, WRITE: 2}
    assert cloud.requests[-1].headers["Authorization"] == "Bearer token-2"

    cloud.handle("POST", WRITE)
    cloud.answer("POST", WRITE, status=401, text="")
    # Not the account's fault, as the sign-in works; and nothing was carried out.
    with pytest.raises(ZaptecNotSentError):
        await write(zaptec)
    assert cloud.counts == {"/oauth/token": 3, WRITE: 4}


async def test_many_expired_tokens_are_renewed_once(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """The requests of a moment share one new token."""
    await zaptec.authenticate()
    asked: list[web.Request] = []
    all_there = asyncio.Event()

    async def refuse_the_old(request: web.Request) -> web.Response:
        if request.headers["Authorization"] == "Bearer token-1":
            asked.append(request)
            if len(asked) == 20:
                all_there.set()
            await all_there.wait()
            return web.Response(status=401)
        return web.json_response(DOCUMENT)

    cloud.handle("GET", READ, refuse_the_old)
    await asyncio.gather(*(read(zaptec) for _ in range(20)))
    assert cloud.counts == {"/oauth/token": 2, READ: 40}


async def test_a_wrong_password_ends_a_request(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """Nothing is repeated that can't succeed."""
    cloud.handle("POST", "/oauth/token")
    cloud.answer("POST", "/oauth/token", {"error": "invalid_grant"}, status=400)
    with pytest.raises(ZaptecAuthenticationError):
        await read(zaptec)
    with pytest.raises(ZaptecAuthenticationError):
        await write(zaptec)
    assert cloud.counts == {"/oauth/token": 1}


async def test_redirects_are_not_followed(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The token goes nowhere else."""
    cloud.answer("GET", READ, status=307, headers={"Location": "/elsewhere"})
    with pytest.raises(ZaptecInterceptedError):
        await read(zaptec)
    assert cloud.counts["/elsewhere"] == 0


@pytest.mark.parametrize("status", [302, 407, 511])
@pytest.mark.parametrize("request_", [read, write])
async def test_a_captive_portal_is_named(
    zaptec: ZaptecClient,
    cloud: Cloud,
    status: int,
    request_: Callable[[ZaptecClient], Awaitable[None]],
) -> None:
    """It answers everything, and nothing reaches the cloud."""
    await zaptec.authenticate()
    for method, path in (("GET", READ), ("POST", WRITE)):
        cloud.answer(method, path, status=status, headers={"Location": "/portal"})
    with pytest.raises(ZaptecInterceptedError):
        await request_(zaptec)
    assert sum(cloud.counts.values()) == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("86400", 3600.0),
        ("later", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """The cloud may say how long to wait, within reason."""
    assert transport._retry_after(value) == seconds


def test_retry_after_a_date() -> None:
    """It may say so with a date, with or without its zone."""
    moment = datetime.now(UTC) + timedelta(seconds=30)
    for text in (
        format_datetime(moment, usegmt=True),
        format_datetime(moment.replace(tzinfo=None)).replace(" -0000", ""),
    ):
        seconds = transport._retry_after(text)
        assert seconds is not None
        assert 25 < seconds <= 30


def test_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double to a bound, at random, and are no shorter than asked for."""
    monkeypatch.setattr("random.uniform", lambda low, high: high - low)
    failure = ZaptecServerError("", 502)
    assert [requester._delay(failure, failures) for failures in range(6)] == [
        0.5,
        1.0,
        2.0,
        4.0,
        8.0,
        8.0,
    ]
    assert requester._delay(ZaptecBusyError(""), 0) == 0.5
    assert requester._delay(ZaptecBusyError("", 0.1), 0) == 0.5
    assert requester._delay(ZaptecBusyError("", 7.0), 0) == 7.0


REFUSAL = {"Code": 528, "Details": "Charging is not Paused", "StackTrace": None}


@pytest.mark.parametrize(
    ("status", "document", "error", "code", "details"),
    [
        (500, REFUSAL, ZaptecRejectedError, 528, "Charging is not Paused"),
        (400, REFUSAL, ZaptecRejectedError, 528, "Charging is not Paused"),
        (500, {"Code": 528, "Details": None}, ZaptecRejectedError, 528, None),
        (
            500,
            {"Code": 527, "Details": f"a\x1b[31m\r\n\u202eb{'c' * 500}"},
            ZaptecRejectedError,
            527,
            f"a [31m b{'c' * 192}",
        ),
        (400, {"errorCode": 513, "message": "No."}, ZaptecRejectedError, 513, "No."),
        (400, {"title": "Bad current"}, ZaptecRejectedError, 400, "Bad current"),
        (400, None, ZaptecRejectedError, 400, None),
        (400, [], ZaptecRejectedError, 400, None),
        (500, {"Code": 512, "Details": "Unknown object"}, ZaptecNotFoundError, 0, None),
        (404, {"errorCode": 512, "message": "Gone"}, ZaptecNotFoundError, 0, None),
        (404, None, ZaptecNotFoundError, 0, None),
        (403, None, ZaptecPermissionError, 0, None),
        (500, {"Details": "odd"}, ZaptecServerError, 0, None),
        (418, REFUSAL, ZaptecServerError, 0, None),
    ],
)
async def test_refusals(
    zaptec: ZaptecClient,
    cloud: Cloud,
    status: int,
    document: object,
    error: type[ZaptecError],
    code: int,
    details: str | None,
) -> None:
    """A refusal is told in the vendor's words, made harmless."""
    cloud.answer("POST", WRITE, document, status=status)
    with pytest.raises(error) as raised:
        await write(zaptec)
    assert type(raised.value) is error
    assert cloud.counts[WRITE] == 1
    if isinstance(raised.value, ZaptecRejectedError):
        assert raised.value.code == code
        assert raised.value.details == details
        assert str(code) in str(raised.value)


async def test_a_refused_read_is_not_repeated(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """500 with a code is an answer, without one it is a failure."""
    cloud.answer("GET", READ, REFUSAL, status=500)
    with pytest.raises(ZaptecRejectedError):
        await read(zaptec)
    assert cloud.counts[READ] == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"status": 204, "text": ""}, ZaptecPermissionError),
        ({"text": ""}, ZaptecPermissionError),
        ({"text": " \n"}, ZaptecPermissionError),
        ({"text": "<html>log in</html>"}, ZaptecInterceptedError),
        ({"text": '{"Id":'}, ZaptecResponseError),
        ({"text": "[" * 200_000}, ZaptecResponseError),
        ({"text": '{"Id":' + "9" * 5000 + "}"}, ZaptecResponseError),
        ({"document": []}, ZaptecResponseError),
        ({"document": {"Id": "../x"}}, ZaptecResponseError),
    ],
)
async def test_answers_that_are_no_document(
    zaptec: ZaptecClient,
    cloud: Cloud,
    options: dict[str, Any],
    error: type[ZaptecError],
) -> None:
    """Nothing that comes with a 200 breaks more than its request."""
    cloud.answer("GET", READ, **options)
    with pytest.raises(error):
        await read(zaptec)
    assert cloud.counts[READ] == 1


async def test_huge_answers_are_refused(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody fills our memory."""
    monkeypatch.setattr(transport, "RESPONSE_SIZE_MAX", 2000)
    cloud.answer("GET", READ, DOCUMENT | {"Filler": "x" * 1000})
    await read(zaptec)
    cloud.handle("GET", READ)
    cloud.answer("GET", READ, DOCUMENT | {"Filler": "x" * 2000})
    with pytest.raises(ZaptecResponseError, match="too large"):
        await read(zaptec)
    assert zaptec.statistics.last_error == "GET /api/chargers/{id}: too large"


@pytest.mark.parametrize(("mebibytes", "is_read"), [(7, True), (9, False)])
async def test_how_large_an_answer_may_be(
    zaptec: ZaptecClient, cloud: Cloud, mebibytes: int, is_read: bool
) -> None:
    """Several times the largest that the cloud sends, and little of the memory."""
    cloud.answer("GET", READ, DOCUMENT | {"Filler": "x" * mebibytes * 1024**2})
    with nullcontext() if is_read else pytest.raises(ZaptecResponseError):
        await read(zaptec)


async def test_a_write_takes_any_success(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The documentation shows a document, the cloud sends none."""
    document = json.dumps({"Code": 200, "Details": "Charging paused successfully"})
    cloud.answer("POST", WRITE, text=document)
    cloud.answer("POST", WRITE, status=204, text="")
    cloud.answer("POST", WRITE, text="fine")
    for _ in range(3):
        await write(zaptec)


async def test_a_write_that_a_page_answers_has_not_succeeded(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A captive portal says 200 to everything, and passes nothing on."""
    cloud.answer("POST", WRITE, text="\n<html>Welcome to our hotel</html>")
    with pytest.raises(ZaptecInterceptedError):
        await write(zaptec)
    assert cloud.counts[WRITE] == 1


async def test_odd_ids_are_not_requested(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """An id that is no UUID never gets into a URL."""
    with pytest.raises(ValueError):
        await zaptec.charger("../oauth")
    with pytest.raises(ValueError):
        await zaptec.send_command(f"{CHARGER}?x=", Command.RESTART_CHARGER)
    assert not cloud.requests


async def test_a_cancelled_request_leaves_no_trace(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """The next request is as if nothing had been."""
    await zaptec.authenticate()
    asked = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        asked.set()
        return await hang(request)

    cloud.handle("GET", READ, wait)
    reading = asyncio.create_task(read(zaptec))
    await asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    cloud.handle("GET", READ)
    cloud.answer("GET", READ, DOCUMENT)
    await read(zaptec)


async def test_an_encrypted_cloud_that_is_none(
    session: aiohttp.ClientSession, cloud: Cloud, hasty: None
) -> None:
    """A broken handshake is no answer."""
    zaptec = ZaptecClient(
        session, USER_NAME, PASSWORD, base_url=cloud.url.replace("http:", "https:")
    )
    with pytest.raises(ZaptecConnectionError):
        await zaptec.authenticate()


def test_servers_are_local(cloud: Cloud) -> None:
    """No test leaves this machine."""
    assert isinstance(cloud.server, TestServer)
    assert cloud.url.startswith("http://127.0.0.1:")


async def test_a_long_pause_is_left_to_the_caller(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """Home Assistant's start is not to be held up by a cloud that asks for a minute."""
    cloud.answer("GET", READ, status=429, headers={"Retry-After": "60"})
    with pytest.raises(ZaptecBusyError) as raised:
        await read(zaptec)
    assert raised.value.retry_after == 60
    assert cloud.counts[READ] == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_is_the_whole_account_s(
    zaptec: ZaptecClient, cloud: Cloud, status: int, freezer: FrozenDateTimeFactory
) -> None:
    """Nothing but a person's command is sent until it is over."""
    cloud.answer("GET", READ, status=status, headers={"Retry-After": "60"})
    cloud.answer("GET", f"{READ}/state", [])
    cloud.answer("POST", WRITE)
    with pytest.raises(ZaptecBusyError):
        await read(zaptec)
    for _ in range(10):
        with pytest.raises(ZaptecBusyError) as raised:
            await zaptec.charger_state(CHARGER)
        assert 58 < raised.value.retry_after <= 60
    await write(zaptec)
    assert cloud.counts == {"/oauth/token": 1, READ: 1, WRITE: 1}
    freezer.tick(61)
    assert await zaptec.charger_state(CHARGER) == []


async def test_every_attempt_is_counted(cloud: Cloud, zaptec: ZaptecClient) -> None:
    """The HTTP library repeats nothing by itself, or the limit would be none."""
    cloud.answer("GET", "/api/installation", {"Pages": 1, "Data": []})
    await zaptec.installations()
    cloud.requests.clear()
    before = zaptec.statistics.requests.total()
    cloud.handle("GET", "/api/installation", reset)
    with pytest.raises(ZaptecConnectionError):
        await zaptec.installations()
    attempts = 1 + requester.READ_RETRIES
    assert cloud.counts["/api/installation"] == attempts
    assert zaptec.statistics.requests.total() - before == attempts
