"""The documented endpoints of api.zaptec.com, by subject."""

from collections.abc import Awaitable, Callable
import re
from typing import NamedTuple

from aiohttp import web

from . import archive, chargers, installations, sessions, user_groups
from .call import Call

_ID = r"([0-9a-f-]{36})"

type Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """The handler of a method and a path below /api; the groups of the path are `Call.ids`."""

    method: str
    path: str
    handler: Handler

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of the whole path, without regard to case."""
        return re.compile(f"/api/{self.path}/?", re.IGNORECASE)


ROUTES = (
    Route("GET", "installation", installations.read_list),
    Route("GET", f"installation/{_ID}", installations.read),
    Route("GET", f"installation/{_ID}/hierarchy", installations.read_hierarchy),
    Route(
        "GET",
        f"installation/{_ID}/messagingConnectionDetails",
        installations.read_connection_details,
    ),
    Route("POST", f"installation/{_ID}/update", installations.update),
    Route("GET", f"chargerFirmware/installation/{_ID}", installations.read_firmware),
    Route("GET", "chargers", chargers.read_list),
    Route("GET", f"chargers/{_ID}", chargers.read),
    Route("GET", f"chargers/{_ID}/state", chargers.read_state),
    Route("POST", f"chargers/{_ID}/update", chargers.update),
    Route("POST", rf"chargers/{_ID}/sendCommand/(\d+)", chargers.send_command),
    Route("GET", "chargehistory", sessions.read_history),
    Route("POST", "chargehistory/installationreport", sessions.report),
    Route("GET", f"session/{_ID}", sessions.read),
    Route("POST", f"session/{_ID}/priority", sessions.prioritize),
    Route("GET", "sessions/archived", archive.read),
    Route(
        "GET",
        f"userGroups/{_ID}/messagingConnectionDetails",
        user_groups.read_connection_details,
    ),
)
