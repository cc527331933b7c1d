"""The codes of charging cards and of the app, and which part of them may be shown."""

from .api import parse_uuid

# Number of characters of a code that are shown, if the code is at least twice as long.
CODE_SHOWN = 4

# Prefix of the code of a card.
CARD_PREFIX = "nfc-"

# Prefix of the code of a session that was authorized by the app instead of a card.
APP_PREFIX = "ble-"

# Prefixes that the vendor puts before the code of a card and the id of an app user.
CODE_PREFIXES = (CARD_PREFIX, APP_PREFIX)


def masked(code: object) -> str | None:
    """Return the part of the code of a card, or of the id of a user, that may be shown.

    The last characters distinguish the cards of a household. The whole code would make
    it possible to copy the card, and states are recorded and shared.
    """
    if not isinstance(code, str) or not code:
        return None
    prefix = code[:4] if code.startswith(CODE_PREFIXES) else ""
    return f"{prefix}…{end_of(code.removeprefix(prefix))}"


def masked_code(code: object) -> str | None:
    """Return the part of the code of a card or the app that may be shown.

    A charger may report the id of a user instead, of which nothing is shown.
    """
    if isinstance(code, str) and parse_uuid(code.removeprefix(APP_PREFIX)):
        return None
    return masked(code)


def end_of(code: str) -> str:
    """Return the last characters of a code, empty if the code is too short to show them."""
    return code[-CODE_SHOWN:] if len(code) >= 2 * CODE_SHOWN else ""
