"""The entities of each platform, for each kind of charger and account."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
import json
from pathlib import Path
from unittest.mock import PropertyMock, patch

from freezegun import freeze_time
from freezegun.api import TickingDateTimeFactory
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import props

from custom_components.zaptec import PLATFORMS
from simulator.accounts import UserRole
from simulator.installation import NetworkType
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import add_entry, set_up, wait_until

FIXTURES = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SERIALS = {"pro": "ZPR000303", "go": "ZAP000301", "go2": "GPN000302"}
# Entities that only an owner or a service account has.
CONTROL_PLATFORMS = {
    Platform.BUTTON,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SWITCH,
}
ACCOUNTS = [
    pytest.param("pro", OWNER, id="pro"),
    pytest.param("go", OWNER, id="go"),
    pytest.param("go2", OWNER, id="go2"),
    pytest.param("go", UserRole.USER, id="user"),
]


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Return snapshots limited to the fields that every supported Home Assistant has.

    Home Assistant 2026.11 adds `compat_name` to the entries of the registry.
    """
    return snapshot.with_defaults(
        extension_class=HomeAssistantSnapshotExtension, exclude=props("compat_name")
    )


@pytest.fixture
async def clocks() -> AsyncGenerator[TickingDateTimeFactory]:
    """Begin at the time of the recorded payloads."""
    with freeze_time(NOW, tick=True) as frozen:
        yield frozen


@pytest.fixture
def scenario(model: str, role: UserRole) -> Scenario:
    """Return an account with one charger."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=25,
                installation_type=1,
                network_type=NetworkType.TN_3_PHASE,
                available_current=20,
                three_to_one_phase_switch_current=8 if model == "go2" else None,
                chargers=(
                    ChargerScenario(
                        serial=SERIALS[model],
                        name="Garage",
                        firmware="3.2.1.0" if model == "go2" else None,
                        available_firmware="3.3.0.1",
                    ),
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="someone@example.com", password="x", roles={"Home": role}
            ),
        ),
    )


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("model", "role"), ACCOUNTS)
async def test_entities(
    clocks: TickingDateTimeFactory,
    hass: HomeAssistant,
    sim: Simulator,
    snapshot: SnapshotAssertion,
    entity_registry: er.EntityRegistry,
    model: str,
    role: UserRole,
    platform: Platform,
) -> None:
    """Names, units, classes and values of all entities, from recorded payloads."""
    (charger,) = sim.chargers.values()
    charger.installation.updated = NOW
    charger.observations = {
        item["StateId"]: StoredObservation(
            datetime.fromisoformat(item["Timestamp"]).replace(tzinfo=UTC),
            item.get("ValueAsString"),
        )
        for item in json.loads((FIXTURES / f"state_{model}.json").read_text("utf-8"))
    }
    if role is UserRole.USER:
        sim.rest.fail("/state$", fault=403)
    entry = add_entry(hass, sim)
    with (
        patch("custom_components.zaptec.PLATFORMS", [platform]),
        patch(
            "homeassistant.helpers.entity.Entity.entity_registry_enabled_default",
            PropertyMock(return_value=True),
        ),
    ):
        await set_up(hass, entry)
        runtime = entry.runtime_data
        await wait_until(lambda: bool(runtime.firmware.data))
        await wait_until(
            lambda: (
                runtime.reader.has_read(charger.id)
                or not runtime.reader.is_live(charger.id)
            )
        )
        await wait_until(lambda: runtime.round_robin.is_idle)
        await hass.async_block_till_done()
        # The cloud has a switch current of the Go 2's installation only.
        has_none = (platform is Platform.SELECT and model != "go2") or (
            role is UserRole.USER and platform in CONTROL_PLATFORMS
        )
        if has_none:
            assert not hass.states.async_all()
        else:
            await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)
