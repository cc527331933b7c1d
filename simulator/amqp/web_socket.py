"""AMQP within a WebSocket, for networks in which only port 443 is open.

Sources: RFC 6455, and OASIS AMQP WebSocket Binding 1.0 (AMQPWSB10).
"""

import asyncio
from base64 import b64encode
from hashlib import sha1
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from .connection import Connection

# Where the Service Bus serves AMQP within a WebSocket, and the name of that protocol.
PATH = "/$servicebus/websocket"
SUB_PROTOCOL = "AMQPWSB10"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Maximum sizes of the request that opens a WebSocket, and of a frame (octets).
_REQUEST_MAX = 16384
_FRAME_MAX = 1 << 20

_BINARY, _CLOSE, _PONG = 0x2, 0x8, 0xA
_FINAL = 0x80
_MASKED = 0x80
_CLOSE_OK = (1000).to_bytes(2)
_CLOSE_PROTOCOL_ERROR = (1002).to_bytes(2)


class _RequestError(Exception):
    """The request that opens a WebSocket is refused with a status."""

    def __init__(self, status: HTTPStatus) -> None:
        """Initialize the error."""
        super().__init__(status)
        self.status = status


class WebSocket(asyncio.Protocol):
    """A WebSocket whose binary frames carry the octets of an AMQP connection."""

    def __init__(self, connection: Connection) -> None:
        """Initialize the WebSocket of a connection."""
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request that opens the WebSocket."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End the AMQP connection."""
        self._transport = None
        if self._is_open:
            self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the socket accepts no more data."""
        if self._is_open:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Note that the socket has accepted all data."""
        if self._is_open:
            self._connection.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Process octets; invalid ones end the WebSocket."""
        self._buffer += data
        if not self._is_open:
            self._read_request()
        while self._is_open and self._transport and not self._transport.is_closing():
            if not self._read_frame():
                return

    def _read_request(self) -> None:
        """Answer the request that opens the WebSocket, once all of it has arrived."""
        assert self._transport
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            if len(self._buffer) > _REQUEST_MAX:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        try:
            key = _key_of(head.decode("latin-1"))
        except _RequestError as err:
            self._refuse(err.status)
            return
        accepted = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest())
        self._transport.write(
            _response(
                HTTPStatus.SWITCHING_PROTOCOLS,
                "Upgrade: websocket",
                "Connection: Upgrade",
                f"Sec-WebSocket-Accept: {accepted.decode()}",
                f"Sec-WebSocket-Protocol: {SUB_PROTOCOL}",
            )
        )
        self._buffer = rest
        self._is_open = True
        self._connection.connection_made(_FramedTransport(self._transport))

    def _refuse(self, status: HTTPStatus) -> None:
        """Refuse the request that opens a WebSocket."""
        assert self._transport
        self._transport.write(_response(status, "Content-Length: 0"))
        self._transport.close()

    def _read_frame(self) -> bool:
        """Process the next frame; return False until all of it has arrived."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length, start = buffer[1] & ~_MASKED, 2
        if length > 125:
            start += 2 if length == 126 else 8
            length = int.from_bytes(buffer[2:start])
        end = start + 4 + length
        if not buffer[1] & _MASKED or length > _FRAME_MAX:
            self._close(_CLOSE_PROTOCOL_ERROR)
            return False
        if len(buffer) < end:
            return False
        payload = _masked(buffer[start + 4 : end], buffer[start : start + 4])
        operation = buffer[0] & 0x0F
        del buffer[:end]
        self._process(operation, payload)
        return True

    def _process(self, operation: int, payload: bytes) -> None:
        """Process a frame. A connection that is half open answers nothing."""
        match operation:
            case 0x0 | 0x2:  # The continuation or the begin of a binary message.
                # AMQP is a stream, so it does not matter where a message of the WebSocket ends.
                self._connection.data_received(payload)
            case 0x8 if not self._connection.is_forgotten:
                self._close(payload[:2])
            case 0x9 if self._transport and not self._connection.is_forgotten:
                self._transport.write(frame(_PONG, payload))
            case 0x8 | 0x9 | 0xA:
                pass
            case _:
                self._close(_CLOSE_PROTOCOL_ERROR)

    def _close(self, code: bytes) -> None:
        """Close the WebSocket with a code."""
        if self._transport:
            self._transport.write(frame(_CLOSE, code))
            self._transport.close()


class _FramedTransport(asyncio.Transport):
    """The transport of the AMQP connection: what is written becomes a binary frame."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Initialize the transport over that of the WebSocket."""
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets in a frame."""
        self._transport.write(frame(_BINARY, bytes(data)))

    def close(self) -> None:
        """Close the WebSocket, and then the connection."""
        if not self._transport.is_closing():
            self._transport.write(frame(_CLOSE, _CLOSE_OK))
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the socket."""
        return self._transport.get_extra_info(name, default)

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Set when writing pauses."""
        self._transport.set_write_buffer_limits(high, low)


def frame(operation: int, payload: bytes) -> bytes:
    """Return a whole frame of a server."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2)
    else:
        length = b"\x7f" + size.to_bytes(8)
    return bytes([_FINAL | operation]) + length + payload


def _masked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Return a payload with its mask applied or removed."""
    size = len(payload)
    key = int.from_bytes((bytes(mask) * (size // 4 + 1))[:size])
    return (int.from_bytes(payload) ^ key).to_bytes(size)


def _key_of(head: str) -> str:
    """Return the key of a request that opens a WebSocket for AMQP.

    Raises:
        _RequestError: It is another request.
    """
    request, *lines = head.split("\r\n")
    method, _, rest = request.partition(" ")
    path = unquote(rest.partition(" ")[0])
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    if path != PATH:
        raise _RequestError(HTTPStatus.NOT_FOUND)
    protocols = headers.get("sec-websocket-protocol", "").split(",")
    key = headers.get("sec-websocket-key")
    if (
        method != "GET"
        or headers.get("upgrade", "").lower() != "websocket"
        or SUB_PROTOCOL not in map(str.strip, protocols)
        or not key
    ):
        raise _RequestError(HTTPStatus.BAD_REQUEST)
    return key


def _response(status: HTTPStatus, *headers: str) -> bytes:
    """Return the answer to the request that opens a WebSocket."""
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")
