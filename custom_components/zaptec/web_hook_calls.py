"""Parses the calls that the Zaptec cloud makes to web hooks.

The vendor documents which fields there are, but not how their names are written on the wire.
So the names are accepted in any case. Fields that are not used are ignored.
"""

from collections.abc import Iterable
import json
from typing import Any, Final, NamedTuple

from .api.parsing import (
    clean,
    parse_float,
    parse_float_literal,
    parse_integer_literal,
    parse_moment,
    parse_uuid,
)
from .authorization import EndedSession, Request

# Maximum size of the body of a call (bytes). A documented call has some 300.
BODY_SIZE_MAX: Final = 16 * 1024

# Maximum numbers of commas and of opening brackets in a body. A documented call has four and
# one. Values are what takes long to parse, and the event loop waits meanwhile.
COMMAS_MAX: Final = 512
BRACKETS_MAX: Final = 128

# Maximum length of the code of a card. The codes of RFID cards have at most 20 digits, after
# a prefix like "nfc-".
TOKEN_LENGTH_MAX: Final = 128

# Maximum energy of a session (kWh). The largest charger delivers that in half a year.
ENERGY_MAX: Final = 100_000.0


class MalformedCallError(ValueError):
    """A call is not what the vendor documents. The text has nothing of the call."""


class StartCall(NamedTuple):
    """The question whether a car may charge."""

    installation_id: str
    request: Request


class _Object(dict[str, list[Any]]):
    """A JSON object: all values by the name of their field in lower case."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Any]]) -> _Object:
        """Return the object with these fields; this is a hook for the JSON decoder."""
        found = cls()
        for name, value in pairs:
            found.setdefault(name.lower(), []).append(value)
        return found

    def value(self, name: str) -> Any:
        """Return the value of a field, None without it.

        Raises:
            MalformedCallError: The field occurs more than once, so that two readers of the
                call could take it for two different calls.

        """
        values = self.get(name.lower(), ())
        if len(values) > 1:
            raise MalformedCallError(f"{name} occurs more than once")
        return values[0] if values else None

    def uuid(self, name: str) -> str:
        """Return the UUID in a field, in lower case.

        Raises:
            MalformedCallError: There is none.

        """
        if (found := parse_uuid(self.value(name))) is None:
            raise MalformedCallError(f"{name} is not a UUID")
        return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object.of,
    parse_float=parse_float_literal,
    parse_int=parse_integer_literal,
)


def parse_start(body: bytes) -> StartCall:
    """Return what is asked in the body of a call to the start URL.

    Raises:
        MalformedCallError: The body is not such a call.

    """
    call = _parse(body)
    return StartCall(
        call.uuid("installationId"),
        Request(call.uuid("chargerId"), _parse_token(call.value("token"))),
    )


def parse_end(body: bytes) -> EndedSession:
    """Return the session in the body of a call to the end URL.

    Times and energy that are missing or make no sense are None: the session has ended
    nevertheless, and its id is enough to find it in the archive.

    Raises:
        MalformedCallError: The body is not such a call.

    """
    call = _parse(body)
    start = parse_moment(call.value("sessionStart"))
    end = parse_moment(call.value("sessionEnd"))
    if start and end and end < start:
        start = None
    energy = parse_float(call.value("energy"))
    if energy is not None and not 0 <= energy <= ENERGY_MAX:
        energy = None
    return EndedSession(call.uuid("sessionId"), start, end, energy)


def _parse(body: bytes) -> _Object:
    """Return the JSON object in a body.

    Raises:
        MalformedCallError: The body is too large, or has no JSON object.

    """
    if len(body) > BODY_SIZE_MAX:
        raise MalformedCallError("The body is too large")
    if (
        body.count(b",") > COMMAS_MAX
        or body.count(b"[") + body.count(b"{") > BRACKETS_MAX
    ):
        raise MalformedCallError("The body has too many values")
    try:
        # A byte order mark is what .NET may write before JSON.
        call = _DECODER.decode(body.decode("utf-8-sig"))
    except ValueError, RecursionError:
        # The cause is dropped: it contains the body, which may contain the code of a card.
        raise MalformedCallError("The body is not JSON") from None
    if not isinstance(call, _Object):
        raise MalformedCallError("The body is not a JSON object")
    return call


def _parse_token(value: object) -> str | None:
    """Return the code of a card, None if no card was shown.

    Raises:
        MalformedCallError: The value is not such a code. It may stand for a card, so it must
            not be taken for a call without a card.

    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise MalformedCallError("token is not a text")
    token = clean(value.strip())
    if len(token) > TOKEN_LENGTH_MAX:
        raise MalformedCallError("token is too long")
    if not token.isprintable():
        raise MalformedCallError("token has control characters")
    return token or None
