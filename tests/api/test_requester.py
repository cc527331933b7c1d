"""Requests: their tokens, their retries, and when they fail."""

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web
import pytest

from custom_components.zaptec.api import (
    Command,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecResponseError,
    ZaptecServerError,
    requester,
    transport,
)

from .calls import (
    CHARGER,
    DOCUMENT,
    READ,
    REFUSAL,
    WRITE,
    hang,
    read,
    unused_port,
    write,
)
from .conftest import PASSWORD, USER_NAME, Cloud, reset


async def truncate(request: web.Request) -> web.StreamResponse:
    """Send less data than the response's Content-Length."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"Id":')
    return await reset(request)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524, 429])
async def test_reads_are_repeated(
    zaptec: ZaptecClient, cloud: Cloud, status: int
) -> None:
    """A read is retried after a temporary fault, at most three times."""
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
    """A read is retried if its response was incomplete."""
    monkeypatch.setattr(transport, "REQUEST_TIMEOUT", 0.1)
    await zaptec.authenticate()
    cloud.handle("GET", READ, fault)
    cloud.answer("GET", READ, DOCUMENT)
    await read(zaptec)
    cloud.handle("GET", READ, fault)
    with pytest.raises(ZaptecConnectionError):
        await read(zaptec)


@pytest.mark.parametrize("status", [400, 403, 404, 302, 418, 519, 530])
async def test_reads_are_not_repeated_after_a_final_answer(
    zaptec: ZaptecClient, cloud: Cloud, status: int
) -> None:
    """A read is not retried after a fault that a retry cannot resolve."""
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
    """A write that may have been carried out is not sent again."""
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
    """A write is retried if the cloud refused it because it was busy."""
    for _ in range(6):
        cloud.answer("POST", WRITE, status=status, text="")
    cloud.answer("POST", WRITE, text="")
    await write(zaptec)
    assert cloud.counts[WRITE] == 7


async def test_writes_are_given_up_in_time(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write fails within its time limit, so that the user gets a result in time."""
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


async def test_a_write_that_never_arrived_is_repeated(
    session: aiohttp.ClientSession, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write is retried after a refused connection, because nothing was sent over it."""
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


async def test_an_expired_token_is_renewed(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A 401 was not carried out, so even a write is sent again once, with a new token."""
    cloud.answer("POST", WRITE, status=401, text="")
    cloud.answer("POST", WRITE, text="")
    await write(zaptec)
    assert cloud.counts == {"/oauth/token": 2, WRITE: 2}
    assert cloud.requests[-1].headers["Authorization"] == "Bearer token-2"

    cloud.handle("POST", WRITE)
    cloud.answer("POST", WRITE, status=401, text="")
    # The sign-in works, so the password is right; and nothing was carried out.
    with pytest.raises(ZaptecNotSentError):
        await write(zaptec)
    assert cloud.counts == {"/oauth/token": 3, WRITE: 4}


async def test_many_expired_tokens_are_renewed_once(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """Concurrent requests with an expired token share one new token."""
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
    """A wrong password ends a request without a retry."""
    cloud.handle("POST", "/oauth/token")
    cloud.answer("POST", "/oauth/token", {"error": "invalid_grant"}, status=400)
    with pytest.raises(ZaptecAuthenticationError):
        await read(zaptec)
    with pytest.raises(ZaptecAuthenticationError):
        await write(zaptec)
    assert cloud.counts == {"/oauth/token": 1}


def test_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays double up to a limit, have jitter, and are no shorter than Retry-After."""
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


async def test_a_refused_read_is_not_repeated(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A 500 with a code is a refusal, and not retried; without a code it is a failure."""
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
    """A 200 with an invalid document raises an error for its request only."""
    cloud.answer("GET", READ, **options)
    with pytest.raises(error):
        await read(zaptec)
    assert cloud.counts[READ] == 1


async def test_a_write_takes_any_success(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A write succeeds with any document; the cloud sends none, unlike its documentation says."""
    document = json.dumps({"Code": 200, "Details": "Charging paused successfully"})
    cloud.answer("POST", WRITE, text=document)
    cloud.answer("POST", WRITE, status=204, text="")
    cloud.answer("POST", WRITE, text="fine")
    for _ in range(3):
        await write(zaptec)


async def test_a_write_that_a_page_answers_has_not_succeeded(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A write that gets an HTML page has failed, because a captive portal answers 200 to all."""
    cloud.answer("POST", WRITE, text="\n<html>Welcome to our hotel</html>")
    with pytest.raises(ZaptecInterceptedError):
        await write(zaptec)
    assert cloud.counts[WRITE] == 1


async def test_odd_ids_are_not_requested(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """An id that is not a UUID is refused, so that it never becomes part of a URL."""
    with pytest.raises(ValueError):
        await zaptec.charger("../oauth")
    with pytest.raises(ValueError):
        await zaptec.send_command(f"{CHARGER}?x=", Command.RESTART_CHARGER)
    assert not cloud.requests


async def test_a_long_pause_is_left_to_the_caller(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A long Retry-After is raised to the caller, so that it does not delay Home Assistant's start."""
    cloud.answer("GET", READ, status=429, headers={"Retry-After": "60"})
    with pytest.raises(ZaptecBusyError) as raised:
        await read(zaptec)
    assert raised.value.retry_after == 60
    assert cloud.counts[READ] == 1


async def test_every_attempt_is_counted(cloud: Cloud, zaptec: ZaptecClient) -> None:
    """Every attempt passes the limiter, because the HTTP library does not retry by itself."""
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
