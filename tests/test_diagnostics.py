"""Tests of the diagnostics: they show enough for support, and nothing private."""

from collections.abc import Callable
from datetime import UTC, datetime
import json
from pathlib import Path
from time import monotonic
from typing import Any

from freezegun import freeze_time
from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from custom_components.zaptec.api import Observation
from custom_components.zaptec.api.observations import StateId
from custom_components.zaptec.const import CONF_PRICES, DOMAIN
from custom_components.zaptec.diagnostics import (
    async_get_config_entry_diagnostics,
    async_get_device_diagnostics,
)
from custom_components.zaptec.history.prices import Period, Tariff
from custom_components.zaptec.history.statistics import statistic_id
from simulator import documents, faults
from simulator.charger import Charger
from simulator.scenario import Scenario
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import (
    CARD,
    SecretsInLogs,
    TimeMachine,
    set_up,
    wait_until,
    wait_until_live,
)

FIXTURES = Path(__file__).parent / "fixtures"
SECRET = "Kryptonite"

# The fields with names, which the cloud's users choose; they become names of entities.
_NAMES = {"Name", "InstallationName", "DeviceId", "SerialNo", "MID"}

# Keys whose values differ from run to run.
_VARYING = {
    "age",
    "due",
    "fault_at",
    "last_error_at",
    "last_message",
    "last_success",
    "longest",
    "next_read_in",
    "pending_wish_due",
    "shared_since",
    "since",
    "total",
}


@pytest.fixture
def entry(hass: HomeAssistant, entry: MockConfigEntry) -> MockConfigEntry:
    """Return an entry whose title was changed by the user."""
    hass.config_entries.async_update_entry(entry, title="The account of Kari")
    return entry


async def _download(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Return the diagnostics in the form in which they are downloaded."""
    found = await async_get_config_entry_diagnostics(hass, entry)
    document: dict[str, Any] = json.loads(json.dumps(found))
    return document


def _private(sim: Simulator, entry: MockConfigEntry) -> set[str]:
    """Return the texts that must not be in a download."""
    words = {SECRET, entry.title, *entry.data.values()}
    for item in sim.installations.values():
        words |= {item.id, item.name, "Ladeveien"}
    for charger in sim.chargers.values():
        words |= {charger.id, charger.name, charger.serial}
    return words


async def test_download(
    hass: HomeAssistant, sim: Simulator, live_entry: MockConfigEntry, charger: Charger
) -> None:
    """The download covers every part, causes no request, and contains nothing private."""
    runtime = live_entry.runtime_data
    state = runtime.states[charger.id]
    # Any StateId, known or not, may hold a private text.
    for state_id in [*{int(item) for item in StateId}, 4711]:
        if state_id not in state or state_id == StateId.SESSION_IDENTIFIER:
            state.apply(
                Observation(charger.id, state_id, datetime.now(UTC), f"{SECRET} 1.2")
            )
    before = len(sim.rest.requests)
    document = await _download(hass, live_entry)
    assert len(sim.rest.requests) == before

    text = json.dumps(document)
    assert [word for word in _private(sim, live_entry) if word in text] == []
    assert document["entry"]["state"] == "loaded"
    assert document["installations"]["installation 1"]["link"]["status"] == "connected"
    shown = document["chargers"]["charger 1"]
    assert shown["installation"] == "installation 1"
    assert shown["observations"]["710"]["value"] == "disconnected"
    assert shown["observations"]["4711"]["value"] == "**REDACTED**"
    requests = document["requests"]["last_hour"]
    assert requests["GET /api/chargers/{id}/state"] == {"200": 1}


@pytest.mark.parametrize("scenario", [Scenario.default()], ids=["housing cooperative"])
async def test_device(
    hass: HomeAssistant, live_entry: MockConfigEntry, charger: Charger
) -> None:
    """The diagnostics of a device contain that device and its installation only."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, charger.id), config_entry_id=live_entry.entry_id
    )
    assert device
    found = await async_get_device_diagnostics(hass, live_entry, device)
    (shown,) = found["chargers"].values()
    assert list(found["installations"]) == [shown["installation"]]
    assert found["installations"][shown["installation"]]["link"]["connects"] == 1

    home = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, charger.installation.id), config_entry_id=live_entry.entry_id
    )
    assert home
    found = await async_get_device_diagnostics(hass, live_entry, home)
    assert list(found["installations"]) == [shown["installation"]]
    assert found["chargers"] == {}


@pytest.mark.parametrize("scenario", [Scenario.of(30)])
async def test_size(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """The diagnostics of thirty chargers are small enough to attach to an issue."""
    document = await _download(hass, live_entry)
    assert len(document["chargers"]) == 30
    assert len(json.dumps(document)) < 1_000_000


async def test_wrong_password(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Diagnostics work for an account with a wrong password, and do not contain it."""
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, "password": SECRET}
    )
    await set_up(hass, entry)
    document = await _download(hass, entry)
    text = json.dumps(document)
    assert [word for word in _private(sim, entry) if word in text] == []
    assert document["entry"]["state"] == "setup_error"
    assert document["discovery"]["last_exception"] == "ConfigEntryAuthFailed"
    assert document["requests"]["last_error"] == "POST /oauth/token: 400"


async def test_never_set_up(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Diagnostics work for an entry that was never set up."""
    document = await _download(hass, entry)
    text = json.dumps(document)
    assert [word for word in _private(sim, entry) if word in text] == []
    assert document["entry"]["state"] == "not_loaded"


@pytest.mark.parametrize("fault", [500, 401, "html", "malformed"])
async def test_cloud_is_down(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry, fault: Any
) -> None:
    """Diagnostics work while the set-up is retried, and cause no request."""
    sim.rest.fail("/api/(installation|chargers)$", fault=fault)
    await set_up(hass, entry)
    before = len(sim.rest.requests)
    document = await _download(hass, entry)
    assert len(sim.rest.requests) == before
    text = json.dumps(document)
    assert [word for word in _private(sim, entry) if word in text] == []
    assert document["entry"]["state"] == "setup_retry"
    assert not document["discovery"]["last_update_success"]


async def test_what_is_past(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """A past fault and outdated lists are shown with their times."""
    runtime = live_entry.runtime_data
    link = runtime.links[charger.installation.id].own
    shown = (await _download(hass, live_entry))["installations"]["installation 1"]
    assert shown["link"]["fault"] is shown["link"]["fault_at"] is None
    assert shown["link"]["given_up_age"] is None
    assert shown["link"]["missed_messages"] == 0

    await sim.bus.cut()
    await wait_until(lambda: link.status == "disconnected")
    await sim.bus.restore()
    await time_machine.travel_until(lambda: link.status == "connected", step=5)
    link.counters.stream.missed = 3
    link.reopened_at = monotonic()
    sim.rest.fail("/api/(installation|chargers)$", fault=500)
    # A jump leaves out the real time before it, so this is a second more than 200.
    await time_machine.travel(201)
    await runtime.coordinator.async_refresh()
    document = await _download(hass, live_entry)
    shown = document["installations"]["installation 1"]["link"]
    assert shown["status"] == "connected"
    assert shown["fault"]
    assert shown["fault_at"] < shown["since"]
    assert shown["fault_age"] >= 200
    assert 200 <= shown["given_up_age"] <= 230
    assert shown["missed_messages"] == 3
    discovery = document["discovery"]
    assert not discovery["last_update_success"]
    assert discovery["last_success"] < shown["since"]
    assert discovery["last_success_age"] >= 200

    sim.rest.heal()
    await runtime.coordinator.async_refresh()
    discovery = (await _download(hass, live_entry))["discovery"]
    assert discovery["last_success"] > shown["since"]
    assert discovery["last_success_age"] < 30


@pytest.fixture
async def november() -> Any:
    """Begin at the time of the recorded payloads."""
    with freeze_time(datetime(2026, 11, 1, 12, tzinfo=UTC), tick=True) as frozen:
        yield frozen


def _without_what_varies(document: Any, key: str = "") -> Any:
    """Return a download without times and versions, which differ from run to run."""
    if isinstance(document, dict):
        return {
            name: "<version>" if key == "versions" else _without_what_varies(item, name)
            for name, item in document.items()
        }
    if isinstance(document, list):
        return [_without_what_varies(item, key) for item in document]
    if document is not None and (key in _VARYING or key.endswith("_age")):
        return f"<{type(document).__name__}>"
    return document


async def test_costs(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """It is shown how many hours lack a price, but not which entity shows the price."""
    assert "costs" not in await _download(hass, live_entry)
    tariff = Tariff((Period(0, 0.25), Period(9, entity_id="sensor.price_of_kari")))
    hass.config_entries.async_update_entry(
        live_entry, options={CONF_PRICES: tariff.as_stored()}
    )
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    # Without the recorder, no costs are kept.
    live_entry.runtime_data.history.costs.follow(
        {statistic_id(charger.id): lambda: "Space 1"}
    )
    document = await _download(hass, live_entry)
    assert document["costs"] == {
        "prices": ["fixed", "entity"],
        "hours_without_price": {"charger 1": 0},
    }
    assert "kari" not in json.dumps(document)


@pytest.mark.parametrize("model", ["pro", "go"])
async def test_snapshot(
    november: TickingDateTimeFactory,
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    charger: Charger,
    snapshot: SnapshotAssertion,
    model: str,
) -> None:
    """The diagnostics of a charger that sends recorded payloads."""
    charger.observations = {
        item["StateId"]: StoredObservation(
            datetime.fromisoformat(item["Timestamp"]).replace(tzinfo=UTC),
            item.get("ValueAsString"),
        )
        for item in json.loads((FIXTURES / f"state_{model}.json").read_text("utf-8"))
    }
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    document = _without_what_varies(await _download(hass, entry))
    assert document == snapshot.use_extension(HomeAssistantSnapshotExtension)


def _plant(
    monkeypatch: pytest.MonkeyPatch, name: str, words: Callable[[], str]
) -> None:
    """Let the cloud return a private text in each field except ids and names."""
    original = getattr(documents, name)
    kept = {"Id", "ChargerId", "InstallationId", "StateId", "Timestamp", *_NAMES}

    def planted(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        for item in answer if isinstance(answer, list) else [answer]:
            item.update(dict.fromkeys(item.keys() - kept, words()))
            item[words()] = words()
        return answer

    monkeypatch.setattr(documents, name, planted)


@pytest.mark.parametrize("answers", ["usual", "malformed"])
async def test_planted_secrets(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
    charger: Charger,
    secrets_in_logs: SecretsInLogs,
    answers: str,
) -> None:
    """No planted secret is in a download, whichever field holds it and whichever request fails."""
    installation = charger.installation
    charger.name = installation.name = f"{SECRET} {documents.ADDRESS}"
    keys = {installation.bus_key, "bm90LXRoZS1rZXktYXQtYWxs"}

    def secrets() -> set[str]:
        assert sim.rest.tokens.issued
        return secrets_in_logs.secrets() | _private(sim, entry) | keys

    def words() -> str:
        return " ".join(sorted(secrets()))

    async def look() -> dict[str, Any]:
        """Check every download for secrets."""
        document = await _download(hass, entry)
        devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
        assert len(devices) == 2
        text = json.dumps(
            [
                document,
                *[
                    await async_get_device_diagnostics(hass, entry, device)
                    for device in devices
                ],
            ]
        )
        assert [secret for secret in secrets() if secret in text] == []
        return document

    # Any StateId, known or not, may hold a private text.
    for state_id in [*{int(item) for item in StateId}, 4711]:
        if state_id not in charger.observations:
            charger.observations[state_id] = StoredObservation(
                datetime.now(UTC), f"{CARD} {documents.PIN} {SECRET}"
            )
    if answers == "malformed":
        for name in ("installation", "charger_list_item", "state", "firmware"):
            _plant(monkeypatch, name, words)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await time_machine.settle()
    document = await look()
    shown = document["chargers"]["charger 1"]["observations"]
    assert shown["4711"]["value"] == "**REDACTED**"
    if answers == "malformed":
        assert shown["710"]["value"] is None

    # The cloud returns a key that the Service Bus refuses.
    link = entry.runtime_data.links[installation.id]
    installation.bus_key = "bm90LXRoZS1rZXktYXQtYWxs"
    sim.bus.drop_connections()
    await wait_until(lambda: link.status == "disconnected")
    await time_machine.travel(20)
    shown = (await look())["installations"]["installation 1"]["link"]
    assert "The key to the messages is not valid" in shown["fault"]

    # The host of the messages is not a valid host name.
    details = sim.connection_details(installation)
    monkeypatch.setattr(
        sim.rest.cloud, "connection_details", lambda _: dict.fromkeys(details, words())
    )
    before = link.own.fault
    await time_machine.travel(60)
    await look()
    assert link.own.fault != before

    # Error responses of the cloud, which may contain any text.
    rejection = faults.rejection
    monkeypatch.setattr(
        faults,
        "rejection",
        lambda code, _, status=500: rejection(code, SECRET, status=status),
    )
    for fault in (400, 403, 500, "malformed"):
        sim.rest.heal()
        sim.rest.fail("/api/", fault=fault)
        await time_machine.travel(70)
        await entry.runtime_data.coordinator.async_refresh()
        document = await look()
        assert document["discovery"]["last_exception"] == "UpdateFailed"
