"""Sessions of a connection, their links, and the credit and windows of both.

Source: OASIS AMQP 1.0, part 2 (Transport), sections 2.5 and 2.6.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Protocol

from .codec import AmqpError
from .performatives import (
    Accepted,
    Attach,
    Begin,
    Composite,
    Detach,
    Disposition,
    Error,
    Flow,
    Frame,
    Received,
    Rejected,
    Source,
    Target,
    Transfer,
)

HANDLE_MAX = 255
INCOMING_WINDOW = 5000
_INCOMING_CREDIT = 100
_MAX_MESSAGE_SIZE = 256 * 1024
_SERIAL = 0xFFFFFFFF


class Node(ABC):
    """The end point of a link on this side."""

    def attach(self, link: Link) -> None:
        """Attach a link.

        Raises:
            AmqpError: The link is refused.
        """

    def detach(self, link: Link) -> None:
        """Detach a link that was ended by either side."""

    def pump(self) -> None:
        """Send messages over links that are ready now."""

    def settle(self, link: SendingLink, token: Any, outcome: Any) -> None:
        """Process the outcome of a delivery.

        Args:
            link: The link of the delivery.
            token: What was given to `SendingLink.send`.
            outcome: A terminal delivery state.
        """

    @abstractmethod
    def receive(self, link: ReceivingLink, message: bytes) -> None:
        """Receive a message.

        Raises:
            AmqpError: It is invalid; this ends the connection.
        """


class Link:
    """One direction of messages between the peer and a node.

    Attributes:
        address: Where it ends on this side.
        closed: Whether it has ended for this side; the peer may not know yet.
    """

    def __init__(self, session: Session, node: Node, attach: Attach) -> None:
        """Initialize from the performative of the peer."""
        self.session = session
        self.node = node
        self.handle = attach.handle
        self.address = attach.address
        self.closed = False

    def close(self, error: AmqpError | None = None) -> None:
        """Close the link."""
        if not self.closed:
            self.closed = True
            self.session.forget(self)
            self.node.detach(self)
            self.session.send(Detach(self.handle, closed=True, error=Error.of(error)))


class SendingLink(Link):
    """Messages to the peer.

    Attributes:
        credit: Number of messages that the peer accepts now.
        settled: Whether deliveries are forgotten once sent.
    """

    def __init__(self, session: Session, node: Node, attach: Attach) -> None:
        """Initialize the link without credit."""
        super().__init__(session, node, attach)
        self.target = attach.target.address if attach.target else None
        self.settled = attach.snd_settle_mode == 1
        self.credit = 0
        self.drain = False
        self._delivery_count = 0
        self._unsettled: dict[int, Any] = {}

    @property
    def ready(self) -> bool:
        """Whether a message would be sent immediately."""
        return self.credit > 0 and not self.closed and self.session.ready

    @property
    def unsettled(self) -> list[Any]:
        """The tokens of deliveries that the peer has not settled, oldest first."""
        return list(self._unsettled.values())

    def send(self, message: bytes, tag: bytes, token: Any) -> None:
        """Send a message.

        Args:
            message: Its octets.
            tag: The delivery's tag.
            token: The node's identification of the delivery.
        """
        self.credit -= 1
        self._delivery_count = self._delivery_count + 1 & _SERIAL
        delivery_id = self.session.next_delivery_id()
        if not self.settled:
            self._unsettled[delivery_id] = token
        self.session.transfer(self, delivery_id, tag, message)

    def flow(self, flow: Flow) -> None:
        """Update the credit from the peer's flow."""
        if flow.link_credit is not None:
            limit = (flow.delivery_count or 0) + flow.link_credit
            self.credit = _serial_difference(limit, self._delivery_count)
        self.drain = flow.drain

    def finish_flow(self, *, echo: bool) -> None:
        """Answer the peer's flow, once the node has used the credit."""
        drained = self.drain and self.credit > 0 and self.session.ready
        if drained:
            self._delivery_count = self._delivery_count + self.credit & _SERIAL
            self.credit = 0
        if drained or echo:
            self.session.send_flow(
                self.handle, self._delivery_count, self.credit, drain=self.drain
            )

    def settle(self, delivery_ids: range, outcome: Any) -> None:
        """Process the peer's disposition of deliveries."""
        for delivery_id in [each for each in self._unsettled if each in delivery_ids]:
            self.node.settle(self, self._unsettled.pop(delivery_id), outcome)


class ReceivingLink(Link):
    """Messages from the peer."""

    def __init__(self, session: Session, node: Node, attach: Attach) -> None:
        """Initialize the link without credit."""
        super().__init__(session, node, attach)
        self._delivery_count = attach.initial_delivery_count or 0
        self._delivery_id: int | None = None
        self._settled = False
        self._message = bytearray()

    def grant(self) -> None:
        """Give the peer credit."""
        self.session.send_flow(self.handle, self._delivery_count, _INCOMING_CREDIT)

    def transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Receive a message or a part of one."""
        if self._delivery_id is None:
            if transfer.delivery_id is None:
                raise AmqpError("amqp:invalid-field", "A delivery has no id")
            self._delivery_id = transfer.delivery_id
        self._settled |= transfer.settled
        self._message += payload
        if len(self._message) > _MAX_MESSAGE_SIZE:
            self.close(AmqpError("amqp:link:message-size-exceeded"))
            return
        if transfer.more and not transfer.aborted:
            return
        delivery_id, message, settled = (
            self._delivery_id,
            bytes(self._message),
            self._settled,
        )
        self._delivery_id, self._settled = None, False
        self._message.clear()
        self._delivery_count = self._delivery_count + 1 & _SERIAL
        if transfer.aborted:
            return
        if not settled:
            self.session.send(
                Disposition(
                    role=True, first=delivery_id, settled=True, state=Accepted()
                )
            )
        self.grant()
        self.node.receive(self, message)


class Carrier(Protocol):
    """The connection that carries a session.

    Attributes:
        max_frame_size: Octets that a frame to the peer may have.
        nodes: Nodes that serve this connection alone, by address.
    """

    max_frame_size: int
    nodes: dict[str, Node]

    @property
    def writable(self) -> bool:
        """Whether what is sent now leaves at once."""

    def send(
        self, performative: Composite, *, channel: int = 0, payload: bytes = b""
    ) -> None:
        """Send a frame."""

    def resolve(self, session: Session, attach: Attach) -> Node | None:
        """Return the node that a peer attaches to; None to never answer.

        Raises:
            AmqpError: The link is refused.
        """

    def transferred(self) -> None:
        """Note that a message has been sent."""


class Session:
    """A channel of a connection, and the window of frames that the peer has room for."""

    def __init__(self, connection: Carrier, channel: int, begin: Begin) -> None:
        """Initialize from the performative of the peer."""
        self.connection = connection
        self.channel = channel
        self.links: dict[int, Link] = {}
        self._next_delivery_id = 0
        self._next_outgoing_id = 0
        self._next_incoming_id = begin.next_outgoing_id
        self._window = begin.incoming_window
        # Frames that wait for the window.
        self._waiting: deque[tuple[Link, Transfer, bytes]] = deque()

    @property
    def ready(self) -> bool:
        """Whether a transfer would be sent immediately."""
        return self._window > 0 and not self._waiting and self.connection.writable

    @property
    def idle(self) -> bool:
        """Whether no transfer waits for the window."""
        return not self._waiting

    def next_delivery_id(self) -> int:
        """Return the number of a new delivery."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = delivery_id + 1 & _SERIAL
        return delivery_id

    def transfer(
        self, link: SendingLink, delivery_id: int, tag: bytes, message: bytes
    ) -> None:
        """Send a message in as many frames as it needs, as the window allows."""
        transfer = Transfer(
            link.handle,
            delivery_id,
            tag,
            message_format=0,
            settled=link.settled,
            more=True,
        )
        # The first frame's performative is the longest.
        room = self.connection.max_frame_size - len(Frame(0, 0, transfer, b"").encode())
        parts = [message[at : at + room] for at in range(0, len(message), room)] or [
            b""
        ]
        for part in parts:
            self._waiting.append((link, transfer, part))
            # Only the first frame names the delivery; azure-servicebus relies on it.
            transfer = Transfer(link.handle, settled=link.settled, more=True)
        self._waiting[-1][1].more = False
        self._send_waiting()
        # $cbs and $management send responses, which are not messages of a topic.
        if not link.address.rpartition("/")[2].startswith("$"):
            self.connection.transferred()

    def flow(self, flow: Flow) -> None:
        """Update window and credit from the peer's flow."""
        next_incoming_id = flow.next_incoming_id or 0
        limit = next_incoming_id + flow.incoming_window
        self._window = _serial_difference(limit, self._next_outgoing_id)
        self._send_waiting()
        link = self.links.get(flow.handle) if flow.handle is not None else None
        if isinstance(link, SendingLink) and not link.closed:
            link.flow(flow)
            link.node.pump()
            link.finish_flow(echo=flow.echo)
        elif flow.echo:
            self.send_flow()
        self.pump()

    def pump(self) -> None:
        """Let every node send the messages that it can send now."""
        nodes = [link.node for link in self.links.values() if not link.closed]
        for node in dict.fromkeys(nodes):
            node.pump()

    def attach(self, attach: Attach) -> None:
        """Attach a link of the peer."""
        held = self.links.get(attach.handle)
        if attach.handle > HANDLE_MAX or (held and not held.closed):
            raise AmqpError("amqp:session:handle-in-use", f"Handle {attach.handle}")
        kind = SendingLink if attach.role else ReceivingLink
        try:
            node = self.connection.resolve(self, attach)
        except AmqpError as err:
            self._refuse(attach, err)
            return
        if node is None:
            return
        link = kind(self, node, attach)
        self.links[attach.handle] = link
        try:
            node.attach(link)
        except AmqpError as err:
            del self.links[attach.handle]
            self._refuse(attach, err)
            return
        self.send(
            Attach(
                attach.name,
                attach.handle,
                role=not attach.role,
                snd_settle_mode=attach.snd_settle_mode,
                rcv_settle_mode=attach.rcv_settle_mode,
                # The client treats an attach without source and target as a refusal.
                source=Source(attach.source.address if attach.source else None),
                target=Target(attach.target.address if attach.target else None),
                initial_delivery_count=0 if attach.role else None,
                max_message_size=_MAX_MESSAGE_SIZE,
            )
        )
        if isinstance(link, ReceivingLink):
            link.grant()

    def detach(self, detach: Detach) -> None:
        """Detach a link of the peer."""
        link = self.links.pop(detach.handle, None)
        if link and not link.closed:
            link.closed = True
            self.forget(link)
            link.node.detach(link)
            self.send(Detach(detach.handle, closed=detach.closed))

    def incoming_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Process a frame of a message."""
        self._next_incoming_id = self._next_incoming_id + 1 & _SERIAL
        link = self.links.get(transfer.handle)
        if not isinstance(link, ReceivingLink):
            raise AmqpError(
                "amqp:session:unattached-handle", f"Handle {transfer.handle}"
            )
        if not link.closed:
            link.transfer(transfer, payload)

    def disposition(self, disposition: Disposition) -> None:
        """Process the outcome of deliveries."""
        on_the_way = disposition.state is None or isinstance(
            disposition.state, Received
        )
        if not disposition.role or (on_the_way and not disposition.settled):
            return
        last = disposition.first if disposition.last is None else disposition.last
        delivery_ids = range(disposition.first, last + 1)
        for link in list(self.links.values()):
            if isinstance(link, SendingLink):
                link.settle(delivery_ids, disposition.state or Accepted())
        if not disposition.settled:
            # The client settles when this side does. It would treat an error in this answer as
            # a failure to settle, so the error of a rejection is not repeated.
            rejected = isinstance(disposition.state, Rejected)
            self.send(
                Disposition(
                    role=False,
                    first=disposition.first,
                    last=last,
                    settled=True,
                    state=Rejected() if rejected else disposition.state,
                )
            )
        self.pump()

    def end(self) -> None:
        """Detach every link."""
        links, self.links = self.links, {}
        self._waiting.clear()
        for link in links.values():
            if not link.closed:
                link.closed = True
                link.node.detach(link)

    def forget(self, link: Link) -> None:
        """Drop the frames that wait to be sent over a link that ends."""
        self._waiting = deque(each for each in self._waiting if each[0] is not link)

    def send(self, performative: Composite, payload: bytes = b"") -> None:
        """Send a frame."""
        self.connection.send(performative, channel=self.channel, payload=payload)

    def send_flow(
        self,
        handle: int | None = None,
        delivery_count: int | None = None,
        credit: int | None = None,
        *,
        drain: bool = False,
    ) -> None:
        """Send the state of the session, and of a link."""
        self.send(
            Flow(
                self._next_incoming_id,
                INCOMING_WINDOW,
                self._next_outgoing_id,
                INCOMING_WINDOW,
                handle,
                delivery_count,
                credit,
                drain=drain,
            )
        )

    def _refuse(self, attach: Attach, error: AmqpError) -> None:
        """Refuse an attach: send a null terminus, then the reason."""
        self.send(
            Attach(
                attach.name,
                attach.handle,
                role=not attach.role,
                initial_delivery_count=0 if attach.role else None,
            )
        )
        self.send(Detach(attach.handle, closed=True, error=Error.of(error)))

    def _send_waiting(self) -> None:
        while self._waiting and self._window > 0:
            _, transfer, part = self._waiting.popleft()
            self._window -= 1
            self._next_outgoing_id = self._next_outgoing_id + 1 & _SERIAL
            self.send(transfer, part)


def _serial_difference(limit: int, used: int) -> int:
    """Return how far a serial number is ahead, 0 when it is behind (RFC 1982)."""
    difference = limit - used & _SERIAL
    return difference if difference <= _SERIAL // 2 else 0
