"""How a charger charges: its operating mode, its session, and the current it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from .accounts import Account, Card
from .car import Car
from .electrics import Electrics, Settings
from .engine import Engine
from .installation import Demand
from .observations import Mode, StateId
from .session import Session
from .telemetry import Telemetry


class Site(Protocol):
    """What charging needs to know of the charger's installation."""

    @property
    def authentication_required(self) -> bool:
        """Whether a session has to be authorized."""

    @property
    def authorization_required(self) -> bool:
        """Whether the cloud or another system has to authorize a session."""

    @property
    def cloud_authorizes(self) -> bool:
        """Whether the cloud has to authorize a session by itself."""

    @property
    def authentication_type(self) -> int:
        """Who authorizes: 0 is the cloud, any other number another system."""

    def close(self, session: Session) -> None:
        """Take a completed session."""

    def rebalance(self) -> None:
        """Share the current again."""


@dataclass(slots=True)
class Recording:
    """How well a charger records its completed sessions.

    Attributes:
        lost_reports: Probability that a session is not reported on the bus (StateId 723).
        measured_share: Share of the energy that is recorded; `Archive.correct` adds the rest.
        clock_error: How far its clock is wrong, s; 0 is a reliable clock.
    """

    lost_reports: float = 0.0
    measured_share: float = 1.0
    clock_error: float = 0.0


class Charging:
    """The state machine of one charger, from the cable in to the cable out.

    Attributes:
        site: The installation that the charger belongs to.
        mode: What the charger is doing (the cloud may not know yet when it is offline).
        session: The running session.
        is_authorized: Whether the car may charge.
        final_stop: Whether charging was stopped until it is resumed (StateId 718).
        recording: How well the completed sessions are recorded.
        on_reconnect: Called when a car is reported again whose session was ended.
    """

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        electrics: Electrics,
        *,
        settings: Settings,
        site: Site,
        new_session: Callable[[Account | None, Card | None, str | None], Session],
    ) -> None:
        """Initialize the state machine of a charger without a car.

        Args:
            engine: The charger's time, timers and chance.
            telemetry: Takes the reports.
            electrics: Switches and measures the current.
            settings: The charger's settings, which may change.
            site: The installation that the charger belongs to.
            new_session: Returns a session that starts now, of a user and a card; the id is given
                by a web hook.
        """
        self.site: Site = site
        self.mode = Mode.DISCONNECTED
        self.session: Session | None = None
        self.is_authorized = False
        self.final_stop = False
        self.recording = Recording()
        self.on_reconnect: Callable[[], None] | None = None
        self._engine = engine
        self._telemetry = telemetry
        self._electrics = electrics
        electrics.on_full = self.finish
        self._settings = settings
        self._new_session = new_session
        self._user: Account | None = None
        self._card: Card | None = None
        self._session_id: str | None = None
        # Sessions that were completed while the charger was offline.
        self._unsent: list[Session] = []
        self._asks = False
        self._asking_since = engine.now()
        self._is_scheduled = False

    @property
    def demand(self) -> Demand | None:
        """What the charger asks the installation for, None while it does not ask."""
        if not self._asks:
            return None
        return Demand(
            self._asking_since,
            self._settings.min_current,
            self._settings.max_current,
            self.session.prioritized_current if self.session else None,
        )

    # What the driver does.

    def plug_in(self, car: Car) -> None:
        """Connect a car; its session starts as soon as it is authorized."""
        self._electrics.car = car
        self.mode = Mode.REQUESTING
        self._telemetry.report_car(car)
        if not self.site.authorization_required:
            self.is_authorized = True
        self._engine.after("session", 1, self._open_session)

    def unplug(self) -> None:
        """Disconnect the car; the session is complete some seconds later."""
        self._stop_current()
        self._electrics.car = None
        self.is_authorized = False
        self.mode = Mode.DISCONNECTED
        self._telemetry.report_no_car()
        self._end_final_stop()
        self._end_schedule()
        self._engine.cancel("session", "final stop", "resume", "reconnect")
        self._close_session()
        self.site.rebalance()

    def authorize(self, account: Account | None, card: Card | None) -> None:
        """Authorize the car; its session belongs to the account."""
        self.is_authorized = True
        self._user, self._card = account, card
        if self.session:
            self.session.user, self.session.card = account, card
            self._telemetry.report(StateId.CURRENT_USER, self.session.identity or None)
            self.request_later(1)
        elif self._electrics.car:
            self._engine.after("session", 1, self._open_session)

    def permit(self, session_id: str | None, card: Card | None) -> None:
        """Authorize the car as a web hook does, which gives the session its id."""
        self.is_authorized = True
        self._session_id, self._card = session_id, card
        self._engine.after("session", 0.2, self._open_session)

    def follow_car(self, car: Car) -> None:
        """Follow a car that has started or stopped asking for charge."""
        if car.wants:
            self.request_later(2)
        elif self.mode == Mode.CHARGING:
            self.finish()

    # What the cloud and the installation ask for.

    def stop(self) -> None:
        """Stop until resumed: report 718 immediately, and 710=5 about five seconds later."""
        self.final_stop = True
        self._telemetry.observe(StateId.FINAL_STOP_ACTIVE, True)
        self._engine.after("final stop", 5, self.finish)

    def resume(self, *, was_paused: bool) -> None:
        """Resume after a schedule or a pause: report 718 now, 710=2 a second later, then 3."""
        self._end_schedule()
        if was_paused:
            self.final_stop = False
            self._telemetry.observe(StateId.FINAL_STOP_ACTIVE, False)
            if self.site.cloud_authorizes:
                self.is_authorized = False
        self._engine.after("resume", 1, self._resume)

    def _end_final_stop(self) -> None:
        """End a pause, and report it."""
        if self.final_stop:
            self.final_stop = False
            self._telemetry.observe(StateId.FINAL_STOP_ACTIVE, False)

    def schedule(self, seconds: float, text: str | None) -> None:
        """Delay charging by some seconds, and report when it begins (StateId 763)."""
        moment = self._engine.now() + timedelta(seconds=seconds)
        self._is_scheduled = True
        self._telemetry.observe(
            StateId.NEXT_SCHEDULE_EVENT, text or f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        )
        self.interrupt()
        self._engine.after("schedule", seconds, self._scheduled)

    def _end_schedule(self) -> None:
        """End the schedule, and report it."""
        self._engine.cancel("schedule")
        if self._is_scheduled:
            self._is_scheduled = False
            self._telemetry.observe(StateId.NEXT_SCHEDULE_EVENT, None)

    def end_session(self) -> None:
        """End the session while the car stays connected."""
        self._stop_current()
        self.is_authorized = False
        self._engine.cancel("session", "final stop", "resume")
        self._close_session()
        self._end_final_stop()
        if self.site.authorization_required:
            # The cloud clears the session first; the charger receives that afterwards.
            self._engine.after("reconnect", 1, self._disconnect)
        else:
            self.mode = Mode.FINISHED
            self._telemetry.report(StateId.OPERATION_MODE, self.mode)
        self.site.rebalance()

    def allocate(self, current: float) -> None:
        """Offer the car a current, A; 0 pauses charging without a final stop."""
        changed = current != self._electrics.offered_current
        self._electrics.offered_current = current
        if changed and (self._asks or current):
            self._telemetry.observe(StateId.CHARGE_CURRENT_SET, current)
        elif self._asks and not current:
            self._telemetry.report(StateId.CHARGE_CURRENT_SET, current)
        if current >= max(self._settings.min_current, 0.1):
            if self.mode == Mode.CHARGING:
                if changed:
                    self._electrics.remeasure()
            elif self._asks and not self._engine.is_pending("start"):
                self._engine.after("start", 2, self._start_charging)
            return
        self._engine.cancel("start")
        if self.mode == Mode.CHARGING:
            self._pause()

    def interrupt(self) -> bool:
        """Stop charging until the next request; return whether the charger had asked."""
        had_asked = self._asks
        self._withdraw()
        if self.mode == Mode.CHARGING:
            self._pause()
        self.site.rebalance()
        return had_asked

    def request_later(self, seconds: float) -> None:
        """Ask for current after some seconds, if the car still wants it."""
        self._engine.after("request", seconds, self._request)

    # The session.

    def _open_session(self) -> None:
        if not self.is_authorized or self.session:
            return
        self._electrics.start_session()
        self.session = self._new_session(self._user, self._card, self._session_id)
        self._telemetry.report_session_start(self.session)
        self.request_later(1)

    def _close_session(self) -> None:
        session, self.session = self.session, None
        self._user = self._card = self._session_id = None
        if not session:
            return
        session.ended = self._engine.now()
        session.energy = self._electrics.session_energy
        session.readings.append(self._electrics.read())
        # The cloud cannot know who charges if it does not have to authorize the session.
        session.is_anonymous = (
            not self.site.authentication_required or self.site.authentication_type != 0
        )
        session.voided = not session.energy
        self._telemetry.report_session_end(session)
        self._engine.after(
            f"completed {session.id}",
            self._engine.random.uniform(1, 7),
            lambda: self._complete(session),
        )

    def _complete(self, session: Session) -> None:
        """Record a session, and report it; an offline charger sends it when it is back."""
        recording = self.recording
        session.offline = session.offline or not self._telemetry.is_online
        if recording.measured_share != 1:
            session = session.scaled(recording.measured_share)
        if recording.clock_error:
            session = session.shifted(timedelta(seconds=recording.clock_error))
        self._unsent.append(session)
        if self._telemetry.is_online:
            self.send_completed()
        lost = recording.lost_reports
        if not lost or self._engine.random.random() >= lost:
            self._telemetry.observe(StateId.COMPLETED_SESSION, session.completed())

    def send_completed(self) -> None:
        """Send the completed sessions to the cloud, which archives them."""
        for session in self._unsent:
            session.recognized = self._engine.now()
            self.site.close(session)
        self._unsent.clear()

    def _disconnect(self) -> None:
        """Report briefly that the car whose session was ended has left."""
        self.mode = Mode.DISCONNECTED
        self._telemetry.report(StateId.OPERATION_MODE, self.mode)
        self._engine.after("reconnect", 2, self._reconnect)

    def _reconnect(self) -> None:
        """Report the car again, which is still connected after its session was ended."""
        self.mode = Mode.REQUESTING
        self._telemetry.report(StateId.OPERATION_MODE, self.mode)
        if self.on_reconnect:
            self.on_reconnect()

    # The current.

    def _request(self) -> None:
        """Ask the installation for current if the car asks for it."""
        car = self._electrics.car
        held = self.final_stop or self._is_scheduled or not self.is_authorized
        if not car or not self.session or held or self._asks:
            return
        if not car.wants or car.is_full:
            if self.mode == Mode.REQUESTING:
                self._engine.after("request", 8, self.finish)
            return
        self._asks = True
        self._asking_since = self._engine.now()
        settings = self._settings
        if settings.is_stand_alone:
            self.allocate(settings.stand_alone_current)
        elif not self._telemetry.is_online:
            automatic = settings.offline_current < 0
            self.allocate(
                settings.max_current if automatic else settings.offline_current
            )
        else:
            self.site.rebalance()

    def _resume(self) -> None:
        if self.mode == Mode.FINISHED:
            self._observe_mode(Mode.REQUESTING)
        self.request_later(1)

    def _scheduled(self) -> None:
        self._end_schedule()
        self.request_later(1)

    def _start_charging(self) -> None:
        self._electrics.close_contactor()
        self._observe_mode(Mode.CHARGING)
        self._electrics.start()

    def finish(self) -> None:
        """End charging but not the session: the car is full, does not ask, or was stopped."""
        self._stop_current()
        if self.mode != Mode.FINISHED:
            self._observe_mode(Mode.FINISHED)
        self.site.rebalance()

    def _pause(self) -> None:
        """Stop charging and keep asking, because there is no current to share now."""
        self._electrics.stop()
        self._observe_mode(Mode.REQUESTING)

    def _stop_current(self) -> None:
        """Stop charging, and stop asking for current."""
        self._withdraw()
        self._electrics.stop()

    def _withdraw(self) -> None:
        self._asks = False
        self._electrics.offered_current = 0.0
        self._engine.cancel("request", "start")

    def _observe_mode(self, mode: Mode) -> None:
        self.mode = mode
        self._telemetry.observe(StateId.OPERATION_MODE, mode)
