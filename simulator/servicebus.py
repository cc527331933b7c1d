"""A Service Bus namespace: topics with one subscription each, over real AMQP 1.0.

It serves the unmodified azure-servicebus client, and can fail in the ways that were seen in
production: see the fault methods of `ServiceBus`.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import ssl
from typing import Any, Literal
from uuid import uuid4

from .amqp.cbs import ADDRESS as CBS, CbsNode, Policy, TokenError, path_of, verify
from .amqp.codec import AmqpError, Int, Symbol, Timestamp
from .amqp.connection import Connection, Stage
from .amqp.message import Message
from .amqp.performatives import Attach, Header, Modified, Properties, Released
from .amqp.request import RequestNode
from .amqp.session import Link, Node, ReceivingLink, SendingLink, Session
from .amqp.web_socket import WebSocket
from .clock import Clock, Handle
from .port import Block, Port

# "Integrating with Zaptec charging systems", Service Bus subscription: undelivered messages are
# dropped after 5 minutes.
TIME_TO_LIVE = timedelta(minutes=5)
SUBSCRIPTION = "default"

# What may happen to the messages of a topic. "duplicated": each is sent twice. "late": all are
# sent when the fault ends, the newest first. "reordered": sent in groups of three, the newest
# first. "lost": every other one is lost. "undelivered": they stay in the queue. "elsewhere": they
# are published to another topic.
type Interference = Literal[
    "duplicated", "late", "reordered", "lost", "undelivered", "elsewhere"
]
INTERFERENCES = ("duplicated", "late", "reordered", "lost", "undelivered", "elsewhere")

# How a connection breaks: by RST, by FIN, or half open.
type Break = Literal["reset", "closed", "half open"]

_NOT_FOUND = "amqp:not-found"
_MANAGEMENT = "$management"


@dataclass(order=True, slots=True)
class _QueuedMessage:
    """A queued message, identified by its number in the topic."""

    sequence_number: int
    body: bytes = field(compare=False)
    enqueued: datetime = field(compare=False)
    message_id: str = field(compare=False)
    delivery_count: int = field(default=0, compare=False)

    @property
    def expires(self) -> datetime:
        return self.enqueued + TIME_TO_LIVE

    def encode(self) -> bytes:
        """Return the encoded message, in the form that Service Bus gives it."""
        return Message(
            header=Header(
                durable=True,
                ttl=TIME_TO_LIVE // timedelta(milliseconds=1),
                delivery_count=self.delivery_count,
            ),
            annotations={
                Symbol("x-opt-sequence-number"): self.sequence_number,
                Symbol("x-opt-enqueued-time"): _timestamp(self.enqueued),
            },
            properties=Properties(
                message_id=self.message_id,
                absolute_expiry_time=_timestamp(self.expires),
                creation_time=_timestamp(self.enqueued),
            ),
            data=self.body,
        ).encode()


class Topic(Node):
    """A topic with the subscription "default", whose receivers compete for its messages.

    A locked message stays locked until it is settled or its link ends.
    """

    def __init__(
        self, name: str, policy: Policy, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """Initialize an empty topic; use `ServiceBus.add_topic`."""
        self.name = name
        self.policy = policy
        self.refusal: str | None = None
        self.delivered = 0
        self.attach_count = 0
        self._clock = clock
        self._changed = changed
        self._queue: list[_QueuedMessage] = []
        self._sequence_number = 0
        self._receivers: deque[SendingLink] = deque()
        self._expiry: Handle | None = None
        self._interference: Interference | None = None
        self._held_back: list[bytes] = []

    @property
    def key_name(self) -> str:
        """Name of its shared access policy."""
        return self.policy.key_name

    @property
    def pending(self) -> int:
        """Number of messages that were not sent to a receiver yet."""
        self._drop_expired()
        return len(self._queue)

    @property
    def consumers(self) -> int:
        """Number of receivers with credit for a message."""
        return sum(link.credit > 0 for link in self._receivers)

    @property
    def is_read(self) -> bool:
        """Whether a message would reach a receiver now."""
        return any(link.ready for link in self._receivers)

    def publish(self, body: bytes) -> None:
        """Queue a message, and send it if a receiver will take it."""
        match self._interference:
            case "elsewhere":
                return
            case "duplicated":
                self._enqueue(body)
            case "late" | "reordered":
                self._held_back.append(body)
                if self._interference == "reordered" and len(self._held_back) > 2:
                    self._release()
                return
        self._enqueue(body)

    def interfere(self, interference: Interference | None) -> None:
        """Disturb messages from now on; messages that were held back are sent now."""
        self._interference = interference
        self._release()
        self.pump()

    def _release(self) -> None:
        """Queue the messages that were held back, the newest first."""
        while self._held_back:
            self._enqueue(self._held_back.pop())

    def _enqueue(self, body: bytes) -> None:
        self._sequence_number += 1
        self._queue.append(
            _QueuedMessage(self._sequence_number, body, self._clock.now(), uuid4().hex)
        )
        self.pump()

    def skip(self, count: int) -> None:
        """Leave a gap of so many sequence numbers, as a lost message does."""
        self._sequence_number += count

    def peek(self, sequence_number: int, count: int) -> list[_QueuedMessage]:
        """Return up to `count` messages of the queue, from a number on."""
        self._drop_expired()
        return [
            each for each in self._queue if each.sequence_number >= sequence_number
        ][:count]

    def detach_all(self, error: AmqpError) -> None:
        """Detach the receivers that are attached now."""
        for link in list(self._receivers):
            link.close(error)

    def close(self) -> None:
        """Cancel the timer of the topic."""
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None

    def attach(self, link: Link) -> None:
        """Attach a receiver."""
        if not isinstance(link, SendingLink):
            raise AmqpError("amqp:not-allowed", "A subscription cannot be sent to")
        if self.refusal:
            raise AmqpError(self.refusal, "The entity refuses")
        self._receivers.append(link)
        self.attach_count += 1
        self._changed()

    def detach(self, link: Link) -> None:
        """Detach a receiver, and requeue the messages that it has not settled."""
        assert isinstance(link, SendingLink)
        self._receivers.remove(link)
        for message in link.unsettled:
            self._requeue(message)
        self.pump()

    def settle(self, link: SendingLink, token: Any, outcome: Any) -> None:
        """Requeue a message that was released or abandoned; drop it otherwise."""
        match outcome:
            case Modified(undeliverable_here=True):
                return
            case Released() | Modified():
                self._requeue(token)

    def receive(self, link: ReceivingLink, message: bytes) -> None:
        """Do nothing, because a topic accepts no link to send messages by."""

    def pump(self) -> None:
        """Send queued messages to the receivers in turn."""
        self._drop_expired()
        while (
            self._queue
            and self._interference != "undelivered"
            and (link := self._next_receiver())
        ):
            message = self._queue.pop(0)
            if self._interference == "lost" and message.sequence_number % 2:
                continue
            self.delivered += 1
            # The tag is the lock's token, a .NET GUID.
            link.send(message.encode(), uuid4().bytes_le, message)
        if self._queue and self._expiry is None:
            self._expiry = self._clock.call_at(self._queue[0].expires, self._expire)
        self._changed()

    def _next_receiver(self) -> SendingLink | None:
        for _ in range(len(self._receivers)):
            self._receivers.rotate(-1)
            if self._receivers[-1].ready:
                return self._receivers[-1]
        return None

    def _requeue(self, message: _QueuedMessage) -> None:
        message.delivery_count += 1
        insort(self._queue, message)

    def _drop_expired(self) -> None:
        now = self._clock.now()
        while self._queue and self._queue[0].expires <= now:
            self._queue.pop(0)

    def _expire(self) -> None:
        self._expiry = None
        self.pump()


class _ManagementNode(RequestNode):
    """The `$management` of a subscription, for one connection: peek only."""

    def __init__(self, bus: ServiceBus, topic: Topic) -> None:
        super().__init__()
        self._bus = bus
        self._topic = topic

    def respond(self, request: Message) -> Message | None:
        """Respond to a peek request."""
        if self._bus.stall_management:
            return None
        if (
            request.application_properties.get("operation")
            != "com.microsoft:peek-message"
        ):
            return _management_response(501, "The simulator has no such operation")
        body = request.value if isinstance(request.value, dict) else {}
        number, count = body.get("from-sequence-number"), body.get("message-count")
        if not isinstance(number, int) or not isinstance(count, int):
            return _management_response(400, "A peek has a number and a count")
        messages = self._topic.peek(number, max(0, count))
        if not messages:
            return _management_response(204, "No content")
        response = _management_response(200, "OK")
        response.value = {"messages": [{"message": each.encode()} for each in messages]}
        return response


class ServiceBus:
    """A Service Bus namespace.

    Attributes:
        direct: The port of AMQP (5671 of the real one); its number is kept over `cut` and `stop`.
        web_socket: The port of AMQP within a WebSocket (443); both lead to the same topics.
        stall_sasl: While set, new connections get no answer to their first octets.
        stall_cbs: While set, tokens get no answer.
        stall_attach: While set, attaching to a subscription gets no answer.
        stall_management: While set, management requests (peek) get no answer.
        frozen: Whether `freeze` holds every connection.
        dribbles: While set, what is sent goes out an octet at a time.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        web_socket_port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        idle_timeout: float = 120.0,
    ) -> None:
        """Initialize the namespace; `start` listens.

        Args:
            clock: The time by which messages expire. (Tokens expire by real time: the client signs them.)
            host: Address to listen at.
            port: Port to listen at; 0 for any.
            web_socket_port: Port to listen at for a WebSocket; 0 for any.
            ssl_context: For TLS; plain without it.
            idle_timeout: The idle timeout that is announced to clients, s; 0 for none.
        """
        self.direct = Port(lambda: Connection(self), host, port, ssl_context)
        self.web_socket = Port(
            lambda: Connection(self), host, web_socket_port, ssl_context, wrap=WebSocket
        )
        self.idle_timeout = idle_timeout
        self.frozen = False
        self.dribbles = False
        self.stall_sasl = False
        self.stall_cbs = False
        self.stall_attach = False
        self.stall_management = False
        self._clock = clock
        self._connections: set[Connection] = set()
        self._topics: dict[str, Topic] = {}
        self._token_status: int | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._breaks: tuple[Stage, Break] | None = None

    @property
    def port(self) -> int:
        """The number of the port of AMQP."""
        return self.direct.number

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Certificate and key for TLS, None for plain connections."""
        return self.direct.ssl_context

    @property
    def ports(self) -> tuple[Port, Port]:
        """Both ports."""
        return self.direct, self.web_socket

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        for port in self.ports:
            await port.open()

    async def stop(self) -> None:
        """Close all connections; topics and their messages stay."""
        for port in self.ports:
            await self._close(port, reset=False)
            port.release()
        for topic in self._topics.values():
            topic.close()

    def add_topic(self, name: str, key_name: str, key: str) -> Topic:
        """Add a topic, with its subscription "default" and its shared access key."""
        topic = Topic(name, Policy(key_name, key), self._clock, self._changed)
        self._topics[name] = topic
        return topic

    def topic(self, name: str) -> Topic:
        """Return a topic by its name."""
        return self._topics[name]

    def remove_topic(self, name: str) -> None:
        """Remove a topic; its receivers are detached with amqp:not-found."""
        topic = self._topics.pop(name)
        topic.detach_all(AmqpError(_NOT_FOUND, "The entity was deleted"))
        topic.close()

    def publish(self, topic: str, body: bytes) -> None:
        """Queue a message; it is dropped after 5 minutes of simulated time if undelivered."""
        self._topics[topic].publish(body)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        for port in self.ports:
            await self.block(port, "refused")

    async def drop_packets(self) -> None:
        """Reset every connection, and answer no new ones."""
        for port in self.ports:
            await self.block(port, "dropped")

    async def restore(self) -> None:
        """Listen again, at the same ports."""
        for port in self.ports:
            await self.unblock(port)

    async def block(self, port: Port, how: Block) -> None:
        """Reset the connections of a port, and keep new ones out, as a firewall does."""
        await self._close(port, reset=True)
        await port.block(how)

    async def unblock(self, port: Port) -> None:
        """Listen again at a port that is blocked."""
        if port.blocked:
            await port.open()

    def use_certificate(self, context: ssl.SSLContext) -> None:
        """Use another certificate for connections after the next `restore`."""
        for port in self.ports:
            port.ssl_context = context

    def forget_connections(self) -> None:
        """Leave the present connections half open: nothing is sent or received, and none ends."""
        for connection in self._connections:
            connection.forget()

    def break_at(self, stage: Stage | None, how: Break = "reset") -> None:
        """Break each connection that reaches a stage, until called with None."""
        self._breaks = (stage, how) if stage else None

    def drop_connections(self, *, reset: bool = True) -> None:
        """Close the present connections without an AMQP close, by RST or by FIN."""
        for connection in list(self._connections):
            connection.drop(reset=reset)

    def freeze(self) -> None:
        """Stop AMQP in both directions; TCP still accepts connections and acknowledges data."""
        self.frozen = True

    def thaw(self) -> None:
        """Continue with the data that was received and queued meanwhile."""
        if self.frozen:
            self.frozen = False
            for connection in list(self._connections):
                connection.thaw()

    def interfere(self, topic: str, interference: Interference | None) -> None:
        """Disturb a topic's messages, until called with None."""
        self._topics[topic].interfere(interference)

    def detach(
        self,
        topic: str,
        condition: str = "amqp:link:detach-forced",
        description: str = "",
    ) -> None:
        """Detach the receivers of a topic with an error."""
        self._topics[topic].detach_all(AmqpError(condition, description))

    def refuse_attach(self, topic: str, condition: str | None) -> None:
        """Refuse receivers of a topic with a condition, until called with None."""
        self._topics[topic].refusal = condition

    def reject_tokens(self, status: int | None) -> None:
        """Refuse every token with a status (401, 404), until called with None."""
        self._token_status = status

    def set_key(self, topic: str, key: str) -> None:
        """Rotate a topic's key; tokens that were accepted stay valid until they expire."""
        self._topics[topic].policy = Policy(self._topics[topic].key_name, key)

    def send_garbage(self) -> None:
        """Send octets that are not AMQP over every connection."""
        for connection in self._connections:
            connection.send_garbage()

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    @property
    def all_consumers(self) -> int:
        """Number of receivers with credit, of all topics."""
        return sum(topic.consumers for topic in self._topics.values())

    def is_read(self, topic: str) -> bool:
        """Return whether a message of a topic would reach a receiver now."""
        return self._topics[topic].is_read

    def consumers(self, topic: str) -> int:
        """Return how many receivers have credit."""
        return self._topics[topic].consumers

    def pending(self, topic: str) -> int:
        """Return how many messages were not sent to a receiver yet."""
        return self._topics[topic].pending

    def delivered(self, topic: str) -> int:
        """Return how many messages were sent to receivers, repeated ones included."""
        return self._topics[topic].delivered

    def attach_count(self, topic: str) -> int:
        """Return how many receivers have attached so far."""
        return self._topics[topic].attach_count

    async def wait_for_consumer(self, topic: str) -> None:
        """Wait until a receiver has credit."""
        await self.wait_until(lambda: self.consumers(topic) > 0)

    async def wait_idle(self) -> None:
        """Wait until every message was written to a socket or has expired.

        A topic that was never read, such as that of a user group, does not count.
        """
        await self.wait_until(
            lambda: (
                not any(
                    topic.pending
                    for topic in self._topics.values()
                    if topic.attach_count
                )
                and all(connection.idle for connection in self._connections)
            )
        )

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on this bus holds; it is checked after every change."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    # The container of the connections (`amqp.connection.Container`).

    def connected(self, connection: Connection) -> None:
        """Add a connection."""
        self._connections.add(connection)
        connection.nodes[CBS] = CbsNode(connection, self._authenticate)
        self._changed()

    def disconnected(self, connection: Connection) -> None:
        """Remove a connection."""
        self._connections.discard(connection)
        self._claims(connection.nodes).close()
        self._changed()

    def drained(self) -> None:
        """Note that a socket has written all its data."""
        self._changed()

    def reached(self, connection: Connection, stage: Stage) -> bool:
        """Break a connection that has reached the stage to break at."""
        if self._breaks is None or self._breaks[0] != stage:
            return False
        if self._breaks[1] == "half open":
            connection.forget()
        else:
            connection.drop(reset=self._breaks[1] == "reset")
        return True

    def resolve(self, session: Session, attach: Attach) -> Node | None:
        """Return what a peer attaches to: $cbs, a subscription or its $management."""
        path = path_of(attach.address)
        nodes = session.connection.nodes
        if path == CBS:
            return nodes[CBS]
        entity = path.removesuffix(f"/{_MANAGEMENT}")
        self._claims(nodes).authorize(entity)
        topic = self._topic(entity)
        if topic is None:
            raise AmqpError(_NOT_FOUND, "There is no such entity")
        if entity != path:
            return nodes.setdefault(path, _ManagementNode(self, topic))
        return None if self.stall_attach else topic

    def _authenticate(self, token: str, path: str) -> float | None:
        """Check a token: see `CbsNode`."""
        if self.stall_cbs:
            return None
        if self._token_status is not None:
            raise TokenError(self._token_status, "The token is rejected")
        topic = self._topic(path)
        if topic is None:
            raise TokenError(404, "There is no such entity")
        return verify(token, path, topic.policy)

    def _claims(self, nodes: dict[str, Node]) -> CbsNode:
        node = nodes[CBS]
        assert isinstance(node, CbsNode)
        return node

    def _topic(self, path: str) -> Topic | None:
        """Return the topic that has a subscription at a path."""
        for name, topic in self._topics.items():
            if path == f"{name}/Subscriptions/{SUBSCRIPTION}".lower():
                return topic
        return None

    def _connections_of(self, port: Port) -> set[Connection]:
        """Return the open connections of a port."""
        return self._connections.intersection(port.accepted)

    async def _close(self, port: Port, *, reset: bool) -> None:
        """Stop listening at a port, and end its connections."""
        if (server := port.close()) is None:
            return
        for connection in self._connections_of(port):
            connection.drop(reset=reset)
        # Also closes connections that have not finished their TLS handshake.
        server.abort_clients()
        await self.wait_until(lambda: not self._connections_of(port))
        await server.wait_closed()

    def _changed(self) -> None:
        """Wake the waiters, so that they check their conditions."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _timestamp(when: datetime) -> Timestamp:
    return Timestamp(when.timestamp() * 1000)


def _management_response(status: int, description: str) -> Message:
    return Message(
        application_properties={
            "statusCode": Int(status),
            "statusDescription": description,
        }
    )
