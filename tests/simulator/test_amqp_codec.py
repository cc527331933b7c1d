"""Tests of AMQP types, performatives, frames and messages."""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from simulator.amqp.codec import (
    AmqpError,
    Array,
    Byte,
    Char,
    Decimal,
    DecodeError,
    Decoder,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    encode,
)
from simulator.amqp.message import Message
from simulator.amqp.performatives import (
    FRAME_AMQP,
    Accepted,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    Error,
    Flow,
    Frame,
    FrameBuffer,
    Header,
    Open,
    Properties,
    Rejected,
    Source,
    Target,
    Transfer,
    compose,
)

SOME_UUID = UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")

# Octets written by hand after the specification, part 1, section 1.6.
ENCODINGS: list[tuple[Any, str]] = [
    (None, "40"),
    (True, "41"),
    (False, "42"),
    (UByte(200), "50 c8"),
    (UShort(0x1234), "60 1234"),
    (UInt(0), "43"),
    (UInt(255), "52 ff"),
    (UInt(256), "70 00000100"),
    (UInt(0xFFFFFFFF), "70 ffffffff"),
    (ULong(0), "44"),
    (ULong(0x24), "53 24"),
    (ULong(256), "80 0000000000000100"),
    (Byte(-2), "51 fe"),
    (Short(-2), "61 fffe"),
    (Int(-128), "54 80"),
    (Int(200), "71 000000c8"),
    (127, "55 7f"),
    (-1, "55 ff"),
    (128, "81 0000000000000080"),
    (Float(0.5), "72 3f000000"),
    (-0.25, "82 bfd0000000000000"),
    (Decimal(bytes(range(4))), "74 00010203"),
    (Decimal(bytes(range(8))), "84 0001020304050607"),
    (Decimal(bytes(range(16))), "94 000102030405060708090a0b0c0d0e0f"),
    (Char("⚡"), "73 000026a1"),
    (Timestamp(1311704463521), "83 0000013167adb8a1"),
    (Timestamp(-1), "83 ffffffffffffffff"),
    (SOME_UUID, "98 f81d4fae7dec11d0a76500a0c91e6bf6"),
    (b"", "a0 00"),
    (b"\x01\x02", "a0 02 0102"),
    ("blå", "a1 04 626cc3a5"),
    (Symbol("amqp"), "a3 04 616d7170"),
    ([], "45"),
    ([1, "a", None], "c0 07 03 5501 a10161 40"),
    ({}, "c1 01 00"),
    ({"a": UInt(1)}, "c1 06 02 a10161 5201"),
    (
        Array([Symbol("a"), Symbol("bc")]),
        "e0 0d 02 b3 00000001 61 00000002 6263",
    ),
    (Described(ULong(0x24), []), "00 53 24 45"),
    (Described(Symbol("x:y"), [True]), "00 a3 03 783a79 c0 02 01 41"),
]


def decode(octets: bytes) -> Any:
    """Decode one value that takes all octets."""
    decoder = Decoder(octets)
    value = decoder.value()
    assert not decoder
    return value


@pytest.mark.parametrize(("value", "octets"), ENCODINGS)
def test_octets_of_every_type(value: Any, octets: str) -> None:
    """Every type has the octets of the specification, and comes back as the same type."""
    assert encode(value) == bytes.fromhex(octets)
    decoded = decode(bytes.fromhex(octets))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("56 00", False),
        ("56 01", True),
        ("70 00000001", UInt(1)),
        ("80 0000000000000001", ULong(1)),
        ("71 00000001", Int(1)),
        ("81 0000000000000001", 1),
        ("b0 00000001 ff", b"\xff"),
        ("b1 00000001 61", "a"),
        ("b3 00000001 61", Symbol("a")),
        ("d0 00000006 00000001 5501", [1]),
        ("e0 04 02 a0 00 00", Array([b"", b""])),
        ("e0 04 02 50 01 02", Array([UByte(1), UByte(2)])),
        ("e0 02 03 40", Array([None] * 3)),
        ("e0 01 00", Array()),
        ("e0 02 00 40", Array()),
        ("f0 00000007 00000002 56 01 00", Array([True, False])),
        (
            "e0 07 02 00 5327 50 01 02",
            Array([Described(ULong(0x27), UByte(n)) for n in (1, 2)]),
        ),
    ],
)
def test_other_encodings_are_read(octets: str, value: Any) -> None:
    """A peer may use any constructor of a type; sizes have to agree."""
    assert decode(bytes.fromhex(octets)) == value


@pytest.mark.parametrize("length", [0, 1, 248, 249, 254, 255, 256, 70_000])
@pytest.mark.parametrize("make", [bytes, lambda n: "x" * n, lambda n: Symbol("x" * n)])
def test_texts_of_any_length(make: Any, length: int) -> None:
    """Texts and binaries change their constructor at 256 octets."""
    value = make(length)
    octets = encode(value)
    assert len(octets) == length + (2 if length < 256 else 5)
    assert decode(octets) == value


@pytest.mark.parametrize("count", [0, 1, 126, 127, 128, 254, 255, 256, 5000])
def test_compounds_of_any_size(count: int) -> None:
    """Lists, maps and arrays round-trip on both sides of the limits of a one-octet size."""
    for value in (
        [UInt(200)] * count,
        dict.fromkeys(range(count), "v"),
        Array([UShort(7)] * count),
        [None] * count,
    ):
        decoded = decode(encode(value))
        assert decoded == value
        assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        Array(),
        Array([None, None]),
        Array([True, False]),
        Array([UInt(0), UInt(1), UInt(70_000)]),
        Array(["a", "b" * 300]),
        Array([[1, 2], []]),
        Array([{1: 2}, {}]),
        Array([SOME_UUID]),
        Array([Array([1]), Array(["a"])]),
    ],
)
def test_arrays(array: Array) -> None:
    """The elements of an array share one constructor, whatever their size."""
    assert decode(encode(array)) == array


@pytest.mark.parametrize(
    "value",
    [
        UInt(1 << 32),
        UInt(-1),
        UByte(256),
        1 << 63,
        Float(1e300),
        Char("ab"),
        Decimal(b"123"),
        object(),
        Array([1, "a"]),
    ],
)
def test_what_has_no_octets(value: Any) -> None:
    """Values out of their type's range, or of no AMQP type, are refused."""
    with pytest.raises(ValueError):
        encode(value)


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "00",
        "00 53 24",
        "3f",
        "ff",
        "70 0000",
        "56 02",
        "98 00",
        "a0 05 00",
        "a1 01 ff",
        "a3 01 e9",
        "73 00110000",
        "73 ffffffff",
        "b0 ffffffff 00",
        "c0 01",
        "c0 02 02 40",
        "c0 03 01 40 40",
        "c1 04 01 5501 40",
        "c1 05 02 45 5501 40",
        "c1 04 02 45 40 40",
        "d0 00000004 ffffffff",
        "d0 ffffffff 00000001 40",
        "f0 00000005 00ffffff 40",
        "d1 00000007 00000002 4041 ff",
        "e0 03 01 c1 00",
        "c0 03 01 00 53",
    ],
)
def test_octets_that_are_no_value(octets: str) -> None:
    """Anything malformed raises a decode error and nothing else."""
    with pytest.raises(DecodeError) as raised:
        decode(bytes.fromhex(octets))
    assert raised.value.condition == "amqp:decode-error"


def test_nesting_and_counts_are_bounded() -> None:
    """Endless nesting, or counts without octets, cost neither stack nor memory."""
    nested: Any = 1
    for _ in range(20):
        nested = [nested]
    assert decode(encode(nested)) == nested
    with pytest.raises(DecodeError, match="deep"):
        decode(b"\x00" * 5000)
    arrays = b"\x40"
    for _ in range(3000):
        arrays = b"\xf0" + (len(arrays) + 4).to_bytes(4) + (1).to_bytes(4) + arrays
    with pytest.raises(DecodeError, match="deep"):
        decode(arrays)
    nulls = b"\xf0\x00\x00\x00\x05\x00\x00\xff\xff\x40"
    bomb = len(nulls) * 100 + 4
    with pytest.raises(DecodeError, match="Too many"):
        decode(b"\xd0" + bomb.to_bytes(4) + (100).to_bytes(4) + nulls * 100)


def test_random_octets_raise_nothing_else() -> None:
    """Whatever comes, decoding ends with a value or with a decode error."""
    random = Random(1)
    valid = [encode(value) for value, _ in ENCODINGS] * 2
    for _ in range(3000):
        octets = bytearray(
            random.choice(valid) + random.randbytes(random.randrange(12))
        )
        octets[random.randrange(len(octets))] = random.randrange(256)
        try:
            Decoder(bytes(octets)).value()
        except DecodeError:
            continue


PERFORMATIVES: list[tuple[Any, int]] = [
    (
        Open(
            "me",
            max_frame_size=512,
            idle_time_out=120000,
            properties={Symbol("a"): "b"},
        ),
        10,
    ),
    (Begin(1, 0, 5000, 5000, 255), 8),
    (
        Attach(
            "link",
            3,
            role=True,
            snd_settle_mode=1,
            source=Source(
                "sb://h/t/Subscriptions/default", outcomes=Array([Symbol("x")])
            ),
            target=Target("there"),
            initial_delivery_count=0,
        ),
        14,
    ),
    (Flow(0, 10, 0, 10, 1, 0, 21, drain=True), 11),
    (Transfer(0, 1, b"t" * 16, 0, settled=True), 11),
    (Disposition(role=True, first=1, last=2, settled=True, state=Accepted()), 6),
    (Disposition(role=True, first=1, state=Rejected(Error("amqp:x", "why"))), 6),
    (
        Detach(
            1, closed=True, error=Error("amqp:link:detach-forced", "", {Symbol("k"): 1})
        ),
        3,
    ),
    (Close(), 1),
]


@pytest.mark.parametrize(("performative", "count"), PERFORMATIVES)
def test_performatives_round_trip_at_full_length(performative: Any, count: int) -> None:
    """A performative has all its fields on the wire, a descriptor 00 53 xx, and comes back."""
    octets = performative.encode()
    assert octets[:3] == bytes((0x00, 0x53, performative.CODE))
    raw = decode(octets)
    assert len(raw.value) == count
    assert compose(raw) == performative


def test_fields_that_are_left_out_have_their_defaults() -> None:
    """A peer may leave out fields at the end, or send null, for the default."""
    assert compose(decode(bytes.fromhex("00 53 10 c0 04 01 a1 01 61"))) == Open("a")
    short = decode(bytes.fromhex("00 53 10 c0 06 03 a1 01 61 40 40"))
    assert compose(short).max_frame_size == 0xFFFFFFFF
    assert compose(decode(bytes.fromhex("00 53 18 45"))) == Close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "no container_id"),
        ([None], "no container_id"),
        (["a"] + [None] * 10, "has 10 fields"),
        ([1], "container_id is no str"),
        (["a", None, 512], "max_frame_size is no UInt"),
        (["a", None, None, None, "soon"], "idle_time_out is no UInt"),
    ],
)
def test_fields_that_cannot_be(fields: list[Any], message: str) -> None:
    """Fields that are missing, too many or of another type are malformed."""
    with pytest.raises(DecodeError, match=message):
        compose(Described(ULong(0x10), fields))


def test_frames_come_in_pieces() -> None:
    """Frames are cut from octets however these arrive; the payload follows the performative."""
    frames = [
        Frame(FRAME_AMQP, 1, Transfer(0, 5, b"tag"), b"payload"),
        Frame(FRAME_AMQP, 0, None, b""),
        Frame(FRAME_AMQP, 65535, Close(), b""),
    ]
    octets = b"".join(frame.encode() for frame in frames)
    assert frames[1].encode() == bytes.fromhex("00000008 02 00 0000")
    buffer = FrameBuffer(65536)
    received = []
    for octet in octets:
        buffer.feed(bytes((octet,)))
        while frame := buffer.frame():
            received.append(frame)
    assert received == frames


def test_extended_headers_are_skipped() -> None:
    """A data offset of more than 2 words skips what the header has beyond."""
    buffer = FrameBuffer(512)
    buffer.feed(bytes.fromhex("00000010 03 00 0007 ffffffff 00531845"))
    assert buffer.frame() == Frame(FRAME_AMQP, 7, Close(), b"")


@pytest.mark.parametrize(
    "octets",
    [
        "00000007 02 00 0000",
        "00000008 01 00 0000",
        "00000008 03 00 0000",
        "00000201 02 00 0000",
        "ffffffff 02 00 0000",
        "00000008 02 02 0000",
        "00000009 02 00 0000 40",
        "0000000b 02 00 0000 005318",
        "0000000c 02 00 0000 00537f45",
        "474554202f20485454502f312e31",
    ],
)
def test_frames_that_cannot_be(octets: str) -> None:
    """Sizes, offsets, types and bodies that cannot be are malformed."""
    buffer = FrameBuffer(512)
    buffer.feed(bytes.fromhex(octets))
    with pytest.raises(AmqpError):
        buffer.frame()


def test_messages() -> None:
    """A message has its sections in the specified order, and comes back."""
    message = Message(
        header=Header(durable=True, ttl=300_000),
        annotations={Symbol("x-opt-sequence-number"): 1 << 40},
        properties=Properties(message_id="id", creation_time=1),
        application_properties={"a": 1},
        data=b"body",
    )
    octets = message.encode()
    descriptors = []
    decoder = Decoder(octets)
    while decoder:
        descriptors.append(decoder.value().descriptor)
    assert descriptors == [0x70, 0x72, 0x73, 0x74, 0x75]
    assert Message.decode(octets) == message
    assert Message.decode(Message(value={"a": [1]}).encode()).value == {"a": [1]}


def test_messages_of_others() -> None:
    """Data in several sections is one body; sections without a place here are dropped."""
    data = encode(Described(ULong(0x75), b"ab"))
    footer = encode(Described(ULong(0x78), {}))
    assert Message.decode(data + data + footer).data == b"abab"
    for octets in (b"\x40", encode(Described(ULong(0x10), ["a"]))):
        with pytest.raises(DecodeError):
            Message.decode(octets)
