"""Secrets are not logged, shown or printed."""

import json
import logging

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import ConnectionDetails, Observation, Subscription
from custom_components.zaptec.api.transport import Response
from custom_components.zaptec.const import DOMAIN
from simulator.accounts import Account, Card
from simulator.charger import Charger
from simulator.nbfx import encode
from simulator.observations import StateId
from simulator.simulator import Simulator

from .conftest import (
    CARD,
    PASSWORD,
    EntityFinder,
    SecretsInLogs,
    TimeMachine,
    set_up,
    wait_until,
)


def test_the_watch_over_logs_sees(
    secrets_in_logs: SecretsInLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """The fixture that checks the logs notices a secret in a line, or in a traceback."""
    logger = logging.getLogger("custom_components.zaptec")
    logger.setLevel(logging.DEBUG)
    logger.debug("card %s", CARD)
    try:
        int(CARD)
    except ValueError:
        logger.exception("fault")
    logger.debug("nothing")
    assert len(secrets_in_logs.lines) == 2
    secrets_in_logs.lines.clear()


def test_secrets_of_web_hooks_in_the_log_are_noticed(
    secrets_in_logs: SecretsInLogs, sim: Simulator, charger: Charger
) -> None:
    """The fixture knows the ids and the password of web hooks, and the codes of cards."""
    url = "https://example.com/api/webhook/id-of-a-"
    charger.installation.set_web_hooks(
        f"{url}start-hook", f"{url}end-hook", "zaptec", "password-of-a-hook"
    )
    card = Card("Key ring", "04A1B2C3D4E5F6")
    driver = Account("ada@example.com", "", "1", "Ada Driver", cards=(card,))
    charger.installation.drivers.append(driver)
    logger = logging.getLogger("custom_components.zaptec")
    for text in ("id-of-a-start-hook", "id-of-a-end-hook", "password-of-a-hook"):
        logger.debug("called %s", text)
    logger.debug("card %s", card.code)
    logger.debug("nothing")
    assert len(secrets_in_logs.lines) == 4
    secrets_in_logs.lines.clear()


async def test_faults_contain_no_secrets(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """Log lines about damaged or refused data do not quote it, at any level."""
    topic = charger.installation.topic
    session = {"SessionId": "x", "AuthenticationCode": CARD, "Energy": "much"}
    document = {
        "ChargerId": charger.id,
        "StateId": StateId.COMPLETED_SESSION,
        "Timestamp": "2099-05-20T12:41:41.5Z",
        "ValueAsString": json.dumps(session),
    }
    for body in (
        encode(json.dumps(document)),
        encode(json.dumps(document))[:-30],
        encode(CARD),
        CARD.encode(),
        encode(json.dumps(document | {"ChargerId": CARD})),
        encode(json.dumps(document | {"Timestamp": CARD})),
        encode(json.dumps(document | {"StateId": CARD})),
        encode(json.dumps(document | {"StateId": 722, "ValueAsString": CARD})),
        encode(json.dumps(document | {"StateId": 710, "ValueAsString": CARD})),
    ):
        sim.bus.publish(topic, body)
    await sim.bus.wait_idle()
    sim.set_bus_key(charger.installation.id, "bm90LXRoZS1vbGQta2V5")
    sim.rest.tokens.revoke()
    sim.bus.drop_connections()
    await entities.wait_for(
        "sensor", charger.installation.id, "push_status", "disconnected"
    )
    await time_machine.travel(20, step=1)
    await entities.wait_for(
        "sensor", charger.installation.id, "push_status", "connected"
    )


async def test_a_refused_password_is_not_logged(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """A refused password is not in the log; the entry only starts a reauthentication."""
    sim.set_password(next(iter(sim.accounts)), "another")
    await set_up(hass, entry)
    assert PASSWORD not in str(entry.reason)
    assert [*entry.async_get_active_flows(hass, {"reauth"})]


async def test_repr_contains_no_secrets(
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    secrets_in_logs: SecretsInLogs,
) -> None:
    """The representations of all objects are free of secrets, for debuggers and logs."""
    runtime = live_entry.runtime_data
    details = ConnectionDetails.from_json(sim.connection_details(charger.installation))
    shown = repr(
        [
            runtime,
            runtime.coordinator,
            runtime.client,
            runtime.client._token_source,
            runtime.client._requester,
            runtime.coordinator.data,
            runtime.links,
            details,
            Subscription(details),
            runtime.states,
            Observation(charger.id, 723, dt_util.utcnow(), CARD),
            Response(200, PASSWORD.encode()),
        ]
    )
    assert [secret for secret in secrets_in_logs.secrets() if secret in shown] == []


async def test_names_are_words(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Names and versions from the cloud are reduced to one short line."""
    charger.name = "Garage\r\n\x1b[31mERROR \u202egnp.exe" + "!" * 500
    sim.bus.publish(
        charger.installation.topic,
        encode(
            json.dumps(
                {
                    "ChargerId": charger.id,
                    "StateId": int(StateId.COMPUTER_VERSION),
                    "Timestamp": "2099-05-20T12:41:41.5Z",
                    "ValueAsString": "9.9\n\u202e" + "9" * 5000,
                }
            )
        ),
    )
    await live_entry.runtime_data.coordinator.async_refresh()

    def device() -> dr.DeviceEntry:
        found = device_registry.async_get_device_by_identifier(
            (DOMAIN, charger.id), live_entry.entry_id
        )
        assert found
        return found

    await wait_until(lambda: (device().sw_version or "").startswith("9.9"))
    for text in (device().name, device().sw_version):
        assert text
        assert text.isprintable()
        assert len(text) <= 100


async def test_what_a_charger_makes_up_does_not_fill_the_memory(
    sim: Simulator, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """The number of StateIds kept per charger is limited, which protects the memory."""
    for state_id in range(10_000, 10_700):
        charger.observe(state_id, value=1)
    charger.observe(StateId.TOTAL_CHARGE_POWER, value=7.0)
    await sim.bus.wait_idle()
    state = live_entry.runtime_data.states[charger.id]
    await wait_until(lambda: state.value(513) == 7.0)
    assert sum(1 for _ in state.observations()) == 500
