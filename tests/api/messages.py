"""Connection details and messages for several test modules."""

from dataclasses import replace
from datetime import UTC, datetime
import json
from typing import Any

from custom_components.zaptec.api import ConnectionDetails
from simulator.nbfx import encode

TOPIC = "installation_0b6ff0f2"
KEY_NAME = "listener"
KEY = "c2VjcmV0LWtleQ=="
CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
MOMENT = datetime(2026, 5, 20, 12, 41, 41, 500000, UTC)


def details(bus_port: int, **changes: Any) -> ConnectionDetails:
    """Return the connection details of a bus."""
    return replace(
        ConnectionDetails(
            host="127.0.0.1",
            port=bus_port,
            use_ssl=False,
            user_name=KEY_NAME,
            password=KEY,
            topic=TOPIC,
            subscription="default",
        ),
        **changes,
    )


def message(state_id: int, **changes: Any) -> bytes:
    """Return the body of a message."""
    document = {
        "DeviceId": "ZAP000123",
        "ChargerId": CHARGER,
        "StateId": state_id,
        "Timestamp": "2026-05-20T12:41:41.5Z",
        "ValueAsString": "3",
    }
    return encode(json.dumps(document | changes))
