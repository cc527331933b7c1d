"""Single requests: how they are sent, and how their failures are reported."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecResponseError,
    ZaptecServerError,
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
from .conftest import PASSWORD, USER_NAME, Cloud


async def test_headers(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A request has a User-Agent and the token."""
    cloud.answer("GET", READ, DOCUMENT)
    await read(zaptec)
    headers = cloud.requests[-1].headers
    assert headers["Authorization"] == "Bearer token-1"
    assert headers["User-Agent"] == "test/1.0"
    assert headers["Accept"] == "application/json"


async def test_an_unreachable_cloud_is_not_named(
    session: aiohttp.ClientSession, hasty: None
) -> None:
    """The error of an unreachable cloud says what happened, but does not name the address."""
    port = unused_port()
    zaptec = ZaptecClient(
        session, USER_NAME, PASSWORD, base_url=f"http://127.0.0.1:{port}"
    )
    with pytest.raises(ZaptecConnectionError, match="can't be reached") as raised:
        await read(zaptec)
    assert str(port) not in str(raised.value)


async def test_redirects_are_not_followed(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """Redirects are not followed, so that the token is sent to no other server."""
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
    """The error for a web page names a captive portal, which prevents requests to the cloud."""
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
    """Retry-After in seconds is followed, up to a limit."""
    assert transport._retry_after(value) == seconds


def test_retry_after_a_date() -> None:
    """Retry-After may be a date, with or without a time zone."""
    moment = datetime.now(UTC) + timedelta(seconds=30)
    for text in (
        format_datetime(moment, usegmt=True),
        format_datetime(moment.replace(tzinfo=None)).replace(" -0000", ""),
    ):
        seconds = transport._retry_after(text)
        assert seconds is not None
        assert 25 < seconds <= 30


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
    """A rejection has the vendor's text, sanitized for display."""
    cloud.answer("POST", WRITE, document, status=status)
    with pytest.raises(error) as raised:
        await write(zaptec)
    assert type(raised.value) is error
    assert cloud.counts[WRITE] == 1
    if isinstance(raised.value, ZaptecRejectedError):
        assert raised.value.code == code
        assert raised.value.details == details
        assert str(code) in str(raised.value)


async def test_huge_answers_are_refused(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response above the size limit is refused, which protects the memory."""
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
    """The size limit is several times the cloud's largest response, but small for the memory."""
    cloud.answer("GET", READ, DOCUMENT | {"Filler": "x" * mebibytes * 1024**2})
    with nullcontext() if is_read else pytest.raises(ZaptecResponseError):
        await read(zaptec)


async def test_a_cancelled_request_leaves_no_trace(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """A cancelled request does not affect the next one."""
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
    """A failed TLS handshake is reported as a connection error."""
    zaptec = ZaptecClient(
        session, USER_NAME, PASSWORD, base_url=cloud.url.replace("http:", "https:")
    )
    with pytest.raises(ZaptecConnectionError):
        await zaptec.authenticate()


def test_servers_are_local(cloud: Cloud) -> None:
    """All test servers are on loopback, so no test uses the network."""
    assert isinstance(cloud.server, TestServer)
    assert cloud.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_is_the_whole_account_s(
    zaptec: ZaptecClient, cloud: Cloud, status: int, freezer: FrozenDateTimeFactory
) -> None:
    """A pause applies to all clients of the account; only the user's commands are sent."""
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
