"""Messages: the sections that a transfer's payload is made of.

Source: OASIS AMQP 1.0, part 3.2 (Message Format).
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self

from .codec import DecodeError, Decoder, Described, ULong, encode
from .performatives import Header, Properties, compose


class _Section(IntEnum):
    """Descriptors of the sections that are not lists of fields."""

    MESSAGE_ANNOTATIONS = 0x72
    APPLICATION_PROPERTIES = 0x74
    DATA = 0x75
    VALUE = 0x77


@dataclass(slots=True)
class Message:
    """A message whose body is one data section or one value.

    Attributes:
        data: The body's octets, of a data section.
        value: The body, of a value section; only without `data`.
    """

    header: Header | None = None
    annotations: dict[Any, Any] = field(default_factory=dict)
    properties: Properties | None = None
    application_properties: dict[Any, Any] = field(default_factory=dict)
    data: bytes | None = None
    value: Any = None

    def encode(self) -> bytes:
        """Return the encoded message."""
        octets = b""
        if self.header:
            octets += self.header.encode()
        if self.annotations:
            octets += _section(_Section.MESSAGE_ANNOTATIONS, self.annotations)
        if self.properties:
            octets += self.properties.encode()
        if self.application_properties:
            octets += _section(
                _Section.APPLICATION_PROPERTIES, self.application_properties
            )
        if self.data is not None:
            return octets + _section(_Section.DATA, self.data)
        return octets + _section(_Section.VALUE, self.value)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Return the message of a delivery; sections that have no place here are dropped.

        Raises:
            DecodeError: The octets are not a message.
        """
        message = cls()
        decoder = Decoder(octets)
        while decoder:
            match compose(decoder.value()):
                case Header() as header:
                    message.header = header
                case Properties() as properties:
                    message.properties = properties
                case Described(_Section.MESSAGE_ANNOTATIONS, dict() as annotations):
                    message.annotations = annotations
                case Described(_Section.APPLICATION_PROPERTIES, dict() as properties):
                    message.application_properties = properties
                case Described(_Section.DATA, bytes() as data):
                    message.data = (message.data or b"") + data
                case Described(_Section.VALUE, value):
                    message.value = value
                case Described():
                    pass
                case _:
                    raise DecodeError("A message is made of sections")
        return message


def _section(code: _Section, value: Any) -> bytes:
    return encode(Described(ULong(code), value))
