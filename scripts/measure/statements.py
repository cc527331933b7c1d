"""Measure the action that returns the sessions of a year."""

from datetime import timedelta
from time import perf_counter, process_time
from typing import Any

from homeassistant.util import dt as dt_util

from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.history.prices import Period, Tariff

from .cloud import Cloud
from .home import Home
from .loop import CountingSelector

DAYS = 365


async def measure(
    home: Home, cloud: Cloud, selector: CountingSelector, rounds: int
) -> dict[str, list[float]]:
    """Return samples of a statement of all chargers as a table, with what it cost.

    The chargers, the price and the table are known before, so that what is measured is
    reading the archive, evaluating the sessions and adding them up.
    """
    await home.set_up()
    await home.wait_until(home.is_live)
    home.runtime.prices.tariff = Tariff((Period(0, price=0.25),))
    end = dt_util.now()
    data: dict[str, Any] = {
        "installation_id": cloud.installations,
        "start": (end - timedelta(days=DAYS)).isoformat(),
        "end": end.isoformat(),
    }
    samples: dict[str, list[float]] = {}
    for _ in range(rounds):
        requests = len(await cloud.ask("requests"))
        selector.take_longest()
        began, worked = perf_counter(), process_time()
        response = await home.hass.services.async_call(
            DOMAIN,
            "get_sessions",
            {**data, "format": "csv"},
            blocking=True,
            return_response=True,
        )
        found = {
            "statement": perf_counter() - began,
            "work of the statement": process_time() - worked,
            "longest turn of the statement": selector.take_longest(),
            "requests of the statement": len(await cloud.ask("requests")) - requests,
            # Without the headings and the totals.
            "sessions": str((response or {})["csv"]).count("\n") - 2,
        }
        for name, value in found.items():
            samples.setdefault(name, []).append(value)
    return samples
