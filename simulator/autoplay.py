"""Cars that come and go by themselves, so that there is always something to see.

Sessions are short: a few minutes each, of small batteries.
"""

from datetime import timedelta
import random

from .car import Car
from .charger import Charger
from .clock import Clock, Handle
from .observations import Mode

_STEP_SECONDS = 2.0
# Longest time that a car stays, for instance a paused one (s).
_LONGEST_STAY = 900.0
# Real time in which no car comes to the first charger, so that a newcomer finds it
# free and can plug a car in (s).
_FREE_SECONDS = 600.0


class Autoplay:
    """Plays the drivers of all chargers, until the user acts.

    The user's car would drive off by itself, and a charger that the user has just
    stopped would get the next car. So each act of the user pauses the play.
    """

    def __init__(self, clock: Clock, chargers: dict[str, Charger], seed: str) -> None:
        """Initialize the play; `start` begins. `chargers` may change while it plays."""
        self._clock = clock
        self._chargers = chargers
        self._random = random.Random(f"{seed}/autoplay")
        self._handle: Handle | None = None
        # By charger id: when the next car arrives, and when the present one departs.
        self._arrivals: dict[str, float] = {}
        self._departures: dict[str, float] = {}
        # The id of the first charger while it is kept free, None before the play.
        self._kept_free: str | None = None
        self._free_until = clock.now()
        self._is_paused = False

    @property
    def is_paused(self) -> bool:
        """Whether an act of the user has interrupted the play."""
        return self._is_paused

    @property
    def is_playing(self) -> bool:
        """Whether cars come and go."""
        return self._handle is not None

    def start(self) -> None:
        """Start, or resume after a pause; the first car arrives immediately."""
        self._is_paused = False
        if self._handle is None:
            if self._kept_free is None:
                self._kept_free = next(iter(self._chargers), "")
                seconds = _FREE_SECONDS * max(1.0, self._clock.speed)
                self._free_until = self._clock.now() + timedelta(seconds=seconds)
            self._step()

    def pause(self) -> None:
        """Pause the play, if it runs, because the user has acted."""
        if self.is_playing:
            self.stop()
            self._is_paused = True

    def stop(self) -> None:
        """Stop the play; cars that are plugged in stay."""
        self._is_paused = False
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def _step(self) -> None:
        now = self._clock.now().timestamp()
        free: list[Charger] = []
        for charger in self._chargers.values():
            if charger.car is None and charger.id == self._kept_free:
                if self._clock.now() >= self._free_until:
                    self._kept_free = ""
            elif charger.car is None:
                self._departures.pop(charger.id, None)
                due = self._arrivals.setdefault(
                    charger.id, now + self._random.uniform(5, 60)
                )
                if charger.is_online and now >= due:
                    self._arrive(charger)
                elif charger.is_online:
                    free.append(charger)
            else:
                self._stay(charger, now)
        if free and not self._anything_to_see():
            self._arrive(self._random.choice(free))
        self._handle = self._clock.call_later(_STEP_SECONDS, self._step)

    def _anything_to_see(self) -> bool:
        return any(
            charger.car and charger.mode in (Mode.REQUESTING, Mode.CHARGING)
            for charger in self._chargers.values()
        )

    def _arrive(self, charger: Charger) -> None:
        self._arrivals.pop(charger.id, None)
        three = self._random.random() < 0.75
        charger.plug_in(
            Car(
                capacity_kwh=round(self._random.uniform(0.15, 0.5), 3),
                max_current=self._random.choice((16.0, 16.0, 20.0)),
                phases=3 if three else 1,
            )
        )
        if charger.installation.authorization_required:
            self._authorize(charger)

    def _authorize(self, charger: Charger) -> None:
        """Let one of the drivers use a card or the app, if the installation has drivers."""
        drivers = charger.installation.drivers
        driver = self._random.choice(drivers) if drivers else None
        card = next(iter(driver.cards), None) if driver else None
        if charger.installation.uses_web_hooks:
            if card:
                charger.show_card(card.code)
        elif driver:
            charger.authorize(driver, card)
        else:
            charger.authorize()

    def _stay(self, charger: Charger, now: float) -> None:
        """Unplug the car some time after it has finished charging."""
        self._arrivals[charger.id] = now + self._random.uniform(15, 90)
        departure = self._departures.setdefault(charger.id, now + _LONGEST_STAY)
        if charger.mode == Mode.FINISHED and not charger.final_stop:
            departure = min(departure, now + self._random.uniform(15, 45))
            self._departures[charger.id] = departure
        if now >= departure:
            del self._departures[charger.id]
            charger.unplug()
