"""The composite types that AMQP peers exchange, and the frames that carry them.

Source: OASIS AMQP 1.0, part 2 (Transport), part 3 (Messaging) and part 5 (Security).

Composites are always encoded with all their fields: azure-servicebus up to 7.14.3 indexes them
blindly. Every descriptor has the form 00 53 xx, the only one that the client reads.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from .codec import (
    AmqpError,
    Array,
    DecodeError,
    Decoder,
    Described,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    encode,
)

FRAME_AMQP = 0
FRAME_SASL = 1
_HEADER_SIZE = 8
# Size of a frame that each side may send before the other has announced its limit.
MIN_MAX_FRAME_SIZE = 512


def _as(
    kind: type | None = None, default: Any = None, *, required: bool = False
) -> Any:
    """Declare a field.

    Args:
        kind: Its AMQP type; None for any.
        default: Its value when the peer omits it.
        required: Whether the peer must send it.
    """
    return field(default=default, metadata={"kind": kind, "required": required})


@dataclass(slots=True)
class Composite:
    """A described list with named fields."""

    CODE: ClassVar[int]
    KINDS: ClassVar[dict[int, type[Composite]]] = {}

    def __init_subclass__(cls) -> None:
        """Register the class by its descriptor."""
        # With slots, a dataclass is created twice; the second class is the one that is used.
        Composite.KINDS[cls.CODE] = cls

    def encode(self) -> bytes:
        """Return its octets."""
        return encode(self.described())

    def described(self) -> Described:
        """Return the value as it is encoded: a descriptor and a list of fields."""
        values = []
        for each in fields(self):
            value = getattr(self, each.name)
            kind = each.metadata["kind"]
            if isinstance(value, Composite):
                value = value.described()
            elif value is not None and kind and not isinstance(value, kind):
                value = kind(value)
            values.append(value)
        return Described(ULong(self.CODE), values)

    @classmethod
    def from_fields(cls, values: list[Any]) -> Self:
        """Return the composite of a decoded list.

        Raises:
            DecodeError: The list is too long, or a field has the wrong type or is missing.
        """
        declared = fields(cls)
        if len(values) > len(declared):
            raise DecodeError(f"{cls.__name__} has {len(declared)} fields")
        known = {}
        for each, value in zip(declared, values, strict=False):
            if value is None:
                continue
            kind = each.metadata["kind"]
            value = compose(value)
            if kind and not isinstance(value, kind):
                raise DecodeError(f"{cls.__name__}.{each.name} is no {kind.__name__}")
            known[each.name] = value
        for each in declared:
            if each.metadata["required"] and each.name not in known:
                raise DecodeError(f"{cls.__name__} has no {each.name}")
        return cls(**known)


def compose(value: Any) -> Any:
    """Return the composite that a described list stands for; anything else as it is."""
    if isinstance(value, Described) and isinstance(value.descriptor, ULong):
        kind = Composite.KINDS.get(value.descriptor)
        if (
            kind
            and isinstance(value.value, list)
            and not isinstance(value.value, Array)
        ):
            return kind.from_fields(value.value)
    return value


@dataclass(slots=True)
class Open(Composite):
    """Start a connection."""

    CODE = 0x10
    container_id: str = _as(str, "", required=True)
    hostname: str | None = _as(str)
    max_frame_size: int = _as(UInt, 0xFFFFFFFF)
    channel_max: int = _as(UShort, 0xFFFF)
    idle_time_out: int | None = _as(UInt)
    outgoing_locales: Any = _as()
    incoming_locales: Any = _as()
    offered_capabilities: Any = _as()
    desired_capabilities: Any = _as()
    properties: dict[Any, Any] | None = _as(dict)


@dataclass(slots=True)
class Begin(Composite):
    """Start a session."""

    CODE = 0x11
    remote_channel: int | None = _as(UShort)
    next_outgoing_id: int = _as(UInt, 0, required=True)
    incoming_window: int = _as(UInt, 0, required=True)
    outgoing_window: int = _as(UInt, 0, required=True)
    handle_max: int = _as(UInt, 0xFFFFFFFF)
    offered_capabilities: Any = _as()
    desired_capabilities: Any = _as()
    properties: dict[Any, Any] | None = _as(dict)


@dataclass(slots=True)
class Source(Composite):
    """Where messages come from."""

    CODE = 0x28
    address: str | None = _as(str)
    durable: int = _as(UInt, 0)
    expiry_policy: str | None = _as()
    timeout: int = _as(UInt, 0)
    dynamic: bool = _as(bool, default=False)
    dynamic_node_properties: Any = _as()
    distribution_mode: Any = _as()
    filter: Any = _as()
    default_outcome: Any = _as()
    outcomes: Any = _as()
    capabilities: Any = _as()


@dataclass(slots=True)
class Target(Composite):
    """Where messages go to."""

    CODE = 0x29
    address: str | None = _as(str)
    durable: int = _as(UInt, 0)
    expiry_policy: str | None = _as()
    timeout: int = _as(UInt, 0)
    dynamic: bool = _as(bool, default=False)
    dynamic_node_properties: Any = _as()
    capabilities: Any = _as()


@dataclass(slots=True)
class Attach(Composite):
    """Start a link; `role` is True for a receiver."""

    CODE = 0x12
    name: str = _as(str, "", required=True)
    handle: int = _as(UInt, 0, required=True)
    role: bool = _as(bool, default=False, required=True)
    snd_settle_mode: int = _as(UByte, 2)
    rcv_settle_mode: int = _as(UByte, 0)
    source: Source | None = _as(Source)
    target: Target | None = _as(Target)
    unsettled: dict[Any, Any] | None = _as(dict)
    incomplete_unsettled: bool = _as(bool, default=False)
    initial_delivery_count: int | None = _as(UInt)
    max_message_size: int | None = _as(ULong)
    offered_capabilities: Any = _as()
    desired_capabilities: Any = _as()
    properties: dict[Any, Any] | None = _as(dict)

    @property
    def address(self) -> str:
        """Address at the receiver of this performative; empty if there is none."""
        terminus = self.source if self.role else self.target
        return (terminus and terminus.address) or ""


@dataclass(slots=True)
class Flow(Composite):
    """Announce the window of a session and the credit of a link."""

    CODE = 0x13
    next_incoming_id: int | None = _as(UInt)
    incoming_window: int = _as(UInt, 0, required=True)
    next_outgoing_id: int = _as(UInt, 0, required=True)
    outgoing_window: int = _as(UInt, 0, required=True)
    handle: int | None = _as(UInt)
    delivery_count: int | None = _as(UInt)
    link_credit: int | None = _as(UInt)
    available: int | None = _as(UInt)
    drain: bool = _as(bool, default=False)
    echo: bool = _as(bool, default=False)
    properties: dict[Any, Any] | None = _as(dict)


@dataclass(slots=True)
class Transfer(Composite):
    """Carry a message, or a part of one."""

    CODE = 0x14
    handle: int = _as(UInt, 0, required=True)
    delivery_id: int | None = _as(UInt)
    delivery_tag: bytes | None = _as(bytes)
    message_format: int | None = _as(UInt)
    settled: bool = _as(bool, default=False)
    more: bool = _as(bool, default=False)
    rcv_settle_mode: int | None = _as(UByte)
    state: Any = _as()
    resume: bool = _as(bool, default=False)
    aborted: bool = _as(bool, default=False)
    batchable: bool = _as(bool, default=False)


@dataclass(slots=True)
class Disposition(Composite):
    """Report the outcome of deliveries; `role` is True if the receiver reports it."""

    CODE = 0x15
    role: bool = _as(bool, default=False, required=True)
    first: int = _as(UInt, 0, required=True)
    last: int | None = _as(UInt)
    settled: bool = _as(bool, default=False)
    state: Any = _as()
    batchable: bool = _as(bool, default=False)


@dataclass(slots=True)
class Error(Composite):
    """Why a link, session or connection ended."""

    CODE = 0x1D
    condition: str = _as(Symbol, "", required=True)
    description: str | None = _as(str)
    info: dict[Any, Any] | None = _as(dict)

    @classmethod
    def of(cls, error: AmqpError | None) -> Self | None:
        """Return the error to send for an exception, None for none."""
        return cls(error.condition, error.description) if error else None


@dataclass(slots=True)
class Detach(Composite):
    """End a link."""

    CODE = 0x16
    handle: int = _as(UInt, 0, required=True)
    closed: bool = _as(bool, default=False)
    error: Error | None = _as(Error)


@dataclass(slots=True)
class End(Composite):
    """End a session."""

    CODE = 0x17
    error: Error | None = _as(Error)


@dataclass(slots=True)
class Close(Composite):
    """End a connection."""

    CODE = 0x18
    error: Error | None = _as(Error)


@dataclass(slots=True)
class Received(Composite):
    """A delivery is on its way."""

    CODE = 0x23
    section_number: int = _as(UInt, 0, required=True)
    section_offset: int = _as(ULong, 0, required=True)


@dataclass(slots=True)
class Accepted(Composite):
    """A delivery was processed."""

    CODE = 0x24


@dataclass(slots=True)
class Rejected(Composite):
    """A delivery was invalid."""

    CODE = 0x25
    error: Error | None = _as(Error)


@dataclass(slots=True)
class Released(Composite):
    """A delivery was not processed."""

    CODE = 0x26


@dataclass(slots=True)
class Modified(Composite):
    """A delivery was not processed, and has changed."""

    CODE = 0x27
    delivery_failed: bool = _as(bool, default=False)
    undeliverable_here: bool = _as(bool, default=False)
    message_annotations: dict[Any, Any] | None = _as(dict)


@dataclass(slots=True)
class SaslMechanisms(Composite):
    """The mechanisms that the server offers."""

    CODE = 0x40
    sasl_server_mechanisms: Array = _as(Array, required=True)


@dataclass(slots=True)
class SaslInit(Composite):
    """The mechanism that the client has chosen."""

    CODE = 0x41
    mechanism: str = _as(Symbol, "", required=True)
    initial_response: bytes | None = _as(bytes)
    hostname: str | None = _as(str)


@dataclass(slots=True)
class SaslOutcome(Composite):
    """The result; 0 is success."""

    CODE = 0x44
    code: int = _as(UByte, 0, required=True)
    additional_data: bytes | None = _as(bytes)


@dataclass(slots=True)
class Header(Composite):
    """How a message is delivered; `ttl` in milliseconds."""

    CODE = 0x70
    durable: bool = _as(bool, default=False)
    priority: int = _as(UByte, 4)
    ttl: int | None = _as(UInt)
    first_acquirer: bool = _as(bool, default=False)
    delivery_count: int = _as(UInt, 0)


@dataclass(slots=True)
class Properties(Composite):
    """The properties of a message."""

    CODE = 0x73
    message_id: Any = _as()
    user_id: bytes | None = _as(bytes)
    to: str | None = _as()
    subject: str | None = _as(str)
    reply_to: str | None = _as()
    correlation_id: Any = _as()
    content_type: str | None = _as(Symbol)
    content_encoding: str | None = _as(Symbol)
    absolute_expiry_time: int | None = _as(Timestamp)
    creation_time: int | None = _as(Timestamp)
    group_id: str | None = _as(str)
    group_sequence: int | None = _as(UInt)
    reply_to_group_id: str | None = _as(str)


@dataclass(slots=True)
class Frame:
    """One frame; without a performative it is a heartbeat."""

    kind: int
    channel: int
    performative: Composite | None
    payload: bytes

    def encode(self) -> bytes:
        """Return its octets."""
        body = (self.performative.encode() if self.performative else b"") + self.payload
        size = _HEADER_SIZE + len(body)
        return (
            size.to_bytes(4) + bytes((2, self.kind)) + self.channel.to_bytes(2) + body
        )


class FrameBuffer:
    """Splits received octets into protocol headers and frames."""

    def __init__(self, max_frame_size: int) -> None:
        """Initialize an empty buffer.

        Args:
            max_frame_size: Octets that a frame may have at most.
        """
        self._octets = bytearray()
        self._max_frame_size = max_frame_size

    def feed(self, octets: bytes) -> None:
        """Add octets."""
        self._octets += octets

    def clear(self) -> None:
        """Drop the octets."""
        self._octets.clear()

    def protocol_header(self) -> bytes | None:
        """Return a protocol header of 8 octets, None if it is not complete yet."""
        return self._cut(_HEADER_SIZE) if len(self._octets) >= _HEADER_SIZE else None

    def frame(self) -> Frame | None:
        """Return a frame, None if it is not complete yet.

        Raises:
            DecodeError: The octets are not a frame.
        """
        if len(self._octets) < _HEADER_SIZE:
            return None
        size = int.from_bytes(self._octets[:4])
        offset = self._octets[4] * 4
        if not _HEADER_SIZE <= offset <= size <= self._max_frame_size:
            raise DecodeError("A frame's size cannot be")
        if len(self._octets) < size:
            return None
        octets = self._cut(size)
        kind, channel = octets[5], int.from_bytes(octets[6:8])
        if kind not in (FRAME_AMQP, FRAME_SASL):
            raise DecodeError("A frame's type is unknown")
        body = Decoder(octets[offset:])
        if not body:
            return Frame(kind, channel, None, b"")
        performative = compose(body.value())
        if not isinstance(performative, Composite):
            raise DecodeError("A frame holds no performative")
        return Frame(kind, channel, performative, body.rest())

    def _cut(self, size: int) -> bytes:
        octets = bytes(self._octets[:size])
        del self._octets[:size]
        return octets
