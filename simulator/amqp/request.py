"""Request and response over a pair of links.

Source: OASIS AMQP Management 1.0, section 3.
"""

from abc import abstractmethod
from collections import deque
from uuid import uuid4

from .message import Message
from .performatives import Properties
from .session import Link, Node, ReceivingLink, SendingLink


class RequestNode(Node):
    """A node of one connection that responds to each message."""

    def __init__(self) -> None:
        """Initialize the node without links."""
        self._links: list[SendingLink] = []
        self._responses: deque[tuple[str | None, Message]] = deque()

    def attach(self, link: Link) -> None:
        """Remember the link for responses."""
        if isinstance(link, SendingLink):
            self._links.append(link)

    def detach(self, link: Link) -> None:
        """Forget the link."""
        if isinstance(link, SendingLink):
            self._links.remove(link)

    def receive(self, link: ReceivingLink, message: bytes) -> None:
        """Respond to a request."""
        request = Message.decode(message)
        properties = request.properties or Properties()
        response = self.respond(request)
        if response:
            response.properties = Properties(correlation_id=properties.message_id)
            self._responses.append((properties.reply_to, response))
            self.pump()

    def pump(self) -> None:
        """Send responses as the links have credit."""
        for reply_to, response in list(self._responses):
            link = self._link(reply_to)
            if link and link.ready:
                self._responses.remove((reply_to, response))
                link.send(response.encode(), uuid4().bytes, None)

    def _link(self, reply_to: str | None) -> SendingLink | None:
        """Return the link to the named target, or any link if none has that target.

        The client names the node itself as `reply_to`, not its own terminus.
        """
        named = [link for link in self._links if link.target == reply_to]
        return next(iter(named or self._links), None)

    @abstractmethod
    def respond(self, request: Message) -> Message | None:
        """Return the response, None to never answer."""
