"""Decodes MC-NBFX, the .NET binary XML in which messages are wrapped.

A body is one element, usually `<string>`, whose text is the JSON document. The text may
consist of several records and have several equivalent forms.

Source: [MC-NBFX]: .NET Binary Format: XML Data Structure.
"""

from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
import struct
from uuid import UUID

_END_ELEMENT = 0x01
_COMMENT = 0x02
_FIRST_TEXT = 0x80

# Each text record has two codes; the odd one also ends the element.
_WITH_END_ELEMENT = 0x01

# Maximum number of records of a body; the vendor's have four. More would take long to
# decode, and are not a message.
_RECORDS_MAX = 64

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The beginning of the vendor's messages: `<string xmlns="http://…/Serialization/">`.
_STRING = b"\x40\x06string\x08\x33http://schemas.microsoft.com/2003/10/Serialization/"

# The number of octets of the length of a UTF-8 text, by the code of the text record
# that ends its element.
_LENGTH_WIDTHS = {0x99: 1, 0x9B: 2, 0x9D: 4}


class _Reader:
    """Reads the octets of a body in sequence."""

    def __init__(self, body: bytes) -> None:
        """Initialize the reader."""
        self._body = body
        self._position = 0

    @property
    def at_end(self) -> bool:
        """Return whether everything was read."""
        return self._position == len(self._body)

    def bytes(self, count: int) -> bytes:
        """Return the next bytes."""
        end = self._position + count
        if end > len(self._body):
            raise ValueError("The body ends too early")
        piece = self._body[self._position : end]
        self._position = end
        return piece

    def unsigned(self, width: int) -> int:
        """Return the next unsigned integer, of `width` octets."""
        return int.from_bytes(self.bytes(width), "little")

    def signed(self, width: int) -> int:
        """Return the next signed integer, of `width` octets."""
        return int.from_bytes(self.bytes(width), "little", signed=True)

    def multi_byte_int31(self) -> int:
        """Return the next integer of up to 31 bits, in octets of 7 bits each."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
        else:
            raise ValueError("A length of more than 31 bits")
        return value

    def string(self) -> str:
        """Return the next name, which is preceded by its length."""
        return self.bytes(self.multi_byte_int31()).decode()


def _characters(width: int) -> Callable[[_Reader], str]:
    """Return a function that reads a UTF-8 text whose length has `width` octets."""
    return lambda reader: reader.bytes(reader.unsigned(width)).decode()


def _unicode_characters(width: int) -> Callable[[_Reader], str]:
    """Return a function that reads a UTF-16 text whose length has `width` octets."""
    return lambda reader: reader.bytes(reader.unsigned(width)).decode("utf-16-le")


def _bytes(width: int) -> Callable[[_Reader], str]:
    """Return a function that reads octets, which XML writes in Base64."""
    return lambda reader: b64encode(reader.bytes(reader.unsigned(width))).decode()


def _decimal(reader: _Reader) -> str:
    """Return a decimal number of 96 bits."""
    _, scale, sign, high, low = struct.unpack("<HBBIQ", reader.bytes(16))
    number = Decimal(high << 64 | low).scaleb(-scale)
    return f"{-number if sign & 0x80 else number:f}"


_TEXTS: dict[int, Callable[[_Reader], str]] = {
    0x80: lambda reader: "0",
    0x82: lambda reader: "1",
    0x84: lambda reader: "false",
    0x86: lambda reader: "true",
    0x88: lambda reader: str(reader.signed(1)),
    0x8A: lambda reader: str(reader.signed(2)),
    0x8C: lambda reader: str(reader.signed(4)),
    0x8E: lambda reader: str(reader.signed(8)),
    0x90: lambda reader: f"{struct.unpack('<f', reader.bytes(4))[0]:.7g}",
    0x92: lambda reader: repr(struct.unpack("<d", reader.bytes(8))[0]),
    0x94: _decimal,
    0x98: _characters(1),
    0x9A: _characters(2),
    0x9C: _characters(4),
    0x9E: _bytes(1),
    0xA0: _bytes(2),
    0xA2: _bytes(4),
    0xA8: lambda reader: "",
    0xB0: lambda reader: str(UUID(bytes_le=reader.bytes(16))),
    0xB2: lambda reader: str(reader.unsigned(8)),
    0xB4: lambda reader: "true" if reader.unsigned(1) else "false",
    0xB6: _unicode_characters(1),
    0xB8: _unicode_characters(2),
    0xBA: _unicode_characters(4),
}


def _text(reader: _Reader, record: int) -> str:
    """Return the text of a record."""
    if (read := _TEXTS.get(record)) is None:
        raise ValueError(f"Record 0x{record:02X} is not supported")
    return read(reader)


def _skip_element(reader: _Reader, record: int) -> None:
    """Read the name with which an element begins."""
    if record in (0x41, 0x43):
        reader.string()
    if record in (0x42, 0x43) or 0x44 <= record <= 0x5D:
        reader.multi_byte_int31()
    else:
        reader.string()


def _skip_attribute(reader: _Reader, record: int) -> None:
    """Read an attribute or a declared namespace."""
    if record in (0x05, 0x07, 0x09, 0x0B):
        reader.string()
    if record in (0x06, 0x07, 0x0A, 0x0B) or 0x0C <= record <= 0x25:
        reader.multi_byte_int31()
    else:
        reader.string()
    if not 0x08 <= record <= 0x0B:
        _text(reader, reader.unsigned(1))


def _decode_string(body: bytes) -> str | None:
    """Return the text of a body in the vendor's usual form, None for any other form.

    The result is the same as decoding record by record, in a tenth of the time.
    """
    start = len(_STRING)
    if not body.startswith(_STRING) or len(body) == start:
        return None
    record = body[start]
    start += 1
    end = len(body)
    if not record & _WITH_END_ELEMENT:
        if body[-1] != _END_ELEMENT:
            return None
        end -= 1
    if (width := _LENGTH_WIDTHS.get(record | _WITH_END_ELEMENT)) is None:
        return None
    length = int.from_bytes(body[start : start + width], "little")
    start += width
    return body[start:end].decode() if start + length == end else None


def decode(body: bytes) -> str:
    """Return the text of a message's body.

    A body that is plain JSON is returned unchanged.

    Raises:
        ValueError: The body is damaged, or contains a record without a plain value.

    """
    if (text := _decode_string(body)) is not None:
        return text
    plain = body.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if plain.startswith(b"{"):
        return plain.decode()

    reader = _Reader(body)
    parts: list[str] = []
    depth = records = 0
    while not reader.at_end:
        if (records := records + 1) > _RECORDS_MAX:
            raise ValueError("The body has too many records")
        record = reader.unsigned(1)
        if 0x40 <= record <= 0x77:
            _skip_element(reader, record)
            depth += 1
        elif record == _COMMENT:
            reader.string()
        elif depth == 0:
            raise ValueError(f"Record 0x{record:02X} is outside of the element")
        elif record == _END_ELEMENT:
            depth -= 1
        elif record >= _FIRST_TEXT:
            parts.append(_text(reader, record & ~_WITH_END_ELEMENT))
            depth -= record & _WITH_END_ELEMENT
        elif 0x04 <= record <= 0x3F:
            _skip_attribute(reader, record)
        else:
            raise ValueError(f"Record 0x{record:02X} is not supported")
    if depth or not parts:
        raise ValueError("The body ends too early")
    return "".join(parts)
