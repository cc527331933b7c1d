"""An HTTP server that can be cut off and restored on the same port."""

import asyncio
import socket

from aiohttp import web

from .faults import abort


class Listener:
    """Serves an application on a loopback port."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        """Initialize the server; `port` 0 takes a free one at start."""
        self.host = host
        self.port = port
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._server: asyncio.Server | None = None
        # Reserves the port while nothing listens on it.
        self._reserved: socket.socket | None = None

    @property
    def url(self) -> str:
        """The address of the server."""
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
        if self._reserved:
            self._reserved.close()
            self._reserved = None
        await self._runner.cleanup()

    async def cut(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is None:
            return
        # Connections that the kernel has accepted must still find the server open.
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:
            loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)
        self._server.close()
        self._server = None
        self._reserved = self._bind()
        assert self._runner.server
        for connection in self._runner.server.connections:
            if connection.transport:
                abort(connection.transport)
        # Two iterations of the event loop notify the protocols of the aborted connections.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def restore(self) -> None:
        """Listen (again, on the same port).

        Raises:
            OSError: The port is in use.
        """
        if self._server is not None:
            return
        bound, self._reserved = self._reserved or self._bind(), None
        assert self._runner.server
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server, sock=bound
        )

    def _bind(self) -> socket.socket:
        """Bind the port; connections are refused until it listens."""
        # asyncio sets TCP_NODELAY only on a socket that was created with its protocol.
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # Without this, a port that was just closed cannot be bound again for a while.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
        except OSError as err:
            bound.close()
            raise OSError(
                err.errno, f"port {self.port} is in use or not available"
            ) from err
        self.port = bound.getsockname()[1]
        return bound
