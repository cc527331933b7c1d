"""The bodies of the bus: a .NET XML string element in binary, as the vendor's bus sends them.

Source: [MC-NBFX] .NET Binary Format: XML Data Structure, sections 2.2.1 to 2.2.3.
"""

from struct import pack

_SHORT_ELEMENT = 0x40
_SHORT_XMLNS_ATTRIBUTE = 0x08
_END_ELEMENT = 0x01
_CHARS8_TEXT = 0x98
_CHARS16_TEXT = 0x9A
_CHARS32_TEXT = 0x9C

_NAME = b"string"
_NAMESPACE = b"http://schemas.microsoft.com/2003/10/Serialization/"
_HEADER = (
    bytes((_SHORT_ELEMENT, len(_NAME)))
    + _NAME
    + bytes((_SHORT_XMLNS_ATTRIBUTE, len(_NAMESPACE)))
    + _NAMESPACE
)


def encode(text: str) -> bytes:
    """Return `<string xmlns="…/Serialization/">text</string>` in MC-NBFX.

    The text record is the shortest that holds the UTF-8 text (lengths are little endian).
    """
    chars = text.encode()
    if len(chars) <= 0xFF:
        record = pack("<BB", _CHARS8_TEXT, len(chars))
    elif len(chars) <= 0xFFFF:
        record = pack("<BH", _CHARS16_TEXT, len(chars))
    else:
        record = pack("<Bi", _CHARS32_TEXT, len(chars))
    return _HEADER + record + chars + bytes((_END_ELEMENT,))
