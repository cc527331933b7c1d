"""A wrong certificate prevents the push, and its server receives no credentials."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
import ssl

from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from custom_components.zaptec.sources.feed import HEALTHY_TIME
from simulator.car import Car
from simulator.certificate import Certificate
from simulator.clock import Clock
from simulator.scenario import Scenario
from simulator.simulator import Simulator
from tests.conftest import EntityFinder, TimeMachine, add_entry, set_up, wait_until_live

CERTIFICATES = {
    "of another name": Certificate("bus.example", None),
    "expired": Certificate(expired=True),
    "not trusted": Certificate(),
}


@pytest.fixture
async def sim(
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    clocks: TickingDateTimeFactory,
) -> AsyncGenerator[Simulator]:
    """Return a Zaptec cloud whose bus speaks TLS, as the real one does."""
    async with Simulator(
        Scenario.of(1), clock=Clock(datetime.now(UTC), speed=0), tls=True
    ) as simulator:
        monkeypatch.setenv("ZAPTEC_API_URL", simulator.api_url)
        # Both ports have the same certificate.
        number = simulator.bus.web_socket.number
        monkeypatch.setenv("ZAPTEC_WEB_SOCKET_PORT", str(number))
        context = simulator.client_ssl_context()
        # These certificates are trusted but still wrong, so the name and the date must be checked.
        for kind in ("of another name", "expired"):
            context.load_verify_locations(cadata=CERTIFICATES[kind].pem)
        monkeypatch.setattr(
            "custom_components.zaptec.runtime.get_default_context", lambda: context
        )
        yield simulator


def good_context(sim: Simulator) -> ssl.SSLContext:
    """Return the TLS context with the right certificate of the bus."""
    assert sim.bus.ssl_context
    return sim.bus.ssl_context


@pytest.mark.parametrize("kind", CERTIFICATES)
async def test_a_wrong_certificate(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    """No token is sent to it, and the push recovers soon after the right one is back.

    A server with a wrong certificate may be an attacker who redirects the connection.
    """
    # In debug mode, the event loop logs an error for each client that refuses a certificate.
    hass.loop.set_debug(False)
    entry = add_entry(hass, sim)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    charger = next(iter(sim.chargers.values()))
    good = good_context(sim)

    await sim.bus.cut()
    sim.bus.use_certificate(CERTIFICATES[kind].server_context())
    await sim.bus.restore()
    attached = sim.bus.attach_count(charger.installation.topic)
    await entities.wait_for(
        "sensor", charger.installation.id, "push_status", "disconnected"
    )
    charger.plug_in(Car())
    await time_machine.travel(600, step=2)
    assert (
        entities.state("sensor", charger.installation.id, "push_status")
        == "disconnected"
    )
    assert sim.bus.attach_count(charger.installation.topic) == attached

    await sim.bus.cut()
    sim.bus.use_certificate(good)
    await sim.bus.restore()
    await time_machine.travel(140, step=1)
    await wait_until_live(hass, entry)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_charging"
    )
    await time_machine.travel(HEALTHY_TIME + 5)
    assert caplog.text.count("Push is lost") == 1
    assert caplog.text.count("Push is back") == 1
