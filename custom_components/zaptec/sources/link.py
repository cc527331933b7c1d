"""How the state of an installation's chargers reaches us."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
import math
from time import monotonic

from homeassistant.util import dt as dt_util

from ..api import Subscription
from ..const import PushRefusal, PushStatus


@dataclass(slots=True)
class Link:
    """How the state of an installation's chargers reaches us."""

    status: PushStatus = PushStatus.CONNECTING
    since: datetime = field(default_factory=dt_util.utcnow)
    """Since when the status is what it is."""
    refusal: PushRefusal | None = None
    """Why the status is `not_permitted`."""
    admitted: bool = False
    """Whether the cloud told where the messages are when it last said anything clear."""
    fault: str | None = None
    """What ended the last attempt, in words fit for a log."""
    fault_at: datetime | None = None
    """When that was."""
    shared_since: datetime | None = None
    """Since when another program takes some of the messages, as far as is known."""
    connects: int = 0
    losses: int = 0
    """How often a change was found that no message had told."""
    stream: Subscription | None = None
    """The present link; None while there is none."""
    missed_before: int = 0
    """How many messages of the present link were known to be missing."""
    oversized_before: int = 0
    """How many of them were known to be too large to be read."""
    ended_streams: Counter[str] = field(default_factory=Counter)
    """What the links before it have counted."""
    last_ended_message: datetime | None = None
    """When the last message of the links before it came."""
    is_silent: bool = False
    """Whether the last link told nothing; the next one counts once it tells something."""
    loses_messages: bool = False
    """Whether some of the messages do not reach us, although it is up."""
    opened_at: float | None = None
    """When the present link was opened, or the last one (monotonic seconds)."""
    give_up: Callable[[], None] | None = None
    """Ends the link, so that another one is opened; None while there is none."""
    given_up_at: float = -math.inf
    """When a link that told nothing was given up (monotonic seconds)."""

    @property
    def messages(self) -> int:
        """Return how many messages came."""
        return self._count("messages")

    @property
    def bad_messages(self) -> int:
        """Return how many messages could not be understood."""
        return self._count("bad_messages")

    @property
    def missed_messages(self) -> int:
        """Return how many messages seem to have gone elsewhere."""
        return self._count("missed")

    @property
    def last_message(self) -> datetime | None:
        """Return when the latest message came."""
        present = self.stream.last_message if self.stream else None
        return present or self.last_ended_message

    def _count(self, what: str) -> int:
        """Return a count of all links so far."""
        present: int = getattr(self.stream, what, 0)
        return self.ended_streams[what] + present

    def end_stream(self) -> None:
        """Keep what the present link has counted, which has ended."""
        for what in ("messages", "bad_messages", "missed"):
            self.ended_streams[what] = self._count(what)
        self.last_ended_message = self.last_message
        self.missed_before = self.oversized_before = 0
        self.stream = None

    @property
    def age(self) -> float:
        """Return how long the present link is open, or the last one was (seconds)."""
        return 0.0 if self.opened_at is None else monotonic() - self.opened_at

    @property
    def is_reliable(self) -> bool:
        """Return whether what happens is told by messages."""
        return self.status is PushStatus.CONNECTED and not self.loses_messages
