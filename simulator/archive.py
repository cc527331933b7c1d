"""The completed sessions of the cloud: those of the simulation, and those before it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import chain
import uuid

from .accounts import Account
from .clock import Clock
from .distortions import Distortions
from .hours import HourlyEnergy
from .installation import Installation, Load
from .past import Identity, Past, sort_key
from .scenario import PastScenario
from .session import Session

type Position = tuple[datetime, str]

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


class Archive[LoadT: Load]:
    """All completed sessions.

    Attributes:
        delay: Time from the arrival of a completed session until it is listed, s.
        distortions: What is wrong with the answers of `/api/sessions/archived`.
    """

    def __init__(
        self, clock: Clock, installations: Mapping[str, Installation[LoadT]]
    ) -> None:
        """Initialize the archive of the installations, whose number may change."""
        self.delay = 0.0
        self.distortions = Distortions()
        self._clock = clock
        self._installations = installations
        self._pasts: dict[str, Past] = {}

    def add(
        self,
        identity: Identity,
        item: PastScenario,
        *,
        seed: str,
        last_reading: float,
        drivers: Callable[[], Sequence[Account]],
    ) -> Past:
        """Add the past of a charger, which ends now at the latest, and return it."""
        past = Past(
            identity,
            item,
            seed=seed,
            now=self._clock.now(),
            last_reading=last_reading,
            drivers=drivers,
        )
        self._pasts[identity.id] = past
        return past

    def last_reports(self) -> Iterator[Session]:
        """Yield what the chargers with a past have reported last."""
        for past in self._pasts.values():
            if session := past.last_report():
                yield session

    def has_past(self, charger_id: str) -> bool:
        """Return whether a charger has sessions before the simulation."""
        return charger_id in self._pasts

    def listed(
        self,
        *,
        start: datetime,
        end: datetime,
        installation_id: str | None = None,
        charger_id: str | None = None,
        after: Position | None = None,
        now: datetime | None = None,
    ) -> Iterator[Session]:
        """Yield the sessions of an installation or a charger that have ended in [start, end).

        With `now` it may run in a thread, because the clock is not read then.

        Args:
            start: The first end.
            end: The end of the last that is not yielded any more.
            installation_id: Only sessions at this installation.
            charger_id: Only sessions of this charger.
            after: Only sessions behind this one: its end and its id.
            now: The moment until which the archive is complete; by default that of `now`.

        """
        now = now or self.now()
        ended = sorted(
            (
                session
                for item in self._installations.values()
                for session in item.archive
                if charger_id in (None, session.charger_id)
                and installation_id in (None, item.id)
            ),
            key=sort_key,
        )
        pasts = [
            past
            for past in self._pasts.values()
            if charger_id in (None, past.identity.id)
            and installation_id in (None, past.identity.installation_id)
        ]
        begin = max(start, after[0]) if after else start
        for session in merge(ended, _weekly(pasts, begin, end), key=sort_key):
            position = sort_key(session)
            if (
                start <= position[0] < end
                and (after is None or position > after)
                and session.recognized
                and session.recognized <= now
            ):
                yield session

    def now(self) -> datetime:
        """Return the moment until which the archive is complete."""
        return self._clock.now() - timedelta(seconds=self.delay)

    def find(self, session_id: str) -> Session | None:
        """Return a completed session, None if there is none with this id."""
        for item in self._installations.values():
            for session in item.archive:
                if session.id == session_id:
                    return session
        for past in self._pasts.values():
            found = past.find(session_id)
            if found and found.recognized and found.recognized <= self.now():
                return found
        return None

    def heal(self) -> None:
        """End all distortions and the delay."""
        self.delay = 0.0
        self.distortions.heal()

    def correct(self, session_id: str) -> Session:
        """Replace a session that was recorded with a wrong energy; return its correction.

        Raises:
            ValueError: There is no such session in the simulation, or nothing is wrong with it.
        """
        for item in self._installations.values():
            for session in item.archive:
                if session.id == session_id and session.truth:
                    new_id = str(uuid.uuid5(uuid.UUID(session.id), "correction"))
                    new = session.correct(new_id, self._clock.now())
                    item.archive.append(new)
                    return new
        raise ValueError(f"There is nothing to correct in {session_id}")

    def hourly_energy(
        self, charger_id: str, start: datetime | None, end: datetime | None
    ) -> HourlyEnergy:
        """Return what a charger has drawn before the simulation, hour by hour."""
        past = self._pasts.get(charger_id)
        if past is None:
            return HourlyEnergy()
        return past.hourly_energy(start or _EARLIEST, end or _LATEST)


def _weekly(pasts: Iterable[Past], start: datetime, end: datetime) -> Iterator[Session]:
    """Yield the past sessions of some chargers, week by week, the first to end first."""
    by_week: dict[int, list[Past]] = {}
    for past in pasts:
        for week in past.weeks(start, end):
            by_week.setdefault(week, []).append(past)
    return chain.from_iterable(
        sorted(
            chain.from_iterable(past.sessions(week) for past in by_week[week]),
            key=sort_key,
        )
        for week in sorted(by_week)
    )
