"""How a charger gets the permission of an installation's web hook for the car at its cable.

The cloud calls the hook when a car is plugged in, and again each ten seconds while the answer is
401. That ends when the driver's card is refused, after five minutes, or when the car leaves. Any
other status of an error denies at once. A refused driver shows the card again, or plugs in again.

Source: "Integrating with Zaptec charging systems", Web hook authorization, Session start.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlencode

from .accounts import Card
from .engine import Engine

# From plugging in to the first call (s).
_FIRST_CALL = 1.0
POLL_INTERVAL = 10.0
POLL_TIMEOUT = 300.0
_CALL, _TIMEOUT = "web hook", "web hook timeout"


@dataclass(frozen=True, slots=True, repr=False)
class WebHooks:
    """The fields of an installation's web hooks, as the portal has them; all may be empty.

    Attributes:
        start_url: Called before a session; without it, the cloud authorizes by itself.
        end_url: Called after a session.
        auth_url: An OAuth token service; without it, the payload is for HTTP basic.
        auth_payload: What is posted to the token service, else `username=…&password=…`.
    """

    start_url: str = ""
    end_url: str = ""
    auth_url: str = ""
    auth_payload: str = ""

    @classmethod
    def basic(
        cls, start_url: str, end_url: str, username: str, password: str
    ) -> WebHooks:
        """Return the fields for HTTP basic authentication."""
        payload = urlencode({"username": username, "password": password})
        return cls(start_url, end_url, "", payload)


class Phase(StrEnum):
    """How far the authorization of the car by a web hook is."""

    NONE = "none"
    ASKING = "asking"
    PERMITTED = "permitted"
    REFUSED = "refused"
    DENIED = "denied"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web hook has answered to the request for a session.

    Attributes:
        status: The HTTP status, None without an answer.
        session_id: The id of the permitted session.
        denies: Whether the cloud ends the authorization.
    """

    status: int | None
    session_id: str | None = None
    denies: bool = False


@dataclass(frozen=True, slots=True)
class Application:
    """A request for a session.

    Attributes:
        number: How many times the charger has applied for a session; polls have the same number.
        code: The code of the driver's card, None until one was shown.
    """

    number: int
    code: str | None = field(repr=False)


class Site(Protocol):
    """What an authorization needs to know of the charger's installation."""

    @property
    def uses_web_hooks(self) -> bool:
        """Whether a web hook authorizes."""

    @property
    def authorization_required(self) -> bool:
        """Whether a session has to be authorized."""


class Applicant(Protocol):
    """The charger."""

    @property
    def installation(self) -> Site:
        """The installation that it belongs to now."""

    @property
    def is_online(self) -> bool:
        """Whether it is connected to the cloud."""

    @property
    def is_stand_alone(self) -> bool:
        """Whether it ignores the cloud."""


type Ask = Callable[[Application, Callable[[Answer], None]], None]
type Permit = Callable[[str | None, Card | None], None]


class Authorization:
    """The authorization of the car at one charger.

    Attributes:
        phase: How far it is.
        is_light_red: Whether the charger shows that a card or a car was refused.
    """

    def __init__(
        self, engine: Engine, charger: Applicant, *, ask: Ask, permit: Permit
    ) -> None:
        """Initialize the authorization of a charger without a car.

        Args:
            engine: The charger's time and timers.
            charger: The charger.
            ask: Calls the web hook, and passes its answer on once it is there.
            permit: Lets the car charge in a session of this id.
        """
        self.phase = Phase.NONE
        self.is_light_red = False
        self._engine = engine
        self._charger = charger
        self._ask = ask
        self._permit = permit
        self._number = 0
        self._code: str | None = None
        # An answer is ignored if it belongs to an earlier attempt.
        self._attempt = 0
        self._is_in_flight = False
        self._called_at = engine.now()

    def plugged_in(self) -> None:
        """Ask for a new session, of a car that was plugged in or whose session was ended."""
        self._number += 1
        self.phase = Phase.NONE
        self.resume()

    def resume(self) -> None:
        """Ask for the session unless that has been decided; the charger was offline."""
        if (
            self.phase is not Phase.NONE
            or not self._charger.installation.uses_web_hooks
        ):
            return
        if self._charger.is_stand_alone:
            self._permit(None, None)
        elif self._charger.is_online:
            self._begin()
            self._engine.after(_CALL, _FIRST_CALL, self._call)

    def pause(self) -> None:
        """Stop asking, because the charger has gone offline."""
        if self.phase is Phase.ASKING:
            self._finish(Phase.NONE)

    def unplugged(self) -> None:
        """End the authorization."""
        self._finish(Phase.NONE)

    def show_card(self, code: str) -> None:
        """Ask with the code of a card that the driver has shown."""
        if self.phase is not Phase.ASKING:
            self._begin()
        self._code = code
        self.is_light_red = False
        if not self._is_in_flight:
            self._engine.cancel(_CALL)
            self._call()

    def refuse_card(self) -> None:
        """Show that the cloud does not know a card."""
        self.is_light_red = True

    def _begin(self) -> None:
        self._finish(Phase.ASKING)
        self._engine.after(
            _TIMEOUT, POLL_TIMEOUT, lambda: self._finish(Phase.TIMED_OUT)
        )

    def _finish(self, phase: Phase, *, is_refused: bool = False) -> None:
        """End the present attempt; an answer that is still to come is ignored."""
        self._engine.cancel(_CALL, _TIMEOUT)
        self._attempt += 1
        self._is_in_flight = False
        self._code = None
        self.phase = phase
        self.is_light_red = is_refused

    def _call(self) -> None:
        site = self._charger.installation
        if not site.uses_web_hooks:
            # The portal was set to another authorization meanwhile.
            self._finish(Phase.NONE)
            if not site.authorization_required:
                self._permit(None, None)
            return
        attempt, code = self._attempt, self._code
        self._is_in_flight = True
        self._called_at = self._engine.now()

        def take(answer: Answer) -> None:
            if attempt == self._attempt:
                self._is_in_flight = False
                self._take(answer, code)

        self._ask(Application(self._number, code), take)

    def _take(self, answer: Answer, code: str | None) -> None:
        """Act on an answer to a call with this code."""
        if answer.session_id:
            self._finish(Phase.PERMITTED)
            # The cloud does not know the card, the charger reports its code.
            self._permit(answer.session_id, Card("", code) if code else None)
        elif answer.denies:
            self._finish(Phase.DENIED, is_refused=True)
        elif answer.status is not None and code:
            self._finish(Phase.REFUSED, is_refused=True)
        elif self._code != code:
            # The driver has shown a card while the cloud waited for the answer.
            self._call()
        else:
            passed = (self._engine.now() - self._called_at).total_seconds()
            self._engine.after(_CALL, max(0.0, POLL_INTERVAL - passed), self._call)
