"""What drives a simulated charger: time, timers and chance."""

from collections.abc import Callable
from datetime import datetime
import random

from .clock import Clock, Handle


class Engine:
    """The simulated time, the named timers and the random numbers of one charger.

    At most one timer of each name is pending. All parts of a charger draw from the same random
    numbers, so that chargers with the same seed behave the same.

    Attributes:
        random: The source of all variation.
    """

    def __init__(self, clock: Clock, seed: str) -> None:
        """Initialize the engine."""
        self.random = random.Random(seed)
        self._clock = clock
        self._timers: dict[str, Handle] = {}

    def now(self) -> datetime:
        """Return the simulated time, UTC."""
        return self._clock.now()

    def after(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Run an action after some seconds; a pending timer of this name is replaced."""
        self.cancel(name)

        def fire() -> None:
            self._timers.pop(name, None)
            action()

        self._timers[name] = self._clock.call_later(seconds, fire)

    def is_pending(self, name: str) -> bool:
        """Return whether a timer has not run yet."""
        return name in self._timers

    def cancel(self, *names: str) -> None:
        """Cancel timers; a name without a pending timer is ignored."""
        for name in names:
            if handle := self._timers.pop(name, None):
                handle.cancel()

    def cancel_all(self) -> None:
        """Cancel every timer."""
        self.cancel(*self._timers)

    def uuid(self) -> str:
        """Return a random UUID."""
        text = f"{self.random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
