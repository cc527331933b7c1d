"""Constants for the Zaptec integration."""

from datetime import timedelta
from enum import StrEnum
import logging
from typing import Final

DOMAIN: Final = "zaptec"
LOGGER = logging.getLogger(__package__)

# The component that energies are recorded by; Home Assistant may run without it.
RECORDER: Final = "recorder"

CONF_CHARGERS: Final = "chargers"
# The chargers of the entry's data from which that choice was taken over.
CONF_TAKEN_OVER: Final = "taken_over"
# The prices of a kWh, one after another, as `Tariff` stores them.
CONF_PRICES: Final = "prices"
# The id of the user group whose messages the account reads.
CONF_USER_GROUP: Final = "user_group"
# What the events of sessions and cards show about who charged.
CONF_EVENT_IDENTITY: Final = "event_identity"
# What custom-components/zaptec put before the name of each device.
CONF_PREFIX: Final = "prefix"

PORTAL_URL: Final = "https://portal.zaptec.com"
# The page about web hooks.
WEB_HOOKS_URL: Final = (
    "https://github.com/zaptec-home-assistant/zaptec/blob/main/docs/web-hooks.md"
)

# Chargers whose entities are added while Home Assistant waits for the set-up.
CHARGERS_AT_ONCE: Final = 10

# The vendor asks for at most one look at the lists an hour (API fair use policy).
DISCOVERY_INTERVAL: Final = timedelta(hours=1)

# The vendor asks for at most one change of an installation's available current in
# this time (API usage guidelines, Dynamic load balancing).
AVAILABLE_CURRENT_INTERVAL: Final = timedelta(minutes=15)

# Fired when an available current begins to wait, or is given up; logbook.py describes it.
EVENT_AVAILABLE_CURRENT: Final = f"{DOMAIN}_available_current"
ATTR_CURRENTS: Final = "currents"
ATTR_OUTCOME: Final = "outcome"
ATTR_UNTIL: Final = "until"

# What a Zaptec charger is built for (A).
CURRENT_MAX: Final = 32.0

FIRMWARE_INTERVAL: Final = timedelta(days=1)


class EventIdentity(StrEnum):
    """What events show about who charged."""

    NOTHING = "nothing"
    PERSON = "person"
    """The name of a person that the user has added."""
    CODE = "code"
    """The last characters of the code of the card or the app."""


class PushStatus(StrEnum):
    """Whether the messages of an installation reach us."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    NOT_PERMITTED = "not_permitted"


class PushRefusal(StrEnum):
    """Why an installation's messages are not permitted."""

    ROLE = "role"
    """The account's role does not show where they are."""
    UNAVAILABLE = "unavailable"
    """The cloud has no subscription for the installation."""


class PushSource(StrEnum):
    """By which subscriptions the messages of an installation arrive."""

    INSTALLATION = "installation"
    USER_GROUP = "user_group"
    BOTH = "both"


class PendingOutcome(StrEnum):
    """What becomes of an available current that was not set at once."""

    PENDING = "pending"
    GIVEN_UP = "given_up"
