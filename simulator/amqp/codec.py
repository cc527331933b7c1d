"""AMQP 1.0 types and their octets.

Source: OASIS AMQP 1.0, part 1 (Types). Python's own types stand for the AMQP types that match
them; the classes here mark the others, so that what is decoded encodes to the same type:

    None null, bool boolean, int long, float double, bytes binary, str string,
    list list, dict map, uuid.UUID uuid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct, error as StructError
from typing import Any
from uuid import UUID

# What a peer may nest, and how many elements it may send at once: bounds recursion and memory
# (elements of an array may take no octets at all).
_MAX_DEPTH = 32
_MAX_ELEMENTS = 65536


class AmqpError(Exception):
    """An error condition of AMQP, which is sent to the peer."""

    def __init__(self, condition: str, description: str = "") -> None:
        """Initialize the error.

        Args:
            condition: Symbolic name, for example "amqp:not-found".
            description: Text for the log.
        """
        super().__init__(condition, description)
        self.condition = condition
        self.description = description


class DecodeError(AmqpError):
    """Octets that are not valid AMQP."""

    def __init__(self, description: str) -> None:
        """Initialize the error."""
        super().__init__("amqp:decode-error", description)


class UByte(int):
    """8 bits, unsigned."""


class UShort(int):
    """16 bits, unsigned."""


class UInt(int):
    """32 bits, unsigned."""


class ULong(int):
    """64 bits, unsigned."""


class Byte(int):
    """8 bits, signed."""


class Short(int):
    """16 bits, signed."""


class Int(int):
    """32 bits, signed."""


class Float(float):
    """IEEE 754 binary32."""


class Decimal(bytes):
    """IEEE 754 decimal32, decimal64 or decimal128: its 4, 8 or 16 octets, not interpreted."""


class Char(str):
    """One Unicode character."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since the Unix epoch."""


class Symbol(str):
    """ASCII from a constrained domain."""

    __slots__ = ()


class Array(list[Any]):
    """Values of one type (not described ones, when encoded)."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value annotated with a descriptor."""

    descriptor: Any
    value: Any


_U8, _U16, _U32 = Struct(">B"), Struct(">H"), Struct(">I")
_S8, _S64 = Struct(">b"), Struct(">q")

_FIXED: dict[type, tuple[int, Struct]] = {
    UByte: (0x50, _U8),
    Byte: (0x51, _S8),
    bool: (0x56, Struct(">?")),
    UShort: (0x60, _U16),
    Short: (0x61, Struct(">h")),
    UInt: (0x70, _U32),
    Int: (0x71, Struct(">i")),
    Float: (0x72, Struct(">f")),
    ULong: (0x80, Struct(">Q")),
    int: (0x81, _S64),
    float: (0x82, Struct(">d")),
    Timestamp: (0x83, _S64),
}
_FIXED_BY_CODE = {code: (kind, struct) for kind, (code, struct) in _FIXED.items()}
_SMALL_INTEGERS: dict[int, tuple[type, Struct]] = {
    0x52: (UInt, _U8),
    0x53: (ULong, _U8),
    0x54: (Int, _S8),
    0x55: (int, _S8),
}
_SINGLETONS: dict[int, Callable[[], Any]] = {
    0x40: lambda: None,
    0x41: lambda: True,
    0x42: lambda: False,
    0x43: lambda: UInt(0),
    0x44: lambda: ULong(0),
    0x45: list,
}
# Constructor for a length of one octet; the one for four octets lies 0x10 higher.
_TEXTS: dict[type, tuple[int, str | None]] = {
    bytes: (0xA0, None),
    str: (0xA1, "utf-8"),
    Symbol: (0xA3, "ascii"),
}
_TEXTS_BY_CODE = {code: (kind, codec) for kind, (code, codec) in _TEXTS.items()}
_DECIMALS = {4: 0x74, 8: 0x84, 16: 0x94}


def encode(value: Any) -> bytes:
    """Return a value in its shortest encoding.

    Raises:
        ValueError: The value has no AMQP type or is out of its type's range.
    """
    if value is None:
        return b"\x40"
    if isinstance(value, bool):
        return b"\x41" if value else b"\x42"
    if isinstance(value, Described):
        return b"\x00" + encode(value.descriptor) + encode(value.value)
    kind = type(value)
    if kind is ULong or kind is UInt:
        if value == 0:
            return b"\x44" if kind is ULong else b"\x43"
        if 0 < value <= 0xFF:
            return bytes((0x53 if kind is ULong else 0x52, value))
    elif kind is int or kind is Int:
        if -0x80 <= value <= 0x7F:
            return bytes((0x55 if kind is int else 0x54, value & 0xFF))
    elif kind is list and not value:
        return b"\x45"
    code, octets = _encode_wide(value)
    if code >= 0xB0 and len(octets) <= _fit(code):
        return bytes((code - 0x10,)) + _narrow(code, octets)
    return bytes((code,)) + octets


def _fit(code: int) -> int:
    """Return the maximum length of a wide encoding that has a narrow one."""
    # Binary and text shrink by 3 octets; compounds by 6, and their size counts the count.
    return 4 + 0xFF if code < 0xC0 else 4 + 3 + 0xFF


def _narrow(code: int, octets: bytes) -> bytes:
    """Return the body of an encoding with one-octet size (and count) in place of four."""
    if code < 0xC0:
        return octets[3:]
    return bytes((len(octets) - 7, octets[7])) + octets[8:]


def _encode_wide(value: Any) -> tuple[int, bytes]:
    """Return the widest constructor and body: what array elements share."""
    kind = type(value)
    if kind in _FIXED:
        code, struct = _FIXED[kind]
        try:
            return code, struct.pack(value)
        except (StructError, OverflowError) as err:
            raise ValueError(f"{value!r} is out of range for {kind.__name__}") from err
    if kind in _TEXTS:
        code, codec = _TEXTS[kind]
        octets = value.encode(codec) if codec else value
        return code + 0x10, _U32.pack(len(octets)) + octets
    match value:
        case None:
            return 0x40, b""
        case Decimal() if len(value) in _DECIMALS:
            return _DECIMALS[len(value)], bytes(value)
        case Char() if len(value) == 1:
            return 0x73, _U32.pack(ord(value))
        case UUID():
            return 0x98, value.bytes
        case Array():
            return 0xF0, _compound(len(value), _encode_elements(value))
        case list():
            return 0xD0, _compound(len(value), b"".join(map(encode, value)))
        case dict():
            pairs = b"".join(encode(item) for pair in value.items() for item in pair)
            return 0xD1, _compound(2 * len(value), pairs)
    raise ValueError(f"No AMQP type for {kind.__name__}")


def _compound(count: int, octets: bytes) -> bytes:
    return _U32.pack(4 + len(octets)) + _U32.pack(count) + octets


def _encode_elements(array: Array) -> bytes:
    """Return the one constructor of the elements, then their bodies."""
    wide = [_encode_wide(value) for value in array] or [_encode_wide(None)]
    if len({code for code, _ in wide}) > 1:
        raise ValueError("The elements of an array have one type")
    if not array:
        return bytes((wide[0][0],))
    return bytes((wide[0][0],)) + b"".join(octets for _, octets in wide)


class Decoder:
    """Reads values from octets, in order."""

    def __init__(self, octets: bytes) -> None:
        """Initialize the decoder at the first octet."""
        self._octets = octets
        self._at = 0
        self._elements = 0

    def __bool__(self) -> bool:
        """Whether octets are left."""
        return self._at < len(self._octets)

    def rest(self) -> bytes:
        """Read the octets that are left."""
        return self._take(len(self._octets) - self._at)

    def value(self) -> Any:
        """Read one value.

        Raises:
            DecodeError: The octets hold no value.
        """
        return self._value(_MAX_DEPTH)

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._octets):
            raise DecodeError("The octets end within a value")
        octets = self._octets[self._at : end]
        self._at = end
        return octets

    def _unpack(self, struct: Struct) -> Any:
        return struct.unpack(self._take(struct.size))[0]

    def _value(self, depth: int) -> Any:
        return self._body(self._unpack(_U8), depth)

    def _body(self, code: int, depth: int) -> Any:
        """Read what follows a constructor."""
        if depth <= 0:
            raise DecodeError("Values are nested too deep")
        if code in _SINGLETONS:
            return _SINGLETONS[code]()
        if code == 0x56:
            if (octet := self._unpack(_U8)) > 1:
                raise DecodeError("A boolean is 0 or 1")
            return bool(octet)
        if number := _FIXED_BY_CODE.get(code) or _SMALL_INTEGERS.get(code):
            kind, struct = number
            return kind(self._unpack(struct))
        size = _U8 if code & 0x10 == 0 else _U32
        if text := _TEXTS_BY_CODE.get(code & ~0x10):
            return self._text(*text, self._unpack(size))
        match code:
            case 0x00:
                descriptor = self._value(depth - 1)
                return Described(descriptor, self._value(depth - 1))
            case 0x73:
                return self._char()
            case 0x74 | 0x84 | 0x94:
                return Decimal(self._take(4 << (code >> 4) - 7))
            case 0x98:
                return UUID(bytes=self._take(16))
            case 0xC0 | 0xD0 | 0xC1 | 0xD1 | 0xE0 | 0xF0:
                return self._compound(code, size, depth)
        raise DecodeError(f"No type has the constructor 0x{code:02x}")

    def _text(self, kind: type, codec: str | None, length: int) -> Any:
        octets = self._take(length)
        if not codec:
            return octets
        try:
            return kind(octets.decode(codec))
        except UnicodeDecodeError as err:
            raise DecodeError(f"A {kind.__name__} is not {codec}") from err

    def _char(self) -> Char:
        try:
            return Char(chr(self._unpack(_U32)))
        except (ValueError, OverflowError) as err:
            raise DecodeError("No such character") from err

    def _compound(self, code: int, size: Struct, depth: int) -> Any:
        length = self._unpack(size)
        end = self._at + length
        if end > len(self._octets):
            raise DecodeError("The octets end within a value")
        count = self._unpack(size)
        self._elements += count
        if self._elements > _MAX_ELEMENTS:
            raise DecodeError("Too many elements")
        value: Any
        match code & ~0x10:
            case 0xC0:
                value = [self._value(depth - 1) for _ in range(count)]
            case 0xC1:
                value = self._map(count, depth)
            case _ if count:
                value = self._array(count, depth)
            case _:
                # No elements, or a constructor of elements without octets.
                value = Array()
                self._take(end - self._at)
        if self._at != end:
            raise DecodeError("A size does not agree with its elements")
        return value

    def _map(self, count: int, depth: int) -> dict[Any, Any]:
        if count % 2:
            raise DecodeError("A map has pairs")
        value = {}
        for _ in range(count // 2):
            key = self._value(depth - 1)
            try:
                hash(key)
            except TypeError as err:
                raise DecodeError("A map's key is not simple") from err
            value[key] = self._value(depth - 1)
        return value

    def _array(self, count: int, depth: int) -> Array:
        code = self._unpack(_U8)
        if code != 0x00:
            return Array(self._body(code, depth - 1) for _ in range(count))
        descriptor = self._value(depth - 1)
        code = self._unpack(_U8)
        return Array(
            Described(descriptor, self._body(code, depth - 1)) for _ in range(count)
        )
