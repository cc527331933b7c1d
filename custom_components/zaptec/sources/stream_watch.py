"""Whether an installation's stream of messages tells all that happens.

A link can be up and deliver nothing, or only a part, because another program reads
the same subscription. Neither the protocol nor the library tells of that. What does:

- silence where something should be heard of: a charger that is charging, or any
  charger of the installation;
- gaps in the numbers that the Service Bus gives to the messages of a subscription;
- the hourly list, where it differs from what the messages told.

Each is a suspicion only, as nobody documents how often chargers report, and costs a
reading. A reading that shows a change which no message tells of, not even within a
minute after it, is the proof.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
import math
from time import monotonic

from ..api import Observation, OperationMode, StateId
from ..state import SAME_OBSERVATION, STATE_IDS_MAX, ChargerState

# All times are in seconds.

# How often what is suspected is looked at.
CHECK_INTERVAL = 60.0

# A charger that charges reports its energy about once a minute, and its pulse every
# three (StateId 147); one that does not, its pulse every ten.
SILENCE_CHARGING = 300.0
SILENCE_IDLE = 1800.0

# How long a message may take that tells what a reading told already.
MESSAGE_DELAY = 60.0

# Gaps may mean nothing, if the numbers are not those of this subscription alone: each
# reading that proves nothing is followed by a longer pause.
GAP_READING_INTERVALS = (60.0, 60.0, 60.0, 300.0, 300.0, 300.0, 3600.0)

# A single loss may have passing reasons, such as a link of ours that the service did
# not see the end of. Only a second one says that somebody else reads along.
LOSSES_APART = 90.0

# So many messages in a row without a gap, and nothing is lost any more. Where gaps
# mean nothing, time alone tells.
MESSAGES_WITHOUT_GAP = 30
LOSS_MEMORY_MIN = 600.0
LOSS_MEMORY_MAX = 6 * 3600.0

# What every charger is known to report by message when it changes. Other StateIds
# count once the stream has told one.
ALWAYS_TOLD = frozenset(
    {
        StateId.CHARGER_OPERATION_MODE,
        StateId.TOTAL_CHARGE_POWER,
        StateId.TOTAL_CHARGE_POWER_SESSION,
    }
)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a reading told, and no message yet."""

    timestamp: datetime
    read_at: float
    """When it was read (monotonic seconds)."""
    after_gap: bool
    """Whether messages were missing just before."""

    def is_told_by(self, observation: Observation) -> bool:
        """Return whether a message tells it, or has gone on to what came after it.

        After a gap only the very message counts: the ones after it are not missing.
        """
        delay = observation.timestamp - self.timestamp
        return delay >= -SAME_OBSERVATION and (
            not self.after_gap or delay <= SAME_OBSERVATION
        )


@dataclass(slots=True)
class _Stream:
    """What is known of an installation's stream. Moments are monotonic seconds."""

    opened_at: float
    heard_at: float
    heard_of: dict[str, float] = field(default_factory=dict)
    asked_of: dict[str, float] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    """The chargers that were read since it was opened."""
    told: dict[str, set[int]] = field(default_factory=dict)
    """The StateIds that messages have told, by charger: what one reports by message,
    another may not."""
    changes: dict[tuple[str, int], _Change] = field(default_factory=dict)
    asked_at: float = -math.inf
    gap_at: float = -math.inf
    gap_read_at: float = -math.inf
    futile_gap_readings: int = 0
    first_lost_at: float = -math.inf
    lost_at: float | None = None
    in_a_row: int = 0

    def speaks(self, now: float) -> bool:
        """Return whether it has told anything lately."""
        return self.heard_at > self.opened_at and (
            now - self.heard_at < SILENCE_CHARGING
        )

    def owes_gap_reading(self, now: float) -> bool:
        """Return whether messages are missing since the last reading for that reason."""
        futile = min(self.futile_gap_readings, len(GAP_READING_INTERVALS) - 1)
        interval = GAP_READING_INTERVALS[futile]
        return self.gap_at > self.gap_read_at and now - self.gap_read_at >= interval

    def take_untold(self, now: float) -> bool:
        """Return whether a change was not told in time, and be done with it."""
        untold = {
            key
            for key, change in self.changes.items()
            if now - change.read_at >= MESSAGE_DELAY
        }
        for key in untold:
            del self.changes[key]
        return bool(untold)

    def is_complete_again(self, now: float) -> bool:
        """Return whether what was lost is past."""
        if self.lost_at is None or self.changes:
            return False
        since = now - self.lost_at
        return since >= LOSS_MEMORY_MAX or (
            since >= LOSS_MEMORY_MIN and self.in_a_row >= MESSAGES_WITHOUT_GAP
        )

    def overdue(self, chargers: dict[str, ChargerState], now: float) -> str | None:
        """Return a charger that should have been heard of, if there is one.

        One reading tells about the whole stream, so there is one at a time.
        """

        def news_of(charger_id: str) -> float:
            return max(
                self.opened_at,
                self.heard_of.get(charger_id, -math.inf),
                self.asked_of.get(charger_id, -math.inf),
            )

        if now - self.asked_at >= SILENCE_CHARGING:
            charging = [
                charger_id
                for charger_id, state in chargers.items()
                if state.value(StateId.CHARGER_OPERATION_MODE)
                is OperationMode.CONNECTED_CHARGING
                and state.value(StateId.IS_ONLINE) is not False
                and now - news_of(charger_id) >= SILENCE_CHARGING
            ]
            if charging:
                return min(charging, key=news_of)
        if now - max(self.asked_at, self.heard_at) >= SILENCE_IDLE:
            return min(chargers, key=news_of, default=None)
        return None


class StreamWatch:
    """Finds the streams that do not tell all."""

    def __init__(
        self,
        *,
        read: Callable[[str], None],
        on_silence: Callable[[str], None],
        on_loss: Callable[[str, bool], None],
        on_complete: Callable[[str], None],
    ) -> None:
        """Initialize the watch.

        Args:
            read: Reads a charger, and has `compare` called with what it tells.
            on_silence: Called with an installation's id when its stream did not tell
                a change, nor anything else lately.
            on_loss: Called with an installation's id when its stream did not tell a
                change although it speaks, and whether that has happened before.
            on_complete: Called with an installation's id when its stream tells all
                again.

        """
        self._read = read
        self._on_silence = on_silence
        self._on_loss = on_loss
        self._on_complete = on_complete
        self._streams: dict[str, _Stream] = {}

    def opened(self, installation_id: str) -> None:
        """Note that a new link is up: what was suspected of the old one is no news."""
        now = monotonic()
        stream = self._streams.get(installation_id)
        if stream is None:
            self._streams[installation_id] = _Stream(opened_at=now, heard_at=now)
            return
        stream.opened_at = stream.heard_at = now
        stream.gap_at = -math.inf
        stream.heard_of.clear()
        stream.read.clear()
        stream.changes.clear()
        stream.in_a_row = 0

    def forget(self, installation_id: str) -> None:
        """Drop what is known of an installation."""
        self._streams.pop(installation_id, None)

    def forget_charger(self, charger_id: str) -> None:
        """Drop what is suspected because of a charger that has moved elsewhere."""
        for stream in self._streams.values():
            stream.heard_of.pop(charger_id, None)
            stream.asked_of.pop(charger_id, None)
            stream.read.discard(charger_id)
            for key in [key for key in stream.changes if key[0] == charger_id]:
                del stream.changes[key]

    def heard(
        self, installation_id: str, observation: Observation, *, is_known: bool
    ) -> None:
        """Take note of what a message told, and whether it is about a known charger."""
        if (stream := self._streams.get(installation_id)) is None:
            return
        stream.heard_at = monotonic()
        stream.in_a_row += 1
        if not is_known:
            return
        stream.heard_of[observation.charger_id] = stream.heard_at
        told = stream.told.setdefault(observation.charger_id, set())
        if len(told) < STATE_IDS_MAX:
            told.add(observation.state_id)
        key = (observation.charger_id, observation.state_id)
        change = stream.changes.get(key)
        if change and change.is_told_by(observation):
            del stream.changes[key]

    def missed(self, installation_id: str, charger_ids: Iterable[str]) -> None:
        """Take note of a gap in the numbers of messages, and read these chargers.

        Whatever was lost may be about any of them.
        """
        if (stream := self._streams.get(installation_id)) is None:
            return
        stream.in_a_row = 0
        self._note_gap(stream, charger_ids)

    def oversized(self, installation_id: str, charger_ids: Iterable[str]) -> None:
        """Take note of a message that is too large to be read, and read these chargers.

        What it told is not lost: the next reading of each proves nothing.
        """
        if (stream := self._streams.get(installation_id)) is None:
            return
        stream.read.clear()
        self._note_gap(stream, charger_ids)

    def _note_gap(self, stream: _Stream, charger_ids: Iterable[str]) -> None:
        """Read chargers, unless that was done just before: then `check` does it."""
        stream.gap_at = now = monotonic()
        if stream.owes_gap_reading(now):
            self._read_after_gap(stream, charger_ids, now)

    def _read_after_gap(
        self, stream: _Stream, charger_ids: Iterable[str], now: float
    ) -> None:
        """Read the chargers of an installation, some of whose messages are missing."""
        stream.gap_at = stream.gap_read_at = now
        stream.futile_gap_readings += 1
        for charger_id in charger_ids:
            self._read(charger_id)

    def compare(
        self,
        installation_id: str,
        charger_id: str,
        state: ChargerState,
        observations: Iterable[Observation],
    ) -> None:
        """Compare what a reading tells with what the messages told, before it counts.

        Args:
            installation_id: Whose stream should have told it.
            charger_id: The charger.
            state: What is held of it.
            observations: What the reading tells.

        """
        if (stream := self._streams.get(installation_id)) is None:
            return
        if charger_id not in stream.read:
            # Whatever happened before the link was up is not for it to tell.
            stream.read.add(charger_id)
            return
        now = monotonic()
        after_gap = now - stream.gap_at < MESSAGE_DELAY
        told = stream.told.get(charger_id, set()) | ALWAYS_TOLD
        for observation in observations:
            state_id = observation.state_id
            if state_id not in told:
                continue
            if state.would_change(observation):
                stream.changes.setdefault(
                    (charger_id, state_id),
                    _Change(observation.timestamp, now, after_gap),
                )

    def check(self, installation_id: str, chargers: dict[str, ChargerState]) -> None:
        """Look at one open stream: what it has not told, and whether it is silent."""
        if (stream := self._streams.get(installation_id)) is None:
            return
        now = monotonic()
        if stream.take_untold(now):
            self._lost(installation_id, stream, now)
        elif stream.is_complete_again(now):
            stream.lost_at = None
            self._on_complete(installation_id)
        if stream.owes_gap_reading(now):
            # Of a gap that came too soon after another one.
            self._read_after_gap(stream, chargers, now)
        if charger_id := stream.overdue(chargers, now):
            stream.asked_at = stream.asked_of[charger_id] = now
            self._read(charger_id)

    def _lost(self, installation_id: str, stream: _Stream, now: float) -> None:
        """Tell of a loss, which is proven."""
        stream.in_a_row = 0
        stream.futile_gap_readings = 0
        if not stream.speaks(now):
            self._on_silence(installation_id)
            return
        if stream.lost_at is None:
            stream.first_lost_at = now
        stream.lost_at = now
        again = now - stream.first_lost_at >= LOSSES_APART
        self._on_loss(installation_id, again)
