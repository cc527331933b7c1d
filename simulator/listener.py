"""An HTTP server that can be cut off and restored on the same port."""

import asyncio

from aiohttp import web

from .faults import abort


class Listener:
    """Serves an application on a loopback port."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        """Prepare; `port` 0 takes a free one at start."""
        self.host = host
        self.port = port
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    @property
    def is_listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._server is not None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is in use.
        """
        await self._runner.setup()
        await self.restore()

    async def stop(self) -> None:
        """Close everything."""
        await self.cut()
        await self._runner.cleanup()

    async def cut(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        assert self._runner.server
        for connection in self._runner.server.connections:
            if connection.transport:
                abort(connection.transport)
        # Two turns, for the aborted connections to be told.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def restore(self) -> None:
        """Listen (again, on the same port)."""
        if self._server is not None:
            return
        assert self._runner.server
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._runner.server, self.host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]
