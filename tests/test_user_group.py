"""The messages of a user group, over real sockets: the option, the link and its faults."""

from dataclasses import replace
from typing import Any

from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN, PushRefusal, PushStatus
from custom_components.zaptec.diagnostics import async_get_config_entry_diagnostics
from custom_components.zaptec.sources.installation_push import InstallationPush
from custom_components.zaptec.sources.link import Link
from custom_components.zaptec.system_health import system_health_info
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import Scenario, UserGroupScenario
from simulator.simulator import Simulator
from simulator.user_group import UserGroup

from .another_reader import another_reader
from .conftest import set_up, wait_until
from .home import open_options
from .test_issues import texts
from .time_machine import TimeMachine

OWN_DETAILS = "installation/.*/messagingConnectionDetails$"
GROUP_DETAILS = "userGroups/.*/messagingConnectionDetails$"
LISTS = ("/api/installation", "/api/chargers")


@pytest.fixture
def scenario() -> Scenario:
    """Return a home, a cooperative, and a user group that covers both."""
    return Scenario.default()


class Group:
    """An account with a user group, and what the tests do with it."""

    def __init__(
        self,
        hass: HomeAssistant,
        sim: Simulator,
        entry: MockConfigEntry,
        time_machine: TimeMachine,
    ) -> None:
        """Initialize the account, which is not set up."""
        self.hass = hass
        self.sim = sim
        self.entry = entry
        self.time_machine = time_machine
        self.group: UserGroup = next(iter(sim.user_groups.values()))
        self.home, self.cooperative = list(sim.installations.values())[:2]

    @property
    def link(self) -> Link:
        """Return the link to the group's messages."""
        (link,) = self.entry.runtime_data.links.groups
        return link

    def push(self, installation_id: str) -> InstallationPush:
        """Return the messages of an installation."""
        push: InstallationPush = self.entry.runtime_data.links[installation_id]
        return push

    def is_live(self, charger: Charger) -> bool:
        """Return whether messages report a charger."""
        return bool(self.entry.runtime_data.links.is_live(charger.id))

    def state(self, unique_id: str) -> str | None:
        """Return the state of a sensor, None if there is none."""
        registry = er.async_get(self.hass)
        entity_id = registry.async_get_entity_id("sensor", DOMAIN, unique_id)
        state = self.hass.states.get(entity_id) if entity_id else None
        return state.state if state else None

    def transport(self, installation_id: str) -> object:
        """Return how the messages of an installation arrive, by its sensor."""
        registry = er.async_get(self.hass)
        entity_id = registry.async_get_entity_id(
            "sensor", DOMAIN, f"{installation_id}_push_status"
        )
        assert entity_id
        state = self.hass.states.get(entity_id)
        assert state
        return state.attributes["transport"]

    async def start(self) -> None:
        """Set up the account with the option, and wait until the group's link is up."""
        self.choose()
        await set_up(self.hass, self.entry)
        await wait_until(lambda: self.link.status is not PushStatus.CONNECTING)

    def choose(self) -> None:
        """Store the option."""
        self.hass.config_entries.async_update_entry(
            self.entry, options={"user_group": self.group.id}
        )

    async def hear(self, *chargers: Charger) -> None:
        """Let chargers report something, and wait until it has arrived."""
        number = sum(len(item.observations) for item in chargers)
        for charger in chargers:
            number += 1
            charger.observe(StateId.HUMIDITY, 40 + number % 7 + number / 1000)
        await self.time_machine.settle()

    def count(self, end: str) -> int:
        """Return the number of requests whose paths end like this."""
        return sum(record.path.endswith(end) for record in self.sim.rest.requests)

    async def cut(self) -> None:
        """Refuse the group's link, and end the one that is up."""
        self.sim.bus.refuse_attach(self.group.topic, "amqp:not-found")
        self.sim.bus.detach(self.group.topic, "amqp:not-found")
        await wait_until(lambda: self.link.status is PushStatus.DISCONNECTED)

    async def restore(self) -> None:
        """Accept the group's link again, and wait until it is up."""
        self.sim.bus.refuse_attach(self.group.topic, None)
        await self.time_machine.travel_until(
            lambda: self.link.status is PushStatus.CONNECTED
        )


@pytest.fixture
def group(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
) -> Group:
    """Return an account with a user group, not set up."""
    return Group(hass, sim, entry, time_machine)


async def submit(
    hass: HomeAssistant, entry: MockConfigEntry, **values: Any
) -> dict[str, Any]:
    """Open the options, submit them with all chargers included, and return the result."""
    form = await open_options(hass, entry)
    chargers = list(entry.runtime_data.coordinator.visible.chargers)
    result = await hass.config_entries.options.async_configure(
        form["flow_id"], {"all_chargers": True, "chargers": chargers, **values}
    )
    await hass.async_block_till_done()
    return dict(result)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (403, "user_group_refused"),
        (404, "user_group_refused"),
        ("empty", "user_group_refused"),
        (503, "cloud_busy"),
        (500, "cloud_busy"),
        ("reset", "cannot_connect"),
        ("html", "intercepted"),
        ("malformed", "unknown"),
    ],
)
async def test_a_user_group_that_cannot_be_checked(
    hass: HomeAssistant,
    live_entry: MockConfigEntry,
    group: Group,
    fault: int | str,
    error: str,
) -> None:
    """Its connection details are requested, and each failure has its own error."""
    group.sim.rest.fail(GROUP_DETAILS, fault=fault)
    result = await submit(hass, live_entry, user_group=group.group.id)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"user_group": error}

    # The form keeps what was entered, and the next attempt succeeds.
    group.sim.rest.heal()
    chargers = list(live_entry.runtime_data.coordinator.visible.chargers)
    result = dict(
        await hass.config_entries.options.async_configure(
            result["flow_id"],
            {
                "all_chargers": True,
                "chargers": chargers,
                "user_group": f" {group.group.id.upper()} ",
            },
        )
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert live_entry.options == {"user_group": group.group.id}
    await hass.async_block_till_done()
    await wait_until(lambda: group.link.status is PushStatus.CONNECTED)


async def test_a_user_group_when_the_sign_in_is_refused(
    hass: HomeAssistant, live_entry: MockConfigEntry, group: Group
) -> None:
    """The password was changed meanwhile, so that the account must be signed in again."""
    user_name = next(iter(group.sim.accounts))
    group.sim.set_password(user_name, "another-password-of-the-tests")
    result = await submit(hass, live_entry, user_group=group.group.id)
    assert result["errors"] == {"user_group": "invalid_auth"}


async def test_a_wrong_user_group_id(
    hass: HomeAssistant, live_entry: MockConfigEntry, group: Group
) -> None:
    """Text that is no id is not sent; an id of no group and a disabled group have errors."""
    group.sim.rest.clear()
    result = await submit(hass, live_entry, user_group="Association")
    assert result["errors"] == {"user_group": "user_group_invalid"}
    assert group.sim.rest.requests == []
    result = await submit(hass, live_entry, user_group=group.home.id)
    assert result["errors"] == {"user_group": "user_group_refused"}
    group.group.messaging_enabled = False
    result = await submit(hass, live_entry, user_group=group.group.id)
    assert result["errors"] == {"user_group": "user_group_off"}
    assert live_entry.options == {}


async def test_a_user_group_that_another_account_reads(
    hass: HomeAssistant, live_entry: MockConfigEntry, group: Group
) -> None:
    """Each message would reach only one of the two."""
    other = MockConfigEntry(
        domain=DOMAIN, unique_id="other", options={"user_group": group.group.id}
    )
    other.add_to_hass(hass)
    group.sim.rest.clear()
    result = await submit(hass, live_entry, user_group=group.group.id)
    assert result["errors"] == {"user_group": "user_group_taken"}
    assert group.sim.rest.requests == []


async def test_the_group_and_the_chargers_are_kept_when_the_other_is_saved(
    hass: HomeAssistant, live_entry: MockConfigEntry, group: Group
) -> None:
    """The form shows both, and a group that was accepted is not requested again."""
    charger_id = next(iter(group.sim.chargers))
    await submit(hass, live_entry, user_group=group.group.id)
    group.sim.rest.clear()
    group.sim.rest.fail(GROUP_DETAILS, fault=403)
    form = await open_options(hass, live_entry)
    suggested = {
        str(key): key.description["suggested_value"]
        for key in form["data_schema"].schema
        if key.description
    }
    assert suggested["user_group"] == group.group.id
    result = await hass.config_entries.options.async_configure(
        form["flow_id"],
        {
            "all_chargers": False,
            "chargers": [charger_id],
            "user_group": group.group.id,
        },
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert live_entry.options == {
        "chargers": [charger_id],
        "user_group": group.group.id,
    }


async def test_nothing_is_left_when_the_option_is_cleared(
    hass: HomeAssistant, group: Group
) -> None:
    """Its sensor is no device's, and goes with the option; so does its issue."""
    await group.start()
    unique_id = f"{group.group.id}_push_status"
    assert group.state(unique_id) == "connected"
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id("sensor", DOMAIN, unique_id)
    assert entity_id
    entity = registry.async_get(entity_id)
    assert entity
    assert entity.device_id is None
    group.sim.rest.fail(GROUP_DETAILS, fault=403)
    group.sim.bus.drop_connections()
    await wait_until(lambda: group.link.status is PushStatus.NOT_PERMITTED)
    await group.time_machine.travel(65)
    assert set(await texts(hass)) == {"user_group_refused"}

    result = await submit(hass, group.entry)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert group.entry.options == {}
    assert registry.async_get(entity_id) is None
    assert hass.states.get(entity_id) is None
    await group.time_machine.travel(65)
    assert await texts(hass) == {}
    assert group.sim.bus.consumers(group.group.topic) == 0


async def test_the_sensor_may_be_gone_when_the_option_is_cleared(
    hass: HomeAssistant, group: Group
) -> None:
    """The user may have deleted it, for example together with other entities."""
    await group.start()
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id(
        "sensor", DOMAIN, f"{group.group.id}_push_status"
    )
    assert entity_id
    registry.async_remove(entity_id)
    result = await submit(hass, group.entry)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert group.entry.options == {}


async def test_a_group_makes_up_for_links_that_are_refused(
    hass: HomeAssistant, group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    """All is live by one link; each charger is read once, and there is no issue."""
    sim = group.sim
    sim.rest.fail(OWN_DETAILS, fault=403)
    await group.start()
    chargers = list(sim.chargers.values())
    await group.time_machine.travel(30)
    assert not any(map(group.is_live, chargers))
    assert group.state(f"{group.home.id}_push_status") == "not_permitted"
    await group.hear(*chargers)
    assert all(map(group.is_live, chargers))
    for installation in sim.installations.values():
        assert group.state(f"{installation.id}_push_status") == "connected"
        assert group.transport(installation.id) == "amqp"
    await group.time_machine.travel(3500, step=20)
    assert await texts(hass) == {}
    assert group.count("/state") == len(chargers)
    assert sim.bus.connections == 1
    assert all(map(group.is_live, chargers))
    # A log that said that these chargers are polled would be wrong.
    for installation in sim.installations.values():
        assert (
            f"Push is not permitted for installation {installation.id}."
            " Its chargers are polled, unless another link reports them"
        ) in caplog.text

    charger = chargers[0]
    charger.plug_in(Car())
    await wait_until(
        lambda: (
            group.state(f"{charger.id}_charger_operation_mode")
            == "connected_requesting"
        )
    )


async def test_a_group_costs_one_request(group: Group) -> None:
    """That is for each connection."""
    await group.start()
    await group.time_machine.travel(5)
    assert group.count("messagingConnectionDetails") == 3
    assert group.count("/state") == len(group.sim.chargers)
    group.sim.rest.clear()
    group.sim.bus.detach(group.group.topic)
    await wait_until(lambda: group.link.counters.connects == 2)
    await group.time_machine.travel(600)
    assert [record.path for record in group.sim.rest.requests] == [
        f"/api/userGroups/{group.group.id}/messagingConnectionDetails"
    ]


async def test_a_group_that_covers_half(hass: HomeAssistant, group: Group) -> None:
    """The other half is polled, and its issue comes as soon as that is clear."""
    sim = group.sim
    group.group.installations = {group.home.id}
    sim.rest.fail(OWN_DETAILS, fault=403)
    await group.start()
    chargers = list(sim.chargers.values())
    await group.hear(*chargers)
    assert [group.is_live(charger) for charger in chargers] == [True] + [False] * 6
    await group.time_machine.travel(25 * 60, step=20)
    assert await texts(hass) == {}
    await group.time_machine.travel(10 * 60, step=20)
    assert set(await texts(hass)) == {"push_not_permitted"}
    assert group.cooperative.name in (await texts(hass))["push_not_permitted"]
    assert group.state(f"{group.cooperative.id}_push_status") == "not_permitted"
    assert group.state(f"{group.group.id}_push_status") == "connected"
    sim.rest.clear()
    await group.time_machine.travel(1200, step=20)
    paths = {record.path for record in sim.rest.requests}
    assert f"/api/chargers/{chargers[0].id}/state" not in paths
    assert f"/api/chargers/{chargers[1].id}/state" in paths

    # Once the other installation is added to the group, its issue ends. Its chargers are live
    # from their first messages on.
    group.group.installations.add(group.cooperative.id)
    await group.hear(chargers[1])
    assert [group.is_live(charger) for charger in chargers] == [True] * 2 + [False] * 5
    await group.hear(*chargers[2:])
    await group.time_machine.travel(65)
    assert await texts(hass) == {}
    assert all(map(group.is_live, chargers))


def watch(hass: HomeAssistant) -> list[tuple[str, str]]:
    """Return a list that gets each state that is written from now on."""
    written: list[tuple[str, str]] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        new, old = event.data["new_state"], event.data["old_state"]
        if new is None or old is None or new.state != old.state:
            written.append((event.data["entity_id"], new.state if new else "removed"))

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    return written


async def test_the_loss_of_one_link_is_not_seen(
    hass: HomeAssistant, group: Group
) -> None:
    """Whichever is lost, no charger is read or polled, and no other state changes."""
    sim = group.sim
    await group.start()
    chargers = list(sim.chargers.values())
    await group.hear(*chargers)
    await group.time_machine.travel(65)
    for charger in chargers:
        charger.stop_pulse()
    sim.rest.clear()
    written = watch(hass)
    await group.cut()
    assert all(map(group.is_live, chargers))
    await group.time_machine.travel(60)
    await group.restore()
    for installation in sim.installations.values():
        sim.bus.refuse_attach(installation.topic, "amqp:not-found")
        sim.bus.detach(installation.topic, "amqp:not-found")
    await wait_until(
        lambda: all(
            group.push(key).own.status is PushStatus.DISCONNECTED
            for key in sim.installations
        )
    )
    await group.time_machine.travel(60)
    assert all(map(group.is_live, chargers))
    for installation in sim.installations.values():
        sim.bus.refuse_attach(installation.topic, None)
    await group.time_machine.travel_until(
        lambda: all(
            group.push(key).own.status is PushStatus.CONNECTED
            for key in sim.installations
        )
    )
    await group.time_machine.travel(60)
    assert group.count("/state") == 0
    status = er.async_get(hass).async_get_entity_id(
        "sensor", DOMAIN, f"{group.group.id}_push_status"
    )
    assert {entity_id for entity_id, _ in written} <= {status}
    assert [state for _, state in written] == ["disconnected", "connected"]


async def test_the_loss_of_both_links(hass: HomeAssistant, group: Group) -> None:
    """Chargers are polled until one of them is back."""
    sim = group.sim
    await group.start()
    chargers = list(sim.chargers.values())
    await group.hear(*chargers)
    # Readings wait until the cloud's cache of the previous ones has expired.
    await group.time_machine.travel(20)
    await sim.bus.cut()
    await wait_until(lambda: not any(map(group.is_live, chargers)))
    assert group.state(f"{group.home.id}_push_status") == "disconnected"
    sim.rest.clear()
    await group.time_machine.travel(595, step=20)
    assert group.count("/state") == 0
    await group.time_machine.travel(30, step=1)
    assert group.count("/state") == len(chargers)
    await group.time_machine.travel(1300, step=20)
    assert set(await texts(hass)) == {"push_down"}

    sim.rest.fail(OWN_DETAILS, fault=403)
    await sim.bus.restore()
    await group.restore()
    await group.time_machine.travel(65)
    assert all(map(group.is_live, chargers))
    assert group.push(group.home.id).own.status is not PushStatus.CONNECTED
    await group.time_machine.travel(65)
    assert await texts(hass) == {}
    assert group.state(f"{chargers[0].id}_humidity") != STATE_UNAVAILABLE


async def test_a_group_whose_subscription_is_off(
    hass: HomeAssistant, group: Group
) -> None:
    """The texts ask Zaptec support, not an owner; the issue stays the same one."""
    group.group.messaging_enabled = False
    await group.start()
    await group.time_machine.travel(65)
    shown = await texts(hass)
    assert set(shown) == {"user_group_unavailable"}
    assert "Zaptec support" in shown["user_group_unavailable"]
    issue_id = f"user_group_refused_{group.group.id}"
    assert (DOMAIN, issue_id) in ir.async_get(hass).issues

    # The subscription is on, but only for owners.
    group.group.messaging_enabled = True
    owners = group.group.owners.copy()
    group.group.owners.clear()
    await group.time_machine.travel(3700, step=30)
    shown = await texts(hass)
    assert set(shown) == {"user_group_refused"}
    assert "Ask an owner" in shown["user_group_refused"]
    assert "Zaptec support" not in shown["user_group_refused"]
    assert (DOMAIN, issue_id) in ir.async_get(hass).issues

    group.group.owners.update(owners)
    await group.time_machine.travel(3700, step=30)
    assert await texts(hass) == {}


async def test_a_group_without_rights(hass: HomeAssistant, group: Group) -> None:
    """It is an issue of the group alone, and ends when the rights are there."""
    sim = group.sim
    owner = group.group.owners.copy()
    group.group.owners.clear()
    await group.start()
    assert group.state(f"{group.group.id}_push_status") == "not_permitted"
    await wait_until(lambda: group.state(f"{group.home.id}_push_status") == "connected")
    await group.time_machine.travel(65)
    shown = await texts(hass)
    assert set(shown) == {"user_group_refused"}
    assert f"{group.group.id[:8]}…" in shown["user_group_refused"]
    assert group.group.id not in str(shown)

    # A restart does not show an ignored issue again.
    await hass.config_entries.async_reload(group.entry.entry_id)
    assert set(await texts(hass)) == {"user_group_refused"}
    group.group.owners.update(owner)
    await group.time_machine.travel(3700, step=30)
    assert await texts(hass) == {}
    assert sim.bus.consumers(group.group.topic) == 1


async def test_a_group_that_is_deleted(hass: HomeAssistant, group: Group) -> None:
    """The cloud does not know it any more (error 512), which is no outage: the issue says so."""
    sim = group.sim
    await group.start()
    chargers = list(sim.chargers.values())
    await group.hear(*chargers)
    del sim.user_groups[group.group.id]
    sim.bus.remove_topic(group.group.topic)
    await group.time_machine.travel_until(
        lambda: group.link.status is PushStatus.NOT_PERMITTED
    )
    assert group.link.refusal is PushRefusal.UNAVAILABLE
    await group.time_machine.travel(65)
    assert set(await texts(hass)) == {"user_group_unavailable"}
    assert all(map(group.is_live, chargers))


async def test_a_second_reader_of_the_group_alone(
    hass: HomeAssistant, group: Group
) -> None:
    """It does not matter while the installations have links of their own."""
    sim = group.sim
    await group.start()
    charger = next(iter(sim.chargers.values()))
    await group.hear(*sim.chargers.values())
    charger.plug_in(Car(capacity_kwh=200))
    await group.time_machine.travel(120)
    sim.rest.clear()
    async with another_reader(sim, group.group):
        await group.time_machine.travel(900, step=10)
        assert await texts(hass) == {}
        assert group.count("/state") == 0
        assert group.is_live(charger)

        # Without its own link the home depends on the group.
        sim.rest.fail(OWN_DETAILS, fault=403)
        for installation in sim.installations.values():
            sim.bus.detach(installation.topic)
        await group.time_machine.travel_until(
            lambda: group.link.shared_since is not None, step=10
        )
        await group.time_machine.travel(65)
        shown = await texts(hass)
        assert set(shown) == {"user_group_shared"}
        assert f"{group.group.id[:8]}…" in shown["user_group_shared"]
        assert group.count("/state") > 0

    await group.time_machine.travel(1500, step=10)
    assert await texts(hass) == {}
    assert group.link.shared_since is None
    assert group.is_live(charger)


@pytest.mark.parametrize("scenario", [Scenario.default()])
async def test_what_arrives_twice_counts_once(
    hass: HomeAssistant, group: Group
) -> None:
    """Each state, each session and its energy are written once, with both links."""
    sim = group.sim
    await group.start()
    charger = next(iter(sim.chargers.values()))
    await group.hear(*sim.chargers.values())
    assert group.push(group.home.id).source == "both"
    before = group.state(f"{charger.id}_signed_meter_value_kwh")
    assert before
    written = watch(hass)
    charger.plug_in(Car(capacity_kwh=3))
    await group.time_machine.travel(1800, step=10)
    charger.unplug()
    await group.time_machine.travel(60)

    registry = er.async_get(hass)
    mode = registry.async_get_entity_id(
        "sensor", DOMAIN, f"{charger.id}_charger_operation_mode"
    )
    assert [state for entity_id, state in written if entity_id == mode] == [
        "connected_requesting",
        "connected_charging",
        "connected_finished",
        "disconnected",
    ]
    session = registry.async_get_entity_id(
        "sensor", DOMAIN, f"{charger.id}_completed_session.Energy"
    )
    # The sensor is new, so it begins with the baseline of its statistics.
    assert [float(state) for entity_id, state in written if entity_id == session] == [
        0,
        pytest.approx(3, abs=0.1),
    ]
    meter = group.state(f"{charger.id}_signed_meter_value_kwh")
    assert meter
    assert float(meter) - float(before) == pytest.approx(3, abs=0.1)
    received = group.link.counters.messages
    assert received > 20
    own = group.push(group.home.id).own.counters
    assert own.messages + group.push(group.cooperative.id).own.counters.messages == (
        received
    )


@pytest.mark.parametrize(
    "scenario",
    [
        replace(
            Scenario.of(30),
            user_groups=(
                UserGroupScenario(
                    name="All", owners=(Scenario.of(30).accounts[0].user_name,)
                ),
            ),
        )
    ],
)
async def test_foreign_chargers_cause_few_look_ups(group: Group) -> None:
    """A group may have installations that the account does not see, or does not include."""
    sim = group.sim
    account = next(iter(sim.accounts.values()))
    shown, foreign = sim.installations.values()
    del account.roles[foreign.id]
    excluded = shown.chargers[1:]
    group.hass.config_entries.async_update_entry(
        group.entry,
        options={"chargers": [shown.chargers[0].id], "user_group": group.group.id},
    )
    await set_up(group.hass, group.entry)
    await wait_until(lambda: group.link.status is PushStatus.CONNECTED)
    sim.rest.clear()
    for _ in range(10):
        await group.hear(*foreign.chargers, *excluded)
        await group.time_machine.travel(150, step=30)
    lists = [record for record in sim.rest.requests if record.path in LISTS]
    assert len(lists) <= 4
    assert group.link.counters.messages > 100


async def test_a_dead_own_link_is_found_before_the_group_fails(group: Group) -> None:
    """The messages that arrive by the group alone show it."""
    sim = group.sim
    await group.start()
    charger = next(iter(sim.chargers.values()))
    await group.hear(*sim.chargers.values())
    charger.plug_in(Car(capacity_kwh=200))
    await group.time_machine.travel(120)
    sim.bus.interfere(group.home.topic, "elsewhere")
    sim.rest.clear()
    await group.time_machine.travel(400, step=10)
    assert group.push(group.home.id).own.status is PushStatus.DISCONNECTED
    assert group.count("/state") == 0
    await group.cut()
    assert not group.is_live(charger)
    assert group.is_live(next(iter(group.cooperative.chargers)))


async def test_the_group_in_diagnostics_and_system_health(
    hass: HomeAssistant, group: Group
) -> None:
    """They show the group's link under a pseudonym, and count its connection."""
    await group.start()
    await group.hear(*group.sim.chargers.values())
    document = await async_get_config_entry_diagnostics(hass, group.entry)
    shown = document["user_groups"]["user group 1"]
    assert shown["status"] == "connected"
    assert shown["connects"] == 1
    assert shown["messages"] == len(group.sim.chargers)
    assert set(shown["installations"]) == {"installation 1", "installation 2"}
    assert all(item["reports"] for item in shown["installations"].values())
    assert document["installations"]["installation 1"]["link"]["source"] == "both"
    assert group.group.id not in str(document)
    assert group.group.bus_key not in str(document)
    health = await system_health_info(hass)
    assert health["links"] == "3/3"
    await health["can_reach_server"]


@pytest.mark.parametrize(
    "scenario",
    [
        replace(
            Scenario.of(500),
            user_groups=(
                UserGroupScenario(
                    name="All", owners=(Scenario.of(1).accounts[0].user_name,)
                ),
            ),
        )
    ],
)
async def test_five_hundred_chargers_by_one_link(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The links of 20 installations are refused, and the group's link reports all."""
    # Some 15,000 entities would take most of the time.
    monkeypatch.setattr("custom_components.zaptec.PLATFORMS", [])
    sim = group.sim
    sim.rest.fail(OWN_DETAILS, fault=403)
    group.choose()
    await group.hass.config_entries.async_setup(group.entry.entry_id)
    chargers = list(sim.chargers.values())
    has_read = group.entry.runtime_data.reader.has_read
    await group.time_machine.travel_until(
        lambda: all(has_read(charger.id) for charger in chargers), step=1
    )
    await wait_until(lambda: group.link.status is PushStatus.CONNECTED)
    for charger in chargers:
        charger.observe(StateId.HUMIDITY, 44)
    await wait_until(lambda: all(map(group.is_live, chargers)))
    assert len(sim.installations) == 20
    assert sim.bus.connections == 1
    await group.time_machine.travel(30, step=1)
    assert group.count("/state") == 500
    assert group.count(f"{group.group.id}/messagingConnectionDetails") == 1
