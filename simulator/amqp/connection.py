"""One connection of a peer: protocol headers, SASL, open and close, heartbeats.

Source: OASIS AMQP 1.0, part 2 (Transport) and part 5 (Security).

A connection knows no queues: `Container.resolve` returns the `Node` of an address, and the node
sends or receives the messages.
"""

import asyncio
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Literal, Protocol

from .codec import AmqpError, Array, Symbol
from .performatives import (
    FRAME_AMQP,
    FRAME_SASL,
    MIN_MAX_FRAME_SIZE,
    Attach,
    Begin,
    Close,
    Composite,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Frame,
    FrameBuffer,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)
from .session import HANDLE_MAX, INCOMING_WINDOW, Link, Node, Session

# What Azure Service Bus announces.
MAX_FRAME_SIZE = 65536
CHANNEL_MAX = 4999
_MECHANISMS = ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL")

_SASL_HEADER = b"AMQP\x03\x01\x00\x00"
_AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
# Interval between two octets of a connection that dribbles (s).
_DRIBBLE_INTERVAL = 0.002
# A frame of an unknown type.
_GARBAGE = b"\x00\x00\x00\x10\x02\x7f\x00\x00" + b"\xde\xad\xbe\xef" * 2

# How far a connection has come: SASL has begun, it is to be opened, a session is to begin, a link
# to $cbs or to another node is to be attached, a peer has given credit, a message has been sent.
# (Receive-and-delete settles a message with its transfer.)
type Stage = Literal["sasl", "open", "begin", "cbs", "attach", "flow", "transfer"]
STAGES: tuple[Stage, ...] = (
    "sasl",
    "open",
    "begin",
    "cbs",
    "attach",
    "flow",
    "transfer",
)


class Container(Protocol):
    """The server that the connections belong to."""

    frozen: bool
    dribbles: bool
    idle_timeout: float
    stall_sasl: bool

    def connected(self, connection: Connection) -> None:
        """Add a new connection."""

    def disconnected(self, connection: Connection) -> None:
        """Remove a connection, whose links are detached."""

    def drained(self) -> None:
        """Note that a connection can be written to again."""

    def reached(self, connection: Connection, stage: Stage) -> bool:
        """Note the stage of a connection; return whether the connection breaks there."""

    def resolve(self, session: Session, attach: Attach) -> Node | None:
        """Return the node that a peer attaches to; None to never answer.

        Raises:
            AmqpError: The link is refused.
        """


class Connection(asyncio.Protocol):
    """The connection of one peer.

    Attributes:
        max_frame_size: Octets that a frame to the peer may have.
        nodes: Nodes that serve this connection alone; the container's.
    """

    def __init__(self, container: Container) -> None:
        """Initialize the connection."""
        self.container = container
        self.max_frame_size = MIN_MAX_FRAME_SIZE
        self.nodes: dict[str, Node] = {}
        self._sessions: dict[int, Session] = {}
        # The client sends a few frames on a channel after it has ended its session.
        self._ended: set[int] = set()
        self._transport: asyncio.Transport | None = None
        self._buffer = FrameBuffer(MAX_FRAME_SIZE)
        # The protocol header that is expected; None while frames are.
        self._header: bytes | None = _SASL_HEADER
        self._authenticated = False
        self._opened = False
        self._full = False
        self._forgotten = False
        self._held = bytearray()
        self._dribbling: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._heartbeat: asyncio.TimerHandle | None = None
        self._idle_check: asyncio.TimerHandle | None = None

    @property
    def writable(self) -> bool:
        """Whether what is sent now leaves at once."""
        return not (
            self._full
            or self._forgotten
            or self.container.frozen
            or self._transport is None
            or self._transport.is_closing()
        )

    @property
    def is_forgotten(self) -> bool:
        """Whether the connection is half open: see `forget`."""
        return self._forgotten

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return (
            not self._full
            and not self._held
            and all(session.idle for session in self._sessions.values())
        )

    @property
    def links(self) -> list[Link]:
        """The links that are attached."""
        return [
            link
            for session in self._sessions.values()
            for link in session.links.values()
            if not link.closed
        ]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with the peer's transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # The buffer then counts as full while any octet waits to be sent.
        transport.set_write_buffer_limits(high=1, low=0)
        self.container.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up after the peer's connection has ended."""
        self._transport = None
        for timer in (self._heartbeat, self._idle_check, self._dribbling):
            if timer:
                timer.cancel()
        self._end_sessions()
        self.container.disconnected(self)

    def pause_writing(self) -> None:
        """Note that the socket accepts no more data."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that the socket has accepted all data."""
        self._full = False
        self._pump()
        self.container.drained()

    def data_received(self, data: bytes) -> None:
        """Process octets; invalid ones end the connection."""
        self._heard_at = asyncio.get_running_loop().time()
        self._buffer.feed(data)
        if not (self.container.frozen or self._forgotten):
            self._read()

    def forget(self) -> None:
        """Leave the connection half open: nothing is sent or received any more."""
        self._forgotten = True
        self._buffer.clear()

    def thaw(self) -> None:
        """Continue after the container was frozen."""
        held, self._held = bytes(self._held), bytearray()
        self._heard_at = asyncio.get_running_loop().time()
        self._write(held)
        self._read()
        self._pump()

    def send(
        self, performative: Composite, *, channel: int = 0, payload: bytes = b""
    ) -> None:
        """Send a frame."""
        self._write(Frame(FRAME_AMQP, channel, performative, payload).encode())

    def resolve(self, session: Session, attach: Attach) -> Node | None:
        """Return the node that a peer attaches to; None to never answer.

        Raises:
            AmqpError: The link is refused.
        """
        return self.container.resolve(session, attach)

    def transferred(self) -> None:
        """Notify the container that a message was sent."""
        self.container.reached(self, "transfer")

    def send_garbage(self) -> None:
        """Send octets that are not AMQP."""
        self._write(_GARBAGE)

    def drop(self, *, reset: bool) -> None:
        """Close the connection without an AMQP close, by RST or by FIN."""
        if self._transport is None:
            return
        if reset:
            # A TLS connection that its peer has just closed has no socket any more.
            if (socket := self._transport.get_extra_info("socket")) is not None:
                socket.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    def close(self, error: AmqpError | None = None) -> None:
        """Close the connection with an AMQP close."""
        if self._opened:
            self.send(Close(Error.of(error)))
        if self._transport:
            self._transport.close()

    def _write(self, octets: bytes) -> None:
        if self._forgotten:
            return
        if self.container.frozen:
            self._held += octets
        elif self.container.dribbles or self._dribbling:
            self._held += octets
            if not self._dribbling:
                self._dribble()
        elif octets and self._transport and not self._transport.is_closing():
            self._transport.write(octets)

    def _dribble(self) -> None:
        """Send one octet, and the next one soon; send all when the container has stopped dribbling."""
        self._dribbling = None
        if self.container.frozen or self._transport is None:
            return
        count = 1 if self.container.dribbles else len(self._held)
        octets, self._held = bytes(self._held[:count]), self._held[count:]
        if octets and not self._transport.is_closing():
            self._transport.write(octets)
        if self._held:
            loop = asyncio.get_running_loop()
            self._dribbling = loop.call_later(_DRIBBLE_INTERVAL, self._dribble)

    def _pump(self) -> None:
        for session in list(self._sessions.values()):
            session.pump()

    def _end_sessions(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.end()

    def _read(self) -> None:
        """Process the received octets."""
        try:
            while self._transport and not self._transport.is_closing():
                if self._header:
                    if (header := self._buffer.protocol_header()) is None:
                        return
                    self._protocol_header(header)
                else:
                    if (frame := self._buffer.frame()) is None:
                        return
                    self._frame(frame)
        except AmqpError as err:
            self._buffer.clear()
            self.close(err)

    def _protocol_header(self, header: bytes) -> None:
        if self.container.stall_sasl:
            self._buffer.clear()
            return
        # An unexpected header is answered with the expected one.
        expected, self._header = self._header, None
        self._write(expected or b"")
        if header != expected:
            self.close()
        elif expected == _SASL_HEADER:
            mechanisms = SaslMechanisms(Array(map(Symbol, _MECHANISMS)))
            self._write(Frame(FRAME_SASL, 0, mechanisms, b"").encode())

    def _frame(self, frame: Frame) -> None:
        if frame.performative is None:
            return
        if self._authenticated != (frame.kind == FRAME_AMQP):
            raise AmqpError("amqp:connection:framing-error", "Frame out of turn")
        stage = _stage(frame.performative)
        if stage and self.container.reached(self, stage):
            return
        match frame.performative:
            case SaslInit(mechanism):
                self._authenticate(mechanism)
            case Open() as open_ if not self._opened:
                self._open(open_)
            case _ if not self._opened:
                raise AmqpError("amqp:not-allowed", "The connection is not open")
            case Begin() as begin:
                self._begin(frame.channel, begin)
            case Close():
                self.close()
            case _:
                self._session_frame(frame)

    def _authenticate(self, mechanism: str) -> None:
        """Accept a mechanism; claims authenticate later. PLAIN is announced but refused."""
        outcome = SaslOutcome(
            0 if mechanism in _MECHANISMS and mechanism != "PLAIN" else 1
        )
        self._write(Frame(FRAME_SASL, 0, outcome, b"").encode())
        if outcome.code:
            self.close()
        else:
            self._authenticated = True
            self._header = _AMQP_HEADER

    def _open(self, open_: Open) -> None:
        self._opened = True
        idle_timeout = self.container.idle_timeout
        self.send(
            Open(
                "service-bus",
                max_frame_size=MAX_FRAME_SIZE,
                channel_max=CHANNEL_MAX,
                idle_time_out=int(idle_timeout * 1000) or None,
            )
        )
        if open_.max_frame_size < MIN_MAX_FRAME_SIZE:
            raise AmqpError("amqp:invalid-field", "max-frame-size is below 512")
        self.max_frame_size = min(open_.max_frame_size, MAX_FRAME_SIZE)
        if idle_timeout:
            self._watch(idle_timeout)
        if open_.idle_time_out:
            # Send heartbeats twice as often as the peer requires.
            self._beat_after(open_.idle_time_out / 2000)

    def _begin(self, channel: int, begin: Begin) -> None:
        if channel > CHANNEL_MAX or channel in self._sessions:
            raise AmqpError("amqp:not-allowed", f"Channel {channel}")
        self._ended.discard(channel)
        self._sessions[channel] = Session(self, channel, begin)
        answer = Begin(channel, 0, INCOMING_WINDOW, INCOMING_WINDOW, HANDLE_MAX)
        self.send(answer, channel=channel)

    def _session_frame(self, frame: Frame) -> None:
        session = self._sessions.get(frame.channel)
        if session is None:
            if frame.channel in self._ended:
                return
            raise AmqpError(
                "amqp:not-allowed", f"Channel {frame.channel} has no session"
            )
        match frame.performative:
            case Attach() as attach:
                session.attach(attach)
            case Flow() as flow:
                session.flow(flow)
            case Transfer() as transfer:
                session.incoming_transfer(transfer, frame.payload)
            case Disposition() as disposition:
                session.disposition(disposition)
            case Detach() as detach:
                session.detach(detach)
            case End():
                del self._sessions[frame.channel]
                self._ended.add(frame.channel)
                session.end()
                self.send(End(), channel=frame.channel)
            case _:
                raise AmqpError("amqp:not-allowed", "No such performative here")

    def _beat_after(self, interval: float) -> None:
        """Send a heartbeat after some seconds, and repeat it."""
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(interval, self._beat, interval)

    def _beat(self, interval: float) -> None:
        if not self.container.frozen:
            self._write(Frame(FRAME_AMQP, 0, None, b"").encode())
        self._beat_after(interval)

    def _watch(self, idle_timeout: float) -> None:
        """Close the connection when the peer was silent for twice the announced timeout."""
        loop = asyncio.get_running_loop()
        deadline = self._heard_at + 2 * idle_timeout
        if self.container.frozen:
            deadline = loop.time() + 2 * idle_timeout
        if loop.time() >= deadline:
            self.close(
                AmqpError("amqp:connection:forced", "The connection was inactive")
            )
        else:
            self._idle_check = loop.call_at(deadline, self._watch, idle_timeout)


def _stage(performative: Composite) -> Stage | None:
    """Return the stage that a peer's frame begins."""
    match performative:
        case SaslInit():
            return "sasl"
        case Open():
            return "open"
        case Begin():
            return "begin"
        case Attach() as attach:
            return "cbs" if attach.address.endswith("$cbs") else "attach"
        case Flow() as flow if flow.handle is not None:
            return "flow"
    return None
