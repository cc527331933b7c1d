"""Reading of JSON whose fields may be missing, or of another type than usual."""

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

# No number or time is longer than this; a longer text is no number.
_TEXT_MAX = 64

# A name is not longer than this. Of a longer text no more is looked at than is likely
# to be shown, whatever spaces there are.
WORDS_MAX = 100
_CHARACTERS_PER_PLACE = 4

# A cloud that sends odd values in each message must not fill the memory.
_REPORTED_MAX = 500

# .NET writes the two ends of the calendar for "never". A day away from them, no time
# zone and no pause that is added to a moment leaves the calendar.
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)

_reported: set[str] = set()


def log_once(message: str) -> None:
    """Log an oddity of the cloud's data, the first time it is seen."""
    if message not in _reported and len(_reported) < _REPORTED_MAX:
        _reported.add(message)
        _LOGGER.debug(message)


def reset_log_once() -> None:
    """Let `log_once` log everything again, as tests need it."""
    _reported.clear()


def clean(text: str) -> str:
    """Return a text without lone surrogates, which JSON can hold but UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def parse_text(value: object) -> str | None:
    """Return a text, None for an empty one or anything else."""
    return clean(value) if isinstance(value, str) and value else None


def parse_words(value: object, longest: int = WORDS_MAX) -> str | None:
    """Return words fit for a log or a screen, on one line; None for anything else.

    Whoever names a charger decides on them, so there are no control characters, none
    that turn the direction of writing, and not too many.
    """
    if isinstance(value, str):
        value = value[: longest * _CHARACTERS_PER_PLACE]
    if (words := parse_text(value)) is None:
        return None
    printable = "".join(char if char.isprintable() else " " for char in words)
    return " ".join(printable.split())[:longest] or None


def parse_bool(value: object) -> bool | None:
    """Return a boolean; the cloud writes it as such, or as 0 and 1 in text."""
    if isinstance(value, str):
        value = {"0": 0, "false": 0, "1": 1, "true": 1}.get(value.strip().lower())
    return bool(value) if value in (0, 1) else None


def parse_float(value: object) -> float | None:
    """Return a finite number, given as such or as text."""
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


def parse_literal(text: str) -> int | float:
    """Return a number of a JSON document, for its decoder.

    Raises:
        ValueError: It is longer than any number, and would take long to read.

    """
    if len(text) > _TEXT_MAX:
        raise ValueError("A number of that many digits")
    return float(text) if "." in text or "e" in text.lower() else int(text)


def parse_int(value: object) -> int | None:
    """Return a whole number, given as such, as 32.0, or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        # What `strip` takes for white space, `int` does not always.
        value = value.strip()
        if len(value) <= _TEXT_MAX and _INTEGER.fullmatch(value):
            # Not by way of a float, which is too narrow for the warnings' 64 bit.
            return int(value)
    number = parse_float(value)
    return int(number) if number is not None and number.is_integer() else None


def parse_uuid(value: object) -> str | None:
    """Return a UUID in lower case; it is safe to be put into a URL."""
    if isinstance(value, str) and UUID_PATTERN.fullmatch(value):
        return value.lower()
    return None


def parse_enum[EnumT: IntEnum](enum: type[EnumT], value: object) -> EnumT | None:
    """Return a member of an enum; UNKNOWN, if it has that, or None for a new one."""
    if (number := parse_int(value)) is None:
        return None
    try:
        return enum(number)
    except ValueError:
        log_once(f"{enum.__name__} {number} is not known")
        return enum.__members__.get("UNKNOWN")


def parse_timestamp(text: str) -> datetime:
    """Return a moment in UTC, at least a day away from the ends of the calendar.

    The cloud writes UTC with and without a Z and with up to seven digits for the
    fraction of a second, of which six are kept.

    Raises:
        ValueError: The text is no moment.

    """
    if len(text) > _TEXT_MAX:
        raise ValueError("A moment of that many characters")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as err:
        raise ValueError("A moment beyond the calendar") from err
    return min(max(moment, _EARLIEST), _LATEST)


def parse_stamp(value: object) -> datetime | None:
    """Return when something was reported, in UTC; None for what is no moment.

    At an end of the calendar it is a day away from it: such a stamp says nothing, but
    what it belongs to still counts.
    """
    try:
        return parse_timestamp(value) if isinstance(value, str) else None
    except ValueError:
        return None


def parse_moment(value: object) -> datetime | None:
    """Return a moment in UTC, None for "never" and for anything else."""
    moment = parse_stamp(value)
    return None if moment in (_EARLIEST, _LATEST) else moment


def parse_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: It is something else.

    """
    if isinstance(value, dict):
        return value
    raise ValueError(f"A JSON object was expected, not {type(value).__name__}")


def parse_id(data: Mapping[str, Any], key: str) -> str:
    """Return the id that makes an object what it is.

    Raises:
        ValueError: The object has none.

    """
    if (identifier := parse_uuid(data.get(key))) is None:
        raise ValueError(f"{key} is no UUID")
    return identifier


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by address or by its usual name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
