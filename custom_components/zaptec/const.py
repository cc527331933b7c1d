"""Constants for the Zaptec integration."""

from datetime import timedelta
from enum import StrEnum
import logging
from typing import Final

DOMAIN: Final = "zaptec"
LOGGER = logging.getLogger(__package__)

PORTAL_URL: Final = "https://portal.zaptec.com"

# The vendor asks for at most one look at the lists an hour (API fair use policy).
DISCOVERY_INTERVAL: Final = timedelta(hours=1)


class PushStatus(StrEnum):
    """Whether the messages of an installation reach us."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    NOT_PERMITTED = "not_permitted"
