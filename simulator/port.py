"""A port of the Service Bus, which can be closed, blocked and opened again."""

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
from typing import Literal
from weakref import WeakSet

from .amqp.connection import Connection
from .faults import abort

# How a firewall keeps connections out. "refused": by RST. "dropped": it drops their packets.
# "silent": it accepts them, and answers nothing. "reset": it accepts them, and resets them at the
# first octets, which are those of the TLS handshake.
type Block = Literal["refused", "dropped", "silent", "reset"]
BLOCKS: tuple[Block, ...] = ("refused", "dropped", "silent", "reset")

# Connections that fill the shortest queue of a listening socket.
_PLUGS = 4


class _Firewall(asyncio.Protocol):
    """A connection that a firewall has accepted in place of the service."""

    def __init__(self, *, resets: bool) -> None:
        self._resets = resets
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Reset the connection, or answer nothing."""
        if self._resets and self._transport:
            abort(self._transport)


class Port:
    """A port at which connections are accepted, unless it is closed.

    Attributes:
        number: The port; it stays the same after the first `open`.
        ssl_context: Certificate and key for TLS, None for plain connections.
        accepted: The connections that it has accepted, as long as anything refers to them.
        blocked: How connections are kept out; None if they are not.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        host: str,
        number: int,
        ssl_context: ssl.SSLContext | None,
        *,
        wrap: Callable[[Connection], asyncio.Protocol] = lambda connection: connection,
    ) -> None:
        """Initialize a port that is not open yet.

        Args:
            connect: Returns a new connection.
            host: Address to listen at.
            number: Port to listen at; 0 for any.
            ssl_context: For TLS; plain without it.
            wrap: Returns what carries the octets of a connection: itself, or a WebSocket.
        """
        self.number = number
        self.ssl_context = ssl_context
        self.accepted: WeakSet[Connection] = WeakSet()
        self.blocked: Block | None = None
        self._connect = connect
        self._wrap = wrap
        self._host = host
        self._server: asyncio.Server | None = None
        self._firewall: asyncio.Server | None = None
        # Reserves the port for `open` while nothing listens on it.
        self._reserved: socket | None = None
        # Connections that fill the queue of the reserved port, so that the kernel drops new ones.
        self._plugs: list[socket] = []

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self._end_block()
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

    async def block(self, how: Block) -> None:
        """Keep connections out of a closed port until the next `open`."""
        self._end_block()
        self.blocked = how
        bound = self._reserved = self._reserved or self._bind()
        if how == "dropped":
            bound.listen(0)
            for _ in range(_PLUGS):
                plug = socket(bound.family)
                plug.setblocking(False)
                plug.connect_ex(bound.getsockname())
                self._plugs.append(plug)
        elif how in ("silent", "reset"):
            self._reserved = None
            self._firewall = await asyncio.get_running_loop().create_server(
                lambda: _Firewall(resets=how == "reset"), sock=bound
            )

    def release(self) -> None:
        """Give up the port."""
        self._end_block()
        if self._reserved:
            self._reserved.close()
            self._reserved = None

    def _accept(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        connection = self._connect()
        self.accepted.add(connection)
        return self._wrap(connection)

    def _end_block(self) -> None:
        """Close what a block holds, but keep a port that only refuses."""
        self.blocked = None
        if self._plugs and self._reserved:
            self._reserved.close()
            self._reserved = None
        while self._plugs:
            self._plugs.pop().close()
        firewall, self._firewall = self._firewall, None
        if firewall:
            firewall.close()
            firewall.abort_clients()

    def _bind(self) -> socket:
        # asyncio sets TCP_NODELAY only on a socket that was created with its protocol.
        family = AF_INET6 if ":" in self._host else AF_INET
        bound = socket(family, SOCK_STREAM, IPPROTO_TCP)
        try:
            bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind((self._host, self.number))
        except OSError as err:
            bound.close()
            text = f"port {self.number} is in use or not available"
            raise OSError(err.errno, text) from err
        return bound
