"""Fixtures of the tests of the API: a cloud with hand-written responses."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from itertools import count
import json
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
import pytest

from custom_components.zaptec.api import (
    ZaptecClient,
    auth,
    client,
    limiter,
    parsing,
    preload,
    requester,
)
from simulator.clock import Clock
from simulator.servicebus import ServiceBus

from .messages import KEY, KEY_NAME, TOPIC

USER_NAME = "anna@example.com"
PASSWORD = "correct horse"

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _nothing_reported() -> Generator[None]:
    """Clear the memory of warnings that are logged only once."""
    parsing.reset_log_once()
    yield
    parsing.reset_log_once()


class Cloud:
    """A server that answers each path with the responses that a test has set.

    The responses of a path are sent in order; the last one is repeated.
    """

    def __init__(self, port: int | None = None) -> None:
        """Initialize the cloud."""
        self._answers: dict[tuple[str, str], list[Handler]] = {}
        self._numbers = count(1)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.requests: list[web.Request] = []
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self.server = TestServer(application, host="127.0.0.1", port=port)
        self.handle("POST", "/oauth/token", self._give_token)

    @property
    def url(self) -> str:
        """Return the URL of the cloud."""
        return str(self.server.make_url("")).rstrip("/")

    @property
    def counts(self) -> Counter[str]:
        """Return how often each path was requested."""
        return Counter(request.path for request in self.requests)

    def handle(self, method: str, path: str, *handlers: Handler) -> None:
        """Answer a path with a function."""
        self._answers[method, path] = list(handlers)

    def answer(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        status: int = 200,
        text: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Add a response of JSON or text to a path."""

        async def handler(request: web.Request) -> web.Response:
            body = json.dumps(document) if text is None else text
            return web.Response(status=status, body=body.encode(), headers=headers)

        self._answers.setdefault((method, path), []).append(handler)

    async def _give_token(self, request: web.Request) -> web.Response:
        """Return a new token."""
        return web.json_response(
            {
                "access_token": f"token-{next(self._numbers)}",
                "token_type": "bearer",
                "expires_in": 86399,
            }
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.requests.append(request)
        self.bodies[request.path].append(await request.read())
        answers = self._answers.get((request.method, request.path))
        if not answers:
            return web.Response(status=404)
        handler = answers.pop(0) if len(answers) > 1 else answers[0]
        return await handler(request)


async def reset(request: web.Request) -> web.StreamResponse:
    """Reset the connection instead of responding."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def cloud(socket_enabled: None) -> AsyncGenerator[Cloud]:
    """Return a cloud that gives tokens and has no other responses yet."""
    cloud = Cloud()
    await cloud.server.start_server()
    yield cloud
    await cloud.server.close()


@pytest.fixture
async def session(socket_enabled: None) -> AsyncGenerator[aiohttp.ClientSession]:
    """Return an HTTP session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses between requests."""
    monkeypatch.setattr(requester, "BACKOFF_BASE", 0.0)
    for module in (auth, client):
        monkeypatch.setattr(
            module,
            "limiter_for",
            lambda *_, **__: limiter.RateLimiter(limit=1000, window=0.0),
        )


@pytest.fixture
def zaptec(cloud: Cloud, session: aiohttp.ClientSession, hasty: None) -> ZaptecClient:
    """Return a client of the cloud."""
    return ZaptecClient(
        session, USER_NAME, PASSWORD, base_url=cloud.url, user_agent="test/1.0"
    )


@pytest.fixture
async def bus(socket_enabled: None) -> AsyncGenerator[ServiceBus]:
    """Return a Service Bus with two topics."""
    await asyncio.to_thread(preload)
    bus = ServiceBus(Clock(speed=0))
    bus.add_topic(TOPIC, KEY_NAME, KEY)
    bus.add_topic("other", KEY_NAME, KEY)
    await bus.start()
    yield bus
    await bus.stop()
