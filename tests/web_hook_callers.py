"""Calls web hooks on each of the ways by which a call reaches Home Assistant."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
import json
from typing import Any, NamedTuple

from aiohttp import ClientWebSocketResponse
from aiohttp.test_utils import TestClient
from homeassistant.components import webhook
from homeassistant.core import HomeAssistant
from homeassistant.util.aiohttp import MockRequest, serialize_response

from custom_components.zaptec.web_hook_settings import WebHookSettings

type Client = TestClient[Any, Any]
type Body = bytes | Mapping[str, Any]


class Way(StrEnum):
    """By which way a call reaches Home Assistant."""

    HTTP = "http"
    """A request over a connection."""
    CLOUD = "cloud"
    """The relay of Home Assistant Cloud, which hands over an imitated request."""
    INTERNAL = "internal"
    """Home Assistant's own WebSocket."""


class Reply(NamedTuple):
    """The answer to a call."""

    status: int
    document: Any
    content_type: str

    @property
    def session_id(self) -> str | None:
        """Return the id of the session that is permitted."""
        return self.document.get("sessionId") if self.status == 200 else None


type Call = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Reply]]


def authorization(settings: WebHookSettings) -> dict[str, str]:
    """Return the header with the right credentials."""
    code = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
    return {"Authorization": f"Basic {code}"}


def over_http(client: Client) -> Call:
    """Return how a call is made over HTTP."""

    async def call(
        method: str, webhook_id: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        async with client.request(
            method, webhook.async_generate_path(webhook_id), data=body, headers=headers
        ) as answer:
            text = await answer.text()
            return Reply(answer.status, json.loads(text or "null"), answer.content_type)

    return call


def through_the_cloud(hass: HomeAssistant) -> Call:
    """Return how a call is made by the relay (homeassistant/components/cloud/client.py)."""

    async def call(
        method: str, webhook_id: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        request = MockRequest(
            content=body,
            headers=dict(headers),
            method=method,
            query_string="",
            mock_source="cloud",
            remote=None,
        )
        response = await webhook.async_handle_webhook(hass, webhook_id, request)
        relayed = serialize_response(response)
        return Reply(
            relayed["status"],
            json.loads(relayed["body"] or "null"),
            response.content_type,
        )

    return call


def over_the_web_socket(client: ClientWebSocketResponse) -> Call:
    """Return how a call is made over Home Assistant's own WebSocket."""

    async def call(
        method: str, webhook_id: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        await client.send_json_auto_id(  # type: ignore[attr-defined]
            {
                "type": "webhook/handle",
                "webhook_id": webhook_id,
                "method": method,
                "headers": dict(headers),
                "body": body.decode(),
                "query": "",
            }
        )
        answer = await client.receive_json()
        assert answer["success"], answer
        relayed = answer["result"]
        return Reply(
            relayed["status"],
            json.loads(relayed["body"] or "null"),
            relayed["headers"]["Content-Type"],
        )

    return call


class Caller:
    """Calls the web hooks of an installation, by default with the right credentials."""

    def __init__(
        self, call: Call, settings: WebHookSettings, installation_id: str
    ) -> None:
        """Initialize the caller."""
        self._call = call
        self._settings = settings
        self._installation_id = installation_id

    async def start(
        self, charger_id: str, token: str | None = None, **fields: Any
    ) -> Reply:
        """Ask whether the car at a charger may charge."""
        body = {
            **({"token": token} if token else {}),
            "chargerId": charger_id,
            "chargerName": "Space 1",
            "installationId": self._installation_id,
            "installationName": "Home",
            **fields,
        }
        return await self.call(self._settings.start_id, body)

    async def end(self, session_id: str, **fields: Any) -> Reply:
        """Report that a session has ended."""
        body = {
            "sessionId": session_id,
            "sessionStart": "2026-11-28T06:00:00Z",
            "sessionEnd": "2026-11-28T09:30:00Z",
            "energy": 12.345,
            **fields,
        }
        return await self.call(self._settings.end_id, body)

    async def call(
        self,
        webhook_id: str,
        body: Body,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Reply:
        """Call a web hook."""
        if headers is None:
            headers = authorization(self._settings)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return await self._call(
            method, webhook_id, {"Content-Type": "application/json", **headers}, body
        )
