"""The switch that allows charging at a Zaptec charger."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self, override

from homeassistant.components.switch import (
    SwitchDeviceClass,
    SwitchEntity,
    SwitchEntityDescription,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import ExtraStoredData, RestoreEntity

from .api import (
    Charger,
    Command,
    OperationMode,
    StateId,
    ZaptecBusyError,
    acts_by_itself,
    outside_of_actions,
)
from .backoff import outage_pause
from .const import DOMAIN, LOGGER
from .control.car import has_car, is_paused
from .control.confirmations import CONFIRMATION_TIME
from .control.errors import is_refusal
from .entity import CHARGERS, ZaptecChargerDescription, ZaptecChargerEntity
from .entity_loader import async_add_charger_entities
from .runtime import ZaptecConfigEntry, ZaptecRuntime
from .state import ChargerState

# What is sent to one charger goes out in its turn; one that does not answer must
# not keep the others waiting.
PARALLEL_UPDATES = 0

# Delay before a car that could not be paused is tried again (seconds): it grows with
# the outage, from the first value to the second.
HOLD_RETRY = 10.0
HOLD_RETRY_MAX = 300.0

# Time from an accepted pause to the next try (seconds), if the charger does not report
# it: the charger is read after CONFIRMATION_TIME, and the answer takes a moment.
UNCONFIRMED_RETRY = CONFIRMATION_TIME + 10.0

# Maximum number of accepted pauses of one car that its charger does not carry out.
ACCEPTED_MAX = 3

# The modes of a car that is paused no longer. A car that leaves may end its pause
# (StateId 718) a moment before it reports so, and stays in CONNECTED_FINISHED until then.
_GOES_ON = (OperationMode.CONNECTED_REQUESTING, OperationMode.CONNECTED_CHARGING)


@dataclass(frozen=True, kw_only=True)
class ZaptecSwitchDescription(ZaptecChargerDescription, SwitchEntityDescription):
    """Describe a switch of a charger."""


@dataclass(slots=True)
class HoldNextCar(ExtraStoredData):
    """One use of the switch: whether cars are held, and what came of it.

    Attributes:
        held: Whether each car is to be paused: the connected one, and every next one.
        is_paused: Whether the connected car was seen paused. It is not paused a second
            time, because another program or the user may resume it.
        session: The session of the paused car (StateId 721), None if it has none. After
            a restart or an outage, it distinguishes a car that was resumed from
            another one.
        is_failing: Whether the connected car could not be paused yet.
        is_given_up: Whether the connected car is not tried again.
        accepted: Number of accepted pauses that the connected car did not follow.

    """

    held: bool = False
    is_paused: bool = False
    session: str | None = None
    is_failing: bool = False
    is_given_up: bool = False
    accepted: int = 0

    @override
    def as_dict(self) -> dict[str, Any]:
        """Return what is stored: all that another run could not find out."""
        return {
            "held": self.held,
            "session": self.session,
        }

    @classmethod
    def from_stored(cls, stored: ExtraStoredData | None) -> Self:
        """Return what was stored before a restart.

        Earlier versions stored "held" alone, and only until a car was paused. A paused
        car without a session may be the next one, which is to be paused.
        """
        values: Mapping[str, Any] = stored.as_dict() if stored else {}
        session = values.get("session")
        return cls(
            held=values.get("held") is True,
            is_paused=isinstance(session, str),
            session=session if isinstance(session, str) else None,
        )

    @property
    def is_due(self) -> bool:
        """Return whether the connected car is still to be paused."""
        return self.held and not self.is_paused and not self.is_given_up

    def follow(self, state: ChargerState, *, is_confirmed: bool) -> None:
        """Take in what the charger reports.

        Args:
            state: The charger, of which at least one whole state has been read.
            is_confirmed: Whether its pause is no longer about to change by a command.

        """
        if has_car(state) is False:
            self._expect_next_car()
        if state.value(StateId.IS_ONLINE) is False:
            # The cloud refuses to pause a charger that is offline, whatever its car.
            self.is_given_up = False
        if not self.held or not has_car(state) or not is_confirmed:
            return
        session = _session(state)
        goes_on = state.value(StateId.CHARGER_OPERATION_MODE) in _GOES_ON
        if is_paused(state):
            # A car that is authorized later gets its session while it is paused. A
            # session that follows another one is that of the next car, which may be
            # reported before the pause of the first one ends.
            if not self.is_paused or self.session is None:
                self.session = session
            self.is_paused = True
            self.is_failing = False
        elif self.is_paused and session == self.session:
            # The user has resumed it, in Zaptec's app or with another control.
            self.held = not goes_on
        elif self.is_paused and (goes_on or session):
            # No report said that the paused car left, but this is another one.
            self._expect_next_car()

    def give_up(self) -> None:
        """Leave the connected car as it is."""
        self.is_failing = True
        self.is_given_up = True

    def _expect_next_car(self) -> None:
        """Forget the car that is gone."""
        self.is_paused = False
        self.session = None
        self.is_failing = False
        self.is_given_up = False
        self.accepted = 0


def _session(state: ChargerState) -> str | None:
    """Return the session of the connected car, None if it has none."""
    session = state.value(StateId.SESSION_IDENTIFIER)
    return session if isinstance(session, str) else None


DESCRIPTIONS: tuple[ZaptecSwitchDescription, ...] = (
    ZaptecSwitchDescription(
        key="charger_operation_mode",
        # Not that of the sensor with this key, which other programs look for.
        translation_key="charging",
        essential=True,
        state_ids=(StateId.CHARGER_OPERATION_MODE, StateId.FINAL_STOP_ACTIVE),
        # The session distinguishes a car that is resumed from another one.
        depends_on=(StateId.SESSION_IDENTIFIER,),
        always=CHARGERS,
        families=CHARGERS,
        live=True,
        control=True,
        device_class=SwitchDeviceClass.SWITCH,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the switches of an account."""
    async_add_charger_entities(
        entry, async_add_entities, ZaptecChargingSwitch, DESCRIPTIONS
    )


class ZaptecChargingSwitch(ZaptecChargerEntity, SwitchEntity, RestoreEntity):
    """Whether charging is allowed, at present and for each next car.

    A pause (StateId 718) is one of the connected car, and ends when it leaves. The
    cloud can pause neither a charger without a car, nor any charger while it cannot
    be reached. So the last use of the switch is kept: an "off" until the switch is
    turned on, or the car is resumed elsewhere, or the cloud refuses it. Each car that
    comes meanwhile is paused. A pause from elsewhere, such as the button "Stop
    charging", counts for the connected car alone.

    The state shows what is: it is on while a car that is to be paused could not be.
    """

    entity_description: ZaptecSwitchDescription
    # The last use of the switch; None before it is restored. Each use has its own
    # object, so that one that ends late cannot change what a later one has set.
    _last_use: HoldNextCar | None = None
    _holding: asyncio.Task[None] | None = None
    # Number of uses whose command has no answer yet.
    _in_flight = 0
    _is_added = False

    def __init__(
        self,
        runtime: ZaptecRuntime,
        charger: Charger,
        description: ZaptecSwitchDescription,
    ) -> None:
        """Initialize the switch."""
        super().__init__(runtime, charger, description)
        # Set when the connected car is paused or gone, which ends the wait for a try.
        self._settled = asyncio.Event()

    @override
    async def async_added_to_hass(self) -> None:
        """Keep on holding the next car."""
        await super().async_added_to_hass()
        # Where a new entity id adds the entity again, the last use is still here.
        if self._last_use is None:
            self._last_use = HoldNextCar.from_stored(
                await self.async_get_last_extra_data()
            )
        self._is_added = True
        self._follow_charger()
        self._hold_car()

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Pause no car after the entity is gone."""
        self._is_added = False
        self._stop_holding()
        await super().async_will_remove_from_hass()

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing: nothing of ours hangs on the entity id."""

    @property
    @override
    def extra_restore_state_data(self) -> HoldNextCar | None:
        """Return what outlives a restart."""
        return self._last_use

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether the connected car may charge, or the next one."""
        is_held = self._last_use is not None and self._last_use.held
        match has_car(self.state_of_charger):
            case None:
                return None
            case False:
                return not is_held
        paused = is_paused(self.state_of_charger)
        if paused is False and is_held:
            return self._last_use is not None and self._last_use.is_failing
        return None if paused is None else not paused

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Allow charging: resume it, and let the next cars charge.

        No car is paused from now on, even if the cloud cannot resume this one.
        """
        self._last_use = HoldNextCar()
        self._stop_holding()
        try:
            await self.runtime.chargers.async_send(
                self.charger_id, Command.RESUME_CHARGING
            )
        finally:
            self.async_write_ha_state()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Pause charging, and hold the next cars.

        If the cloud cannot be reached, the caller gets the error, and the car is
        paused as soon as it can be. If the cloud refuses, all is as it was before.
        """
        before, use = self._last_use, HoldNextCar(held=True)
        self._last_use = use
        self._stop_holding()
        self._in_flight += 1
        try:
            await self._async_pause(use)
        except HomeAssistantError as err:
            # A later use counts, whatever becomes of this one.
            if self._last_use is not use:
                raise
            if is_refusal(err):
                self._last_use = before
            elif err.translation_key == "not_sent":
                # It says that nothing is changed, but the car is paused later.
                raise HomeAssistantError(
                    translation_domain=DOMAIN, translation_key="pause_waits"
                ) from err
            raise
        finally:
            self._in_flight -= 1
            self._hold_car(delay=UNCONFIRMED_RETRY if use.accepted else HOLD_RETRY)
            self.async_write_ha_state()

    async def _async_pause(self, use: HoldNextCar) -> None:
        """Pause the charger, unless there is no car to pause."""
        try:
            await self.runtime.chargers.async_send(
                self.charger_id, Command.STOP_CHARGING_FINAL
            )
        except HomeAssistantError:
            use.is_failing = True
            raise
        use.is_failing = False
        use.accepted += 1
        self._follow_charger()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Hold the car that has just been connected."""
        self._follow_charger()
        if not self._is_due:
            self._settled.set()
        self._hold_car()
        super()._handle_coordinator_update()

    @callback
    def _follow_charger(self) -> None:
        """Take in what the charger reports, once a whole state of it was read."""
        state = self.runtime.states.get(self.charger_id)
        if self._last_use and state and self._has_read:
            self._last_use.follow(
                state,
                is_confirmed=not self._in_flight
                and not self.runtime.confirmations.is_pending(
                    self.charger_id, StateId.FINAL_STOP_ACTIVE
                ),
            )

    @property
    def _has_read(self) -> bool:
        """Return whether more is known of the charger than what the list shows."""
        return self.runtime.reader.has_read(self.charger_id)

    @property
    def _is_due(self) -> bool:
        """Return whether a car that is still to be paused is connected."""
        state = self.runtime.states.get(self.charger_id)
        return (
            self._last_use is not None
            and self._last_use.is_due
            and self._has_read
            and state is not None
            and has_car(state) is True
            and state.value(StateId.IS_ONLINE) is not False
        )

    @callback
    def _hold_car(self, delay: float = 0.0) -> None:
        """Pause a charger in the background whose car is still to be paused.

        Args:
            delay: Seconds until the first try.

        """
        if (
            self._is_added
            and self._is_due
            and self._holding is None
            # The answer decides whether the car is still to be paused.
            and not self._in_flight
        ):
            self._settled.clear()
            self._holding = self.coordinator.config_entry.async_create_background_task(
                self.hass, self._async_hold_car(delay), name=f"{DOMAIN} hold car"
            )

    @callback
    def _stop_holding(self) -> None:
        """Try no longer to pause a car in the background."""
        if self._holding:
            self._holding.cancel()
            self._holding = None

    @acts_by_itself
    async def _async_hold_car(self, delay: float) -> None:
        """Pause the charger, as soon as the cloud can be reached."""
        this_task = asyncio.current_task()
        began = monotonic()
        try:
            await self._async_wait(delay)
            while self._is_due and (use := self._last_use):
                self._settled.clear()
                pause = await self._async_try_to_hold(use, began)
                with outside_of_actions():
                    self.async_write_ha_state()
                await self._async_wait(pause)
        except Exception:
            # The next change at the charger begins it again.
            LOGGER.exception("Unexpected error while holding a car")
        finally:
            # A later use of the switch may have a task of its own.
            if self._holding is this_task:
                self._holding = None

    async def _async_try_to_hold(self, use: HoldNextCar, began: float) -> float:
        """Try to pause the charger; return the seconds until it is to be tried again."""
        if use.accepted >= ACCEPTED_MAX:
            use.give_up()
            LOGGER.warning(
                "A car at %s could not be held: the charger does not pause",
                self.entity_id,
            )
            return 0.0
        try:
            await self._async_pause(use)
        except HomeAssistantError as err:
            if is_refusal(err):
                use.give_up()
                LOGGER.warning(
                    "A car at %s could not be held: %s",
                    self.entity_id,
                    err.__cause__ or err,
                )
            return _pause_after(err, monotonic() - began)
        return UNCONFIRMED_RETRY

    async def _async_wait(self, seconds: float) -> None:
        """Wait, as long as the connected car is to be paused."""
        if self._is_due:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._settled.wait()


def _pause_after(error: HomeAssistantError, outage: float) -> float:
    """Return the seconds until a car that could not be paused is tried again."""
    pause = outage_pause(outage, HOLD_RETRY, HOLD_RETRY_MAX)
    cause = error.__cause__
    if isinstance(cause, ZaptecBusyError) and cause.retry_after is not None:
        return max(pause, cause.retry_after)
    return pause
