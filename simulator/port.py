"""A port of the Service Bus, which can be closed and opened again."""

import asyncio
from collections.abc import Callable
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
import ssl
from weakref import WeakSet

from .amqp.connection import Connection

# Connections that fill the shortest queue of a listening socket.
_PLUGS = 4


class Port:
    """A port at which connections are accepted, unless it is closed.

    Attributes:
        number: The port; it stays the same after the first `open`.
        ssl_context: Certificate and key for TLS, None for plain connections.
        accepted: The connections that it has accepted, as long as anything refers to them.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        host: str,
        number: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """Initialize a port that is not open yet.

        Args:
            connect: Returns a new connection.
            host: Address to listen at.
            number: Port to listen at; 0 for any.
            ssl_context: For TLS; plain without it.
        """
        self.number = number
        self.ssl_context = ssl_context
        self.accepted: WeakSet[Connection] = WeakSet()
        self._connect = connect
        self._host = host
        self._server: asyncio.Server | None = None
        # Reserves the port for `open` while nothing listens on it.
        self._reserved: socket | None = None
        # Connections that fill the queue of the reserved port, so that the kernel drops new ones.
        self._plugs: list[socket] = []

    @property
    def is_reserved(self) -> bool:
        """Whether the port is closed and waits to be opened again."""
        return self._reserved is not None

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._pull_plugs()
        bound, self._reserved = self._reserved or self._bind(), None
        self.number = bound.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(
            self._accept, sock=bound, ssl=self.ssl_context
        )

    def close(self) -> asyncio.Server | None:
        """Stop listening; return the server, with the connections that are still open."""
        server, self._server = self._server, None
        if server:
            server.close()
        return server

    def reserve(self) -> None:
        """Refuse connections, but keep the port for the next `open`."""
        if self._reserved is None:
            self._reserved = self._bind()

    def drop_packets(self) -> None:
        """Neither accept nor refuse connections, as with a firewall that blocks the port."""
        self.reserve()
        assert self._reserved
        self._reserved.listen(0)
        for _ in range(_PLUGS):
            plug = socket(self._reserved.family)
            plug.setblocking(False)
            plug.connect_ex(self._reserved.getsockname())
            self._plugs.append(plug)

    def release(self) -> None:
        """Give up the port."""
        self._pull_plugs()
        if self._reserved:
            self._reserved.close()
            self._reserved = None

    def _accept(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        connection = self._connect()
        self.accepted.add(connection)
        return connection

    def _pull_plugs(self) -> None:
        """Close the connections that fill the queue of the port."""
        while self._plugs:
            self._plugs.pop().close()

    def _bind(self) -> socket:
        # asyncio sets TCP_NODELAY only on a socket that was created with its protocol.
        family = AF_INET6 if ":" in self._host else AF_INET
        bound = socket(family, SOCK_STREAM, IPPROTO_TCP)
        try:
            bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind((self._host, self.number))
        except OSError:
            bound.close()
            raise
        return bound
