"""Parses JSON whose fields may be missing or of an unexpected type."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from ipaddress import ip_address
import logging
import math
import re
from typing import Any

_LOGGER = logging.getLogger(__name__)

UUID_PATTERN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)

# Maximum length of a number or a time; longer texts are rejected unread.
_TEXT_MAX = 64

# Maximum length of a name. Only so many characters of a longer text are processed for
# each character that is kept, because repeated spaces are removed.
WORDS_MAX = 100
_CHARACTERS_PER_PLACE = 4

# Maximum number of different oddities that are logged. The bound protects memory from a
# cloud that sends a new odd value in each message.
_REPORTED_MAX = 500

# .NET uses the first and last moment of the calendar for "never". All times are kept a
# day away from them, so that converting the time zone or adding a delay never leaves
# the calendar.
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)

_reported: set[str] = set()


def log_once(message: str) -> None:
    """Log an oddity of the cloud's data when it is seen for the first time."""
    if message not in _reported and len(_reported) < _REPORTED_MAX:
        _reported.add(message)
        _LOGGER.debug(message)


def reset_log_once() -> None:
    """Let `log_once` log everything again (for tests)."""
    _reported.clear()


def clean(text: str) -> str:
    """Return a text without lone surrogates, which JSON allows but UTF-8 does not."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def parse_text(value: object) -> str | None:
    """Return a text, None if it is empty or not a text."""
    return clean(value) if isinstance(value, str) and value else None


def parse_words(value: object, longest: int = WORDS_MAX) -> str | None:
    """Return a text that is safe to log and to show, on one line; None without one.

    Anyone who may rename a charger can choose this text. So control characters and
    those that change the direction of writing are removed, and the length is limited.
    """
    if isinstance(value, str):
        value = value[: longest * _CHARACTERS_PER_PLACE]
    if (words := parse_text(value)) is None:
        return None
    printable = "".join(char if char.isprintable() else " " for char in words)
    return " ".join(printable.split())[:longest] or None


def parse_bool(value: object) -> bool | None:
    """Return a boolean; the cloud writes booleans as such, or as the texts 0 and 1."""
    if isinstance(value, str):
        value = {"0": 0, "false": 0, "1": 1, "true": 1}.get(value.strip().lower())
    return bool(value) if value in (0, 1) else None


def parse_float(value: object) -> float | None:
    """Return a finite number, which may be given as a text."""
    if isinstance(value, str):
        value = value.strip()
        if len(value) > _TEXT_MAX or not _NUMBER.fullmatch(value):
            return None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def parse_integer_literal(text: str) -> int:
    """Return an integer in a JSON document; this is a hook for the JSON decoder.

    Raises:
        ValueError: The text is too long, and would take long to convert.

    """
    if len(text) > _TEXT_MAX:
        raise ValueError("The number has too many digits")
    return int(text)


def parse_float_literal(text: str) -> float:
    """Return a fraction in a JSON document; this is a hook for the JSON decoder.

    Raises:
        ValueError: The text is too long, and would take long to convert.

    """
    if len(text) > _TEXT_MAX:
        raise ValueError("The number has too many digits")
    return float(text)


def parse_int(value: object) -> int | None:
    """Return an integer, which may be given as 32.0 or as a text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        # Some characters that `strip` removes as white space are errors for `int`.
        value = value.strip()
        if len(value) <= _TEXT_MAX and _INTEGER.fullmatch(value):
            # A float would lose digits of the 64 bits of the warnings.
            return int(value)
    number = parse_float(value)
    return int(number) if number is not None and number.is_integer() else None


def parse_uuid(value: object) -> str | None:
    """Return a UUID in lower case, which is safe to use in a URL."""
    if isinstance(value, str) and UUID_PATTERN.fullmatch(value):
        return value.lower()
    return None


def parse_enum[EnumT: IntEnum](enum: type[EnumT], value: object) -> EnumT | None:
    """Return an enum member; an unknown value gives UNKNOWN if it exists, else None."""
    if (number := parse_int(value)) is None:
        return None
    try:
        return enum(number)
    except ValueError:
        log_once(f"{enum.__name__} {number} is not known")
        return enum.__members__.get("UNKNOWN")


def parse_timestamp(text: str) -> datetime:
    """Return a moment in UTC, at least a day away from the ends of the calendar.

    The cloud writes UTC with and without a Z, and up to seven digits for the fraction
    of a second, of which six are kept.

    Raises:
        ValueError: The text is not a timestamp.

    """
    if len(text) > _TEXT_MAX:
        raise ValueError("The timestamp is too long")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elif moment.tzinfo is not UTC:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError as err:
            raise ValueError("The timestamp is outside of the calendar") from err
    return min(max(moment, _EARLIEST), _LATEST)


def parse_stamp(value: object) -> datetime | None:
    """Return when something was reported, in UTC; None if the value is no timestamp.

    A timestamp at an end of the calendar is moved a day away from it. It carries no
    information, but the value that it belongs to is still valid.
    """
    try:
        return parse_timestamp(value) if isinstance(value, str) else None
    except ValueError:
        return None


def parse_moment(value: object) -> datetime | None:
    """Return a moment in UTC, None for "never" and for invalid values."""
    moment = parse_stamp(value)
    return None if moment in (_EARLIEST, _LATEST) else moment


def parse_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: The value is not a JSON object.

    """
    if isinstance(value, dict):
        return value
    raise ValueError(f"A JSON object was expected, not {type(value).__name__}")


def parse_id(data: Mapping[str, Any], key: str) -> str:
    """Return the id of a JSON object.

    Raises:
        ValueError: The object has no valid id.

    """
    if (identifier := parse_uuid(data.get(key))) is None:
        raise ValueError(f"{key} is not a UUID")
    return identifier


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its address or as `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
