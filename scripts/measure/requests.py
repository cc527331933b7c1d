"""Count the requests that the cloud receives in an hour, in every situation."""

from collections.abc import Awaitable, Callable

from .start import kinds
from .travel import Travel, travel


async def _nothing(_travel: Travel) -> None:
    """Leave everything as it is."""


async def _charge(travel: Travel) -> None:
    """Plug in a car at each charger."""
    await travel.charge()


async def _send_elsewhere(travel: Travel) -> None:
    """Send no messages to the integration, although its link is up."""
    for installation in travel.sim.installations.values():
        travel.sim.bus.interfere(installation.topic, "elsewhere")


async def _charge_silently(travel: Travel) -> None:
    """Plug in a car at each charger, and send no messages to the integration after that."""
    await travel.charge()
    await _send_elsewhere(travel)


async def _cut(travel: Travel) -> None:
    """Cut the push."""
    await travel.sim.bus.cut()


async def _charge_cut(travel: Travel) -> None:
    """Cut the push while all chargers charge."""
    await travel.charge()
    await travel.sim.bus.cut()


SITUATIONS: dict[str, Callable[[Travel], Awaitable[None]]] = {
    "idle": _nothing,
    "all charging": _charge,
    "idle, nothing arrives": _send_elsewhere,
    "all charging, nothing arrives": _charge_silently,
    "idle, no push": _cut,
    "all charging, no push": _charge_cut,
}


async def measure(chargers: int, situation: str) -> dict[str, int]:
    """Return the requests of an hour, by endpoint."""
    async with travel(chargers) as here:
        await here.set_up()
        await SITUATIONS[situation](here)
        await here.machine.settle()
        began = len(here.sim.rest.requests)
        await here.pass_hour()
        return dict(
            kinds(
                (item.time_monotonic, item.method, item.path)
                for item in here.sim.rest.requests[began:]
            )
        )
