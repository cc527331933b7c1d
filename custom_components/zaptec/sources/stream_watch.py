"""Whether the messages of one link report all that happens.

A link can be up and deliver nothing, or only a part, because another program reads
the same subscription. Neither the protocol nor the library reports that. What does:

- silence where a report is due: from a charger that is charging, or from any charger;
- gaps in the numbers that the Service Bus gives to the messages of a subscription;
- the hourly list, where it differs from what the messages reported.

Each is a suspicion only, because the vendor does not document how often chargers report,
and costs a reading. A reading that shows a change which no message reports, not even
within a minute after it, is the proof.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
import math
from time import monotonic

from ..api import Observation, OperationMode, StateId
from ..state import SAME_OBSERVATION, STATE_IDS_MAX, ChargerState

# All times are in seconds.

# Interval between two checks of what is suspected.
CHECK_INTERVAL = 60.0

# A charger that charges reports its energy about once a minute, and its pulse every
# three (StateId 147); one that does not, its pulse every ten.
SILENCE_CHARGING = 300.0
SILENCE_IDLE = 1800.0

# Maximum delay of a message behind a reading that shows the same change.
MESSAGE_DELAY = 60.0

# Gaps may mean nothing, if the numbers are not those of this subscription alone: each
# reading that proves nothing is followed by a longer pause.
GAP_READING_INTERVALS = (60.0, 60.0, 60.0, 300.0, 300.0, 300.0, 3600.0)

# Minimum time between two losses that prove another reader. A single loss may have
# passing reasons, such as an earlier connection whose end the service did not see.
LOSSES_APART = 90.0

# Number of messages in a row without a gap after which nothing is lost any more. Where
# gaps mean nothing, only time decides.
MESSAGES_WITHOUT_GAP = 30
LOSS_MEMORY_MIN = 600.0
LOSS_MEMORY_MAX = 6 * 3600.0

# StateIds that every charger is known to report by message when they change. Others
# count once a message has reported them.
ALWAYS_REPORTED = frozenset(
    {
        StateId.CHARGER_OPERATION_MODE,
        StateId.TOTAL_CHARGE_POWER,
        StateId.TOTAL_CHARGE_POWER_SESSION,
    }
)


@dataclass(frozen=True, slots=True)
class _Change:
    """A change that a reading showed, and no message yet."""

    timestamp: datetime
    read_at: float
    """When it was read (monotonic seconds)."""
    after_gap: bool
    """Whether messages were missing just before."""

    def is_reported_by(self, observation: Observation) -> bool:
        """Return whether a message reports it, or what came after it.

        After a gap only the very message counts: the ones after it are not missing.
        """
        delay = observation.timestamp - self.timestamp
        return delay >= -SAME_OBSERVATION and (
            not self.after_gap or delay <= SAME_OBSERVATION
        )


class StreamWatch:
    """Finds out whether the messages of one link are complete.

    Moments are monotonic seconds.
    """

    def __init__(
        self,
        *,
        read: Callable[[str], None],
        on_silence: Callable[[], None],
        on_loss: Callable[[bool], None],
        on_complete: Callable[[], None],
    ) -> None:
        """Initialize the watch.

        Args:
            read: Reads a charger, and has `compare` called with the result.
            on_silence: Called when the messages did not report a change, nor anything
                else recently.
            on_loss: Called when the messages did not report a change although others
                arrive, with whether that has happened before.
            on_complete: Called when the messages report everything again.

        """
        self._read = read
        self._on_silence = on_silence
        self._on_loss = on_loss
        self._on_complete = on_complete
        self._opened_at = self._received_at = monotonic()
        # When the last message about a charger arrived, and when one was last read
        # because none did, by the charger's id.
        self._received_from: dict[str, float] = {}
        self._asked_about: dict[str, float] = {}
        # The chargers that were read since the link was opened.
        self._read_chargers: set[str] = set()
        # The StateIds that messages have reported, by charger: what one charger reports
        # by message, another may not.
        self._reported: defaultdict[str, set[int]] = defaultdict(set)
        self._changes: dict[tuple[str, int], _Change] = {}
        self._asked_at = -math.inf
        # When messages were last missing, whether or not that led to a reading.
        self._missed_at = -math.inf
        self._gap_at = -math.inf
        self._gap_read_at = -math.inf
        # The chargers of which messages may be missing, in the order of their readings.
        self._missing: dict[str, None] = {}
        # Number of readings because of gaps since the last proof of a loss.
        self._gap_readings = 0
        self._first_lost_at = -math.inf
        self._lost_at: float | None = None
        self._in_a_row = 0

    def opened(self) -> None:
        """Start over for a new link.

        Evidence about the previous link is dropped; what was learned about the
        subscription is kept.
        """
        self._opened_at = self._received_at = monotonic()
        self._gap_at = -math.inf
        self._missing.clear()
        self._received_from.clear()
        self._read_chargers.clear()
        self._changes.clear()
        self._in_a_row = 0

    def forget(self, charger_id: str) -> None:
        """Drop the evidence of a charger that has moved to another installation."""
        self._received_from.pop(charger_id, None)
        self._asked_about.pop(charger_id, None)
        self._missing.pop(charger_id, None)
        self._read_chargers.discard(charger_id)
        for key in [key for key in self._changes if key[0] == charger_id]:
            del self._changes[key]

    def received(self, observation: Observation, *, is_known: bool) -> None:
        """Note an observation of a message, and whether its charger is known."""
        self._received_at = monotonic()
        self._in_a_row += 1
        if not is_known:
            return
        charger_id, state_id = observation.charger_id, observation.state_id
        self._received_from[charger_id] = self._received_at
        reported = self._reported[charger_id]
        if state_id not in reported and len(reported) < STATE_IDS_MAX:
            reported.add(state_id)
        # There is seldom any change that waits for its message.
        if not self._changes:
            return
        change = self._changes.get((charger_id, state_id))
        if change and change.is_reported_by(observation):
            del self._changes[charger_id, state_id]

    def has_heard(self, charger_id: str) -> bool:
        """Return whether a message about a charger arrived a short time ago."""
        received_at = self._received_from.get(charger_id, -math.inf)
        return monotonic() - received_at < SILENCE_CHARGING

    @property
    def last_message_at(self) -> float:
        """Return when the last message arrived, or else when the link was opened."""
        return self._received_at

    def has_missed(self, since: float) -> bool:
        """Return whether messages that were sent after a moment may be missing.

        Those that were sent while the link was down may be.
        """
        return self._opened_at > since or self._missed_at >= since - MESSAGE_DELAY

    def gap(self, charger_ids: Collection[str]) -> None:
        """Note a gap in the numbers of messages, and read these chargers.

        The missing messages may be about any of them.
        """
        self._in_a_row = 0
        self._missed_at = monotonic()
        self._note_gap(charger_ids)

    def oversized(self, charger_ids: Collection[str]) -> None:
        """Note messages of chargers that are too large to be read, and read these chargers.

        Their content is not lost to another program: the next reading of each charger
        proves nothing.
        """
        self._read_chargers.difference_update(charger_ids)
        self._note_gap(charger_ids)

    def _note_gap(self, charger_ids: Collection[str]) -> None:
        """Read chargers, unless that was done just before: then `check` does it."""
        if not charger_ids:
            return
        self._missing.update(dict.fromkeys(charger_ids))
        self._gap_at = now = monotonic()
        if self._is_gap_reading_due(now):
            self._read_after_gap(now)

    def _is_gap_reading_due(self, now: float) -> bool:
        """Return whether messages are missing since the last reading for that reason."""
        number = min(self._gap_readings, len(GAP_READING_INTERVALS) - 1)
        interval = GAP_READING_INTERVALS[number]
        return bool(self._missing) and now - self._gap_read_at >= interval

    def _read_after_gap(self, now: float) -> None:
        """Read the chargers of which messages may be missing."""
        self._gap_at = self._gap_read_at = now
        self._gap_readings += 1
        charger_ids, self._missing = self._missing, {}
        for charger_id in charger_ids:
            self._read(charger_id)

    def compare(
        self, charger_id: str, state: ChargerState, observations: Iterable[Observation]
    ) -> None:
        """Compare a reading with what the messages reported, before it is applied.

        Args:
            charger_id: The charger.
            state: Its state before the reading.
            observations: The reading.

        """
        if charger_id not in self._read_chargers:
            # No message reports what happened before the link was up.
            self._read_chargers.add(charger_id)
            return
        now = monotonic()
        after_gap = now - self._gap_at < MESSAGE_DELAY
        reported = self._reported.get(charger_id, set()) | ALWAYS_REPORTED
        for observation in observations:
            state_id = observation.state_id
            if state_id in reported and state.would_change(observation):
                self._changes.setdefault(
                    (charger_id, state_id),
                    _Change(observation.timestamp, now, after_gap),
                )

    def check(self, chargers: Mapping[str, ChargerState]) -> None:
        """Check the open link: for changes it has not reported, and for silence."""
        now = monotonic()
        if self._take_unreported(now):
            if self._has_received_recently(now):
                self.lost()
            else:
                self._in_a_row = 0
                self._gap_readings = 0
                self._on_silence()
        elif self._is_complete_again(now):
            self._lost_at = None
            self._on_complete()
        if self._is_gap_reading_due(now):
            # Of a gap that came too soon after another one.
            self._read_after_gap(now)
        if charger_id := self._overdue(chargers, now):
            self._asked_at = self._asked_about[charger_id] = now
            self._read(charger_id)

    def _take_unreported(self, now: float) -> bool:
        """Return whether a change was not reported in time, and forget it."""
        unreported = {
            key
            for key, change in self._changes.items()
            if now - change.read_at >= MESSAGE_DELAY
        }
        for key in unreported:
            del self._changes[key]
        return bool(unreported)

    def _is_complete_again(self, now: float) -> bool:
        """Return whether messages were lost, but are not any more."""
        if self._lost_at is None or self._changes:
            return False
        since = now - self._lost_at
        return since >= LOSS_MEMORY_MAX or (
            since >= LOSS_MEMORY_MIN and self._in_a_row >= MESSAGES_WITHOUT_GAP
        )

    def lost(self) -> None:
        """Note a loss, which is proven, although other messages arrive."""
        now = monotonic()
        self._in_a_row = 0
        self._gap_readings = 0
        if self._lost_at is None:
            self._first_lost_at = now
        self._lost_at = now
        self._on_loss(now - self._first_lost_at >= LOSSES_APART)

    def _has_received_recently(self, now: float) -> bool:
        """Return whether a message has arrived recently."""
        return self._received_at > self._opened_at and (
            now - self._received_at < SILENCE_CHARGING
        )

    def _overdue(self, chargers: Mapping[str, ChargerState], now: float) -> str | None:
        """Return a charger that should have reported something, if there is one.

        One reading says whether the whole link is silent, so there is one at a time.
        """
        if now - self._asked_at >= SILENCE_CHARGING:
            charging = [
                charger_id
                for charger_id, state in chargers.items()
                if state.value(StateId.CHARGER_OPERATION_MODE)
                is OperationMode.CONNECTED_CHARGING
                and state.value(StateId.IS_ONLINE) is not False
                and now - self._last_news_of(charger_id) >= SILENCE_CHARGING
            ]
            if charging:
                return min(charging, key=self._last_news_of)
        if now - max(self._asked_at, self._received_at) >= SILENCE_IDLE:
            return min(chargers, key=self._last_news_of, default=None)
        return None

    def _last_news_of(self, charger_id: str) -> float:
        """Return when a charger last reported something or was asked."""
        return max(
            self._opened_at,
            self._received_from.get(charger_id, -math.inf),
            self._asked_about.get(charger_id, -math.inf),
        )
