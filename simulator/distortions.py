"""Wrong answers of the archive, on demand: each changes the documents of a page."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

type Sessions = list[Any]

# How far the sessions "from the future" are moved.
_FUTURE = timedelta(days=400)
_MANY_DETAILS = 10_000


def _unordered(sessions: Sessions) -> Sessions:
    """Return the last first, and the details of each, too."""
    for session in sessions:
        session.get("energyDetails", []).reverse()
    return sessions[::-1]


def _doubled(sessions: Sessions) -> Sessions:
    """Return each session twice."""
    return [session for session in sessions for _ in range(2)]


def _incomplete(sessions: Sessions) -> Sessions:
    """Leave out every second session, the first one, too."""
    return sessions[1::2]


def _future(sessions: Sessions) -> Sessions:
    """Move all times by more than a year."""
    for session in sessions:
        for key in ("startDateTime", "endDateTime", "recognizedDateTime"):
            session[key] = _later(session[key])
        for detail in session.get("energyDetails", []):
            detail["timestamp"] = _later(detail["timestamp"])
    return sessions


def _negative(sessions: Sessions) -> Sessions:
    """Return energies below zero."""
    return _multiplied(sessions, -1)


def _absurd(sessions: Sessions) -> Sessions:
    """Return energies that no charger can deliver."""
    return _multiplied(sessions, 1000)


def _long(sessions: Sessions) -> Sessions:
    """Give each session ten thousand details that add up to its energy."""
    for session in sessions:
        start = datetime.fromisoformat(session["startDateTime"])
        step = (datetime.fromisoformat(session["endDateTime"]) - start) / _MANY_DETAILS
        session["energyDetails"] = [
            {
                "timestamp": _text(start + step * (index + 1)),
                "energy": session["energy"] / _MANY_DETAILS,
            }
            for index in range(_MANY_DETAILS)
        ]
    return sessions


def _odd(sessions: Sessions) -> Sessions:
    """Add rows that are no sessions, and details that are none."""
    for session in sessions:
        session.get("energyDetails", []).append({"timestamp": "late", "energy": None})
    return [7, None, {"energy": 1.5}, {"id": "odd"}, *sessions]


_DISTORTIONS: dict[str, Callable[[Sessions], Sessions]] = {
    "unordered": _unordered,
    "doubled": _doubled,
    "incomplete": _incomplete,
    "future": _future,
    "negative": _negative,
    "absurd": _absurd,
    "long": _long,
    "odd": _odd,
}
# "stuck": there is always another page, with the same cursor, which leads to the first page.
_STUCK = "stuck"
_STUCK_CURSOR = base64.urlsafe_b64encode(b"0001-01-01T00:00:00+00:00 0").decode()
DISTORTIONS = (*_DISTORTIONS, _STUCK)


class Distortions:
    """What is wrong with the answers of the archive; at first nothing."""

    def __init__(self) -> None:
        """Initialize without a distortion."""
        # How many more answers are distorted, None: all until `heal`.
        self._active: dict[str, int | None] = {}

    @property
    def active(self) -> list[str]:
        """The distortions in force."""
        return list(self._active)

    def add(self, name: str, times: int | None = None) -> None:
        """Distort the next answers.

        Args:
            name: One of `DISTORTIONS`.
            times: How many answers; None: all until `heal`.

        Raises:
            ValueError: There is no such distortion.
        """
        if name not in DISTORTIONS:
            raise ValueError(f"No such distortion: {name}")
        self._active[name] = times

    def heal(self) -> None:
        """End all distortions."""
        self._active.clear()

    def apply(self, page: dict[str, Any]) -> dict[str, Any]:
        """Return an answer as it is sent."""
        for name, times in list(self._active.items()):
            if name == _STUCK:
                page |= {"cursor": _STUCK_CURSOR, "hasMore": True}
            else:
                page["sessions"] = _DISTORTIONS[name](page["sessions"])
            if times is not None:
                self._active[name] = times - 1
                if times <= 1:
                    del self._active[name]
        return page


def _multiplied(sessions: Sessions, factor: float) -> Sessions:
    for session in sessions:
        session["energy"] *= factor
        for detail in session.get("energyDetails", []):
            detail["energy"] *= factor
    return sessions


def _later(text: str) -> str:
    return _text(datetime.fromisoformat(text) + _FUTURE)


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"
