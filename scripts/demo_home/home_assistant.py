"""A client of the demo's Home Assistant, for its REST and WebSocket APIs."""

from types import TracebackType
from typing import Any, Self

import aiohttp

from .errors import DemoError


class HomeAssistant:
    """A signed-in connection to the Home Assistant at `url`.

    Requests from this machine need no password, so the sign-in needs none either.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """Initialize the connection; entering the context signs in."""
        self._session = session
        self._url = url
        self._client_id = f"{url}/"
        self._tokens: dict[str, str] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._message_id = 0

    async def __aenter__(self) -> Self:
        """Sign in as the owner, and open the WebSocket.

        Raises:
            DemoError: Home Assistant refuses the sign-in.
        """
        flow = await self._post_json(
            "/auth/login_flow",
            {
                "client_id": self._client_id,
                "handler": ["trusted_networks", None],
                "redirect_uri": self._client_id,
            },
        )
        if flow.get("type") != "create_entry":
            raise DemoError(
                "Home Assistant does not sign in its owner; a fresh folder (--reset) helps."
            )
        async with self._session.post(
            f"{self._url}/auth/token",
            data={
                "grant_type": "authorization_code",
                "code": flow["result"],
                "client_id": self._client_id,
            },
        ) as response:
            response.raise_for_status()
            self._tokens = await response.json()
        self._socket = await self._session.ws_connect(f"{self._url}/api/websocket")
        await self._socket.receive_json()
        await self._socket.send_json(
            {"type": "auth", "access_token": self._tokens["access_token"]}
        )
        await self._socket.receive_json()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the WebSocket and sign out, so that refresh tokens do not pile up."""
        if self._socket:
            await self._socket.close()
        try:
            async with self._session.post(
                f"{self._url}/auth/revoke",
                data={"token": self._tokens["refresh_token"]},
            ):
                pass
        except aiohttp.ClientError, TimeoutError:
            if exc is None:
                raise

    async def is_running(self) -> bool:
        """Return whether Home Assistant has finished starting."""
        config: dict[str, Any] = await self.call("get_config")
        return bool(config["state"] == "RUNNING")

    async def call(self, command: str, **arguments: Any) -> Any:
        """Return the result of a WebSocket command.

        Raises:
            DemoError: Home Assistant answers with an error.
        """
        if self._socket is None:
            raise RuntimeError("Not signed in")
        self._message_id += 1
        await self._socket.send_json(
            {"id": self._message_id, "type": command, **arguments}
        )
        while True:
            message = await self._socket.receive_json()
            if message["id"] == self._message_id:
                break
        if not message["success"]:
            raise DemoError(
                f"Home Assistant refuses {command}: {message['error']['message']}."
            )
        return message["result"]

    async def add_integration(self, domain: str, user_input: dict[str, Any]) -> None:
        """Add an integration as the user would: through its config flow.

        Raises:
            DemoError: The flow does not end with an entry.
        """
        flows = "/api/config/config_entries/flow"
        flow = await self._post_json(flows, {"handler": domain})
        result = await self._post_json(f"{flows}/{flow['flow_id']}", user_input)
        if result.get("type") != "create_entry":
            problem = result.get("errors") or result.get("reason") or result
            raise DemoError(f"The {domain} integration could not be added: {problem}.")

    async def _post_json(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {}
        if self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens['access_token']}"
        async with self._session.post(
            self._url + path, json=body, headers=headers
        ) as response:
            if response.status >= 400:
                raise DemoError(
                    f"Home Assistant answers {path} with {response.status}: "
                    f"{await response.text()}"
                )
            answer: dict[str, Any] = await response.json()
            return answer
