"""The cost of the running session, as a state machine."""

from datetime import UTC, datetime, timedelta
import json

import pytest

from custom_components.zaptec.session_cost import PriceOver, SessionCost

START = datetime(2026, 11, 24, 18, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Return a moment some minutes after the start."""
    return START + timedelta(minutes=minutes)


def price(amount: float | None, *, limit: float = 60.0) -> PriceOver:
    """Return a price that has no value for what was drawn over more than some minutes."""

    def over(start: datetime, end: datetime) -> float | None:
        return amount if end - start <= timedelta(minutes=limit) else None

    return over


def fixed(_start: datetime, _end: datetime) -> float | None:
    """Return a fixed price."""
    return 0.5


def charging(cost: SessionCost, minutes: float, *, until: float | None = None) -> None:
    """Let the car begin to charge, or stop."""
    cost.report_mode(at(minutes), price(0.2), is_charging=until is None)


def test_each_energy_has_the_price_of_its_time() -> None:
    """What is drawn after a change of the price gets the new one, which may be negative."""
    cost = SessionCost()
    assert cost.amount is None
    cost.report_energy(0.0, START, at(0), price(0.2))
    assert cost.amount == 0.0
    cost.report_energy(10.0, START, at(50), price(0.2))
    assert cost.amount == pytest.approx(2.0)
    cost.report_energy(12.0, START, at(70), price(0.5))
    assert cost.amount == pytest.approx(3.0)
    cost.report_energy(13.0, START, at(80), price(-0.1))
    assert cost.amount == pytest.approx(2.9)
    assert not cost.is_waiting


def test_a_session_begins_with_no_cost() -> None:
    """The cost of the last session is shown until then."""
    cost = SessionCost()
    cost.report_energy(10.0, START, at(50), price(0.2))
    cost.report_energy(1.0, at(60), at(70), price(0.2))
    assert cost.amount == pytest.approx(0.2)


def test_a_session_whose_start_is_unknown_has_no_cost() -> None:
    """It is not known over how long its energy was drawn."""
    cost = SessionCost()
    cost.report_energy(10.0, None, at(0), fixed)
    assert cost.amount is None
    cost.report_energy(11.0, None, at(1), fixed)
    assert cost.amount is None


def test_energy_waits_for_its_price() -> None:
    """A price entity may become available some time after Home Assistant has started."""
    cost = SessionCost()
    cost.report_energy(1.0, START, at(5), price(None))
    cost.report_energy(2.0, START, at(10), price(None))
    assert (cost.amount, cost.is_waiting) == (None, True)
    cost.look_for_price(price(0.2))
    assert (cost.amount, cost.is_waiting) == (pytest.approx(0.4), False)
    cost.look_for_price(price(0.9))
    assert cost.amount == pytest.approx(0.4)


def test_energy_without_a_price_for_long() -> None:
    """The cost is not guessed: it is unknown until the next session."""
    cost = SessionCost()
    cost.report_energy(1.0, START, at(5), price(0.2))
    cost.report_energy(9.0, START, at(66), price(0.2))
    assert (cost.amount, cost.is_waiting) == (None, False)
    cost.report_energy(9.5, START, at(67), price(0.2))
    assert cost.amount is None
    cost.report_energy(0.0, at(90), at(91), price(0.2))
    assert cost.amount == 0.0


def test_no_time_counts_while_the_car_draws_nothing() -> None:
    """A car that waits for hours, or pauses, is charged at the price of when it charges."""
    cost = SessionCost()
    cost.report_energy(0.0, START, at(0), price(0.2))
    charging(cost, 1, until=1)
    charging(cost, 300)
    cost.report_energy(1.0, START, at(305), price(0.2))
    assert cost.amount == pytest.approx(0.2)
    # A car that goes on charging does not begin.
    charging(cost, 500)
    cost.report_energy(2.0, START, at(505), price(0.2))
    assert cost.amount is None


def test_energy_that_is_reported_after_the_car_has_stopped() -> None:
    """It has the price of then, whenever the charger reports it."""
    cost = SessionCost()
    charging(cost, 0)
    cost.report_energy(5.0, START, at(30), price(0.2))
    charging(cost, 31, until=31)
    cost.report_energy(5.1, START, at(700), price(0.9, limit=10_000))
    assert cost.amount == pytest.approx(1.02)


def test_energy_that_is_due_to_rounding() -> None:
    """The final energy of a session has more decimals, and has the price of the others."""
    cost = SessionCost()
    cost.report_energy(5.0, START, at(30), price(0.2))
    cost.report_energy(5.004, START, at(700), price(0.9))
    assert cost.amount == pytest.approx(1.0008)


def test_a_correction_of_the_energy() -> None:
    """The cloud corrects the energy downward at times, and the cost follows."""
    cost = SessionCost()
    cost.report_energy(10.0, START, at(30), price(0.2))
    cost.report_energy(8.0, START, at(31), price(0.9))
    assert cost.amount == pytest.approx(1.6)
    cost.report_energy(8.0, START, at(32), price(None))
    assert cost.amount == pytest.approx(1.6)


def test_a_restart() -> None:
    """The cost goes on after a short restart; after a long one it depends on the price."""
    cost = SessionCost()
    cost.report_energy(10.0, START, at(30), price(0.2))
    document = json.loads(json.dumps(cost.as_dict()))

    after = SessionCost()
    after.restore(document)
    assert after.amount == pytest.approx(2.0)
    # It is not known whether it has charged all the time.
    charging(after, 100)
    after.report_energy(12.0, START, at(60), price(0.2))
    assert after.amount == pytest.approx(2.4)

    after = SessionCost()
    after.restore(document)
    after.report_energy(12.0, START, at(300), price(0.2))
    assert after.amount is None

    after = SessionCost()
    after.restore(document)
    after.report_energy(12.0, START, at(300), fixed)
    assert after.amount == pytest.approx(3.0)


def test_another_currency() -> None:
    """The cost of the session is unknown then; that of the next one is in the new one."""
    cost = SessionCost()
    cost.report_energy(10.0, START, at(30), fixed)
    cost.discard()
    cost.report_energy(11.0, START, at(31), fixed)
    assert cost.amount is None
    cost.report_energy(1.0, at(40), at(45), fixed)
    assert cost.amount == pytest.approx(0.5)


def test_a_restart_before_the_first_session() -> None:
    """Nothing is known then."""
    after = SessionCost()
    after.restore(json.loads(json.dumps(SessionCost().as_dict())))
    assert after.amount is None
    after.report_energy(1.0, START, at(10), price(0.2))
    assert after.amount == pytest.approx(0.2)
