"""The faults of a walk: what each does, how long it lasts, and how long recovery may take."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
import math
import socket
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import (
    ConnectionDetails,
    Subscription,
    SubscriptionError,
)
from simulator.amqp.connection import STAGES, Stage
from simulator.endpoints.call import Channel
from simulator.observations import StateId
from simulator.port import BLOCKS, Block
from simulator.servicebus import Break

if TYPE_CHECKING:
    from .walk import Walk

SHORT = (1.0, 20.0, 90.0)
LONG = (20.0, 300.0, 3600.0)

API = "^/api/"
DETAILS = "messagingConnectionDetails$"
GROUP_DETAILS = f"userGroups/.*/{DETAILS}"
STATE = "/state$"
LISTS = "^/api/(installation|chargers)$"
SIGN_IN = "^/oauth/token$"
REFRESH = "grant_type=refresh_token$"

type Topics = Callable[[Walk], list[str]]
type During = Callable[[Walk, MockConfigEntry], AbstractAsyncContextManager[None]]


def promptly(outage: float) -> float:
    """Return the maximum recovery time where the delay grows to a fifth of the outage (s).

    To the delay, add the time limits for opening a link (10 s by the first transport, and
    30 s by the other), and the minute after which a failed reading is repeated.
    """
    return min(max(outage / 5, 1.0), 300.0) + 120.0


def after_refusals(outage: float) -> float:
    """Return the maximum recovery time after refusals: the delay grows to the outage's length (s)."""
    return min(max(outage, 60.0), 3600.0) + 120.0


def after_silence(_outage: float) -> float:
    """Return the maximum recovery time if only silence, a gap or the hourly list shows a fault (s)."""
    return 3600.0 + 300.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a walk can draw."""

    name: str
    during: During
    durations: tuple[float, ...] = LONG
    bound: Callable[[float], float] = promptly
    log_lines: int = 4
    """Maximum number of log lines per account and installation, not counting the links' own."""
    needs_refresh_tokens: bool = False
    """Whether it has no effect where the cloud issues no refresh tokens."""
    needs_user_group: bool = False
    """Whether it has no effect where the account has no user group."""


def rest(name: str, path: str, fault: Any, **more: Any) -> Fault:
    """Return a fault of the REST service."""

    @asynccontextmanager
    async def during(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
        walk.sim.rest.fail(path, fault=fault)
        # Only a new link requests this. A link that is up does not.
        if walk.rng.random() < 0.5:
            walk.sim.bus.drop_connections()
        yield
        walk.sim.rest.heal()

    return Fault(f"REST {name}", during, **more)


def refresh(
    name: str, begin: Callable[[Walk], None], end: Callable[[Walk], None]
) -> Fault:
    """Return a fault of refresh tokens, during which the links are dropped as well."""

    @asynccontextmanager
    async def during(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
        begin(walk)
        # The links need connection details, and these a token. By then, it has expired.
        for _ in range(2):
            await walk.travel(walk.sim.rest.tokens.lifetime)
            walk.sim.bus.drop_connections()
        yield
        end(walk)

    return Fault(f"refresh token {name}", during, needs_refresh_tokens=True)


def refused_refresh(name: str, fault: Any) -> Fault:
    """Return a fault in which the requests with a refresh token fail."""
    return refresh(
        name,
        lambda walk: walk.sim.rest.fail(REFRESH, fault=fault),
        lambda walk: walk.sim.rest.heal(),
    )


def bus(
    name: str,
    begin: Callable[[Walk], None],
    end: Callable[[Walk], None] = lambda walk: None,
    **more: Any,
) -> Fault:
    """Return a fault of the Service Bus."""

    @asynccontextmanager
    async def during(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
        begin(walk)
        yield
        end(walk)

    return Fault(f"bus {name}", during, **more)


def stall(stage: str) -> Fault:
    """Return a fault in which the Service Bus stops answering at a stage of the protocol."""

    def begin(walk: Walk) -> None:
        setattr(walk.sim.bus, f"stall_{stage}", True)
        walk.sim.bus.drop_connections(reset=walk.rng.random() < 0.5)

    def end(walk: Walk) -> None:
        setattr(walk.sim.bus, f"stall_{stage}", False)

    return bus(f"silent at {stage}", begin, end)


def breaks(stage: Stage, how: Break) -> Fault:
    """Return a fault in which each connection ends when it reaches a stage of the protocol."""

    def begin(walk: Walk) -> None:
        walk.sim.bus.break_at(stage, how)
        walk.sim.bus.drop_connections()

    return bus(
        f"{how} at {stage}",
        begin,
        lambda walk: walk.sim.bus.break_at(None),
        # A half-open connection is only noticed because it is silent.
        bound=(lambda _: 400.0) if how == "half open" else promptly,
    )


def firewall(name: str, direct: Block | None, web_socket: Block | None) -> Fault:
    """Return a fault in which a firewall blocks one port, or both.

    If it is one, it stays blocked, and the messages have to arrive by the other one. The
    next faults find it so.
    """

    @asynccontextmanager
    async def during(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
        ports = walk.sim.bus.ports
        for port, how in zip(ports, (direct, web_socket), strict=True):
            await walk.sim.bus.unblock(port)
            if how:
                await walk.sim.bus.block(port, how)
        yield
        if direct and web_socket:
            for port in ports:
                await walk.sim.bus.unblock(port)

    return Fault(f"firewall: {name}", during)


def all_topics(walk: Walk) -> list[str]:
    """Return the topics of the installations and of the user group."""
    return walk.topics


def own_topics(walk: Walk) -> list[str]:
    """Return the topics of the installations."""
    return [item.topic for item in walk.sim.installations.values()]


def group_topics(walk: Walk) -> list[str]:
    """Return the topic of the user group, if the account has one."""
    return walk.group_topics


def each_topic(
    act: Callable[[Walk, str], None], topics: Topics = all_topics
) -> Callable[[Walk], None]:
    """Return a function that calls another one for each of some topics."""

    def act_on_all(walk: Walk) -> None:
        for topic in topics(walk):
            act(walk, topic)

    return act_on_all


def refusal(
    name: str, condition: str, topics: Topics = all_topics, **more: Any
) -> Fault:
    """Return a fault in which receivers are detached and refused with a condition."""

    def begin(walk: Walk, topic: str) -> None:
        walk.sim.bus.refuse_attach(topic, condition)
        walk.sim.bus.detach(topic, condition)

    def end(walk: Walk, topic: str) -> None:
        walk.sim.bus.refuse_attach(topic, None)

    return bus(name, each_topic(begin, topics), each_topic(end, topics), **more)


def refuses(condition: str) -> Fault:
    """Return a fault in which all receivers are refused with a condition."""
    return refusal(f"refuses: {condition}", condition)


def lost_links(name: str, topics: Topics) -> Fault:
    """Return a fault in which some links are lost, and the others report what they would."""
    return refusal(name, "amqp:not-found", topics, needs_user_group=True)


def interfere(how: str | None, topics: Topics = all_topics) -> Callable[[Walk], None]:
    """Return a function that loses, delays or damages messages; None ends that."""
    return each_topic(lambda walk, topic: walk.sim.bus.interfere(topic, how), topics)


def messages(interference: str, **more: Any) -> Fault:
    """Return a fault that loses, delays or damages messages."""

    def end(walk: Walk) -> None:
        interfere(None)(walk)
        if interference == "elsewhere":
            # The lost messages left no gap that could be noticed. The states are right
            # again only when the chargers report their values again.
            for charger in walk.chargers:
                for state_id, held in list(charger.observations.items()):
                    charger.observe(StateId(state_id), held.value)

    return bus(f"messages {interference}", interfere(interference), end, **more)


def group_messages(interference: str) -> Fault:
    """Return a fault of the messages of the user group alone."""
    return bus(
        f"group's messages {interference}",
        interfere(interference, group_topics),
        interfere(None, group_topics),
        bound=after_silence,
        needs_user_group=True,
    )


@asynccontextmanager
async def network_gone(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Cut both services."""
    await walk.sim.bus.cut()
    await walk.sim.rest.cut()
    yield
    await walk.sim.rest.restore()
    await walk.sim.bus.restore()


@asynccontextmanager
async def bus_gone(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Cut the Service Bus."""
    await walk.sim.bus.cut()
    yield
    await walk.sim.bus.restore()


@asynccontextmanager
async def rest_gone(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Cut the REST service."""
    await walk.sim.rest.cut()
    yield
    await walk.sim.rest.restore()


@asynccontextmanager
async def names_gone(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Let name resolution fail, so that new connections fail as they do without DNS."""
    error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    walk.sim.bus.drop_connections()
    await walk.sim.rest.cut()
    await walk.sim.rest.restore()
    with (
        patch("aiohttp.connector.TCPConnector._resolve_host", side_effect=error),
        patch(
            "azure.servicebus._pyamqp.aio._transport_async.asyncio.open_connection",
            side_effect=error,
        ),
    ):
        yield


@asynccontextmanager
async def keys_rotated(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Rotate the keys; clients that are connected notice when their connection is dropped."""
    for channel_id in walk.sim.channels:
        key = bytes(walk.rng.randrange(97, 123) for _ in range(32)).decode()
        walk.sim.set_bus_key(channel_id, key)
    walk.sim.bus.drop_connections()
    yield


@asynccontextmanager
async def subscription_recreated(
    walk: Walk, entry: MockConfigEntry
) -> AsyncGenerator[None]:
    """Remove the topics, and create them again with other keys."""
    for topic in walk.topics:
        walk.sim.bus.remove_topic(topic)
    for channel in walk.sim.channels.values():
        channel.messaging_enabled = False
    # Messages that chargers publish meanwhile are lost.
    with patch.object(walk.sim.bus, "publish", lambda topic, body: None):
        yield
    for channel in walk.sim.channels.values():
        channel.messaging_enabled = True
        channel.bus_key = bytes(walk.rng.randrange(97, 123) for _ in range(32)).decode()
        walk.sim.bus.add_topic(channel.topic, channel.topic, channel.bus_key)


@asynccontextmanager
async def stopped(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Unload the entry at any moment and set it up again, possibly without a network."""
    gone = walk.rng.random() < 0.5
    if gone:
        await walk.sim.bus.cut()
        await walk.sim.rest.cut()
        await walk.travel(walk.rng.choice((0.0, 5.0)), step=1.0)
    if entry.state is ConfigEntryState.LOADED:
        assert await walk.see_through(
            walk.hass.config_entries.async_unload(entry.entry_id)
        )
    if gone and walk.rng.random() < 0.5:
        await walk.see_through(walk.hass.config_entries.async_setup(entry.entry_id))
    yield
    if gone:
        await walk.sim.rest.restore()
        await walk.sim.bus.restore()
    if entry.state is ConfigEntryState.NOT_LOADED:
        await walk.see_through(walk.hass.config_entries.async_setup(entry.entry_id))


@asynccontextmanager
async def tokens_revoked(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Make every bearer token invalid."""
    for account in walk.sim.accounts:
        walk.sim.rest.tokens.revoke(account)
    walk.sim.bus.drop_connections()
    yield


@asynccontextmanager
async def clock_jumps(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Set the cloud's clock two minutes ahead of Home Assistant's."""
    walk.sim.clock.advance(120.0)
    yield


@asynccontextmanager
async def shared(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Let another program read the same subscription for a while."""
    channel = walk.rng.choice(list(walk.sim.channels.values()))
    async with another_reader(walk, channel):
        yield


@asynccontextmanager
async def group_shared(walk: Walk, entry: MockConfigEntry) -> AsyncGenerator[None]:
    """Let another program read the subscription of the user group alone."""
    (group,) = walk.sim.user_groups.values()
    async with another_reader(walk, group):
        yield


@asynccontextmanager
async def another_reader(walk: Walk, channel: Channel) -> AsyncGenerator[None]:
    """Read a subscription with a second receiver."""
    details = ConnectionDetails.from_json(walk.sim.connection_details(channel))

    async def read() -> None:
        try:
            async with Subscription(details, allow_plain=True) as stream:
                async for _ in stream:
                    pass
        except SubscriptionError:
            pass

    reading = walk.hass.loop.create_task(read())
    yield
    reading.cancel()
    for _ in range(20):
        if reading.done():
            break
        await walk.travel(0.5, step=0.5)


# Each fault has a unique name, which a failed walk reports.
FAULTS: tuple[Fault, ...] = (
    Fault("network gone", network_gone),
    Fault("bus gone", bus_gone),
    Fault("REST gone", rest_gone),
    Fault("names gone", names_gone, durations=SHORT),
    Fault("keys rotated", keys_rotated, durations=SHORT),
    Fault("subscription recreated", subscription_recreated, bound=after_refusals),
    Fault("stopped and started", stopped, bound=after_refusals),
    # If the cloud has rejected new tokens shortly before, no sign-in is made for 5 minutes.
    Fault("tokens revoked", tokens_revoked, durations=SHORT, bound=lambda _: 425.0),
    Fault(
        "clock of the cloud ahead", clock_jumps, durations=SHORT, bound=after_silence
    ),
    bus("reset", lambda walk: walk.sim.bus.drop_connections(), durations=SHORT),
    bus(
        "closed",
        lambda walk: walk.sim.bus.drop_connections(reset=False),
        durations=SHORT,
    ),
    bus(
        "half open",
        lambda walk: walk.sim.bus.forget_connections(),
        bound=lambda _: 400.0,
    ),
    bus(
        "frozen",
        lambda walk: walk.sim.bus.freeze(),
        lambda walk: walk.sim.bus.thaw(),
        bound=lambda _: 400.0,
    ),
    bus(
        "dribbles",
        lambda walk: (
            setattr(walk.sim.bus, "dribbles", True),
            walk.sim.bus.drop_connections(),
        )[1],
        lambda walk: setattr(walk.sim.bus, "dribbles", False),
        durations=SHORT,
    ),
    bus("garbage", lambda walk: walk.sim.bus.send_garbage(), durations=SHORT),
    *(firewall(f"port 5671 {how}", how, None) for how in BLOCKS),
    *(firewall(f"port 443 {how}", None, how) for how in BLOCKS),
    *(firewall(f"both ports {how}", how, how) for how in BLOCKS),
    stall("sasl"),
    stall("cbs"),
    stall("attach"),
    stall("management"),
    *(breaks(stage, "reset") for stage in STAGES),
    *(breaks(stage, "half open") for stage in STAGES),
    bus(
        "token refused",
        lambda walk: (
            walk.sim.bus.reject_tokens(401),
            walk.sim.bus.drop_connections(),
        )[1],
        lambda walk: walk.sim.bus.reject_tokens(None),
    ),
    refuses("com.microsoft:entity-disabled"),
    refuses("amqp:not-found"),
    refuses("amqp:unauthorized-access"),
    refuses("com.microsoft:server-busy"),
    bus(
        "token expired",
        each_topic(
            lambda walk, topic: walk.sim.bus.detach(topic, "amqp:unauthorized-access")
        ),
        durations=SHORT,
    ),
    messages("duplicated"),
    messages("reordered"),
    messages("late", durations=SHORT, bound=after_silence),
    messages("lost", bound=after_silence),
    messages("undelivered", durations=(600.0,)),
    messages("elsewhere", bound=after_silence),
    Fault("another program reads along", shared, bound=after_silence),
    *(
        rest(f"{status}", API, status, bound=after_refusals)
        for status in (400, 401, 403, 404)
    ),
    *(rest(f"{status}", API, status) for status in (500, 502, 503, 504, 520, 524)),
    rest("429 storm", API, 429),
    rest("reset", API, "reset"),
    rest("silent", API, "hang"),
    rest("HTML", API, "html"),
    rest("truncated", API, "truncated"),
    rest("malformed", API, "malformed"),
    rest("empty", API, "empty", bound=after_refusals),
    rest("redirect", API, "redirect"),
    rest("giant", STATE, "giant", durations=SHORT),
    rest("drips", API, "drip", durations=SHORT),
    rest("details 403", DETAILS, 403, bound=after_refusals),
    rest(
        "group's details 403",
        GROUP_DETAILS,
        403,
        bound=after_refusals,
        needs_user_group=True,
    ),
    rest(
        "group's details 500",
        GROUP_DETAILS,
        500,
        bound=after_refusals,
        needs_user_group=True,
    ),
    lost_links("group's link lost", group_topics),
    lost_links("all but the group's link lost", own_topics),
    group_messages("lost"),
    group_messages("elsewhere"),
    group_messages("late"),
    Fault(
        "another program reads the group's messages",
        group_shared,
        bound=after_silence,
        needs_user_group=True,
    ),
    rest("details 500", DETAILS, 500, bound=after_refusals),
    rest("states 404", STATE, 404, bound=after_refusals),
    rest("lists 500", LISTS, 500),
    rest("sign-in 503", SIGN_IN, 503),
    refused_refresh("refused", 400),
    refused_refresh("busy", 429),
    refused_refresh("503", 503),
    refused_refresh("HTML", "html"),
    refused_refresh("answer lost", "reset"),
    refused_refresh("answer truncated", "truncated"),
    refused_refresh("silent", "hang"),
    refresh(
        "expired",
        lambda walk: setattr(walk.sim.rest.tokens, "refresh_lifetime", 0.0),
        lambda walk: setattr(walk.sim.rest.tokens, "refresh_lifetime", math.inf),
    ),
    refresh(
        "missing",
        lambda walk: setattr(walk.sim.rest.tokens, "gives_refresh_tokens", False),
        lambda walk: setattr(walk.sim.rest.tokens, "gives_refresh_tokens", True),
    ),
)
