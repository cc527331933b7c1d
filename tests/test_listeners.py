"""Listeners: which callbacks run, how often, and for how long they block the event loop."""

import asyncio
import time

import pytest

from custom_components.zaptec import listeners as listeners_module
from custom_components.zaptec.api import (
    Account,
    Charger,
    StateId,
    acts_by_itself,
    current_deadline,
    limits_time,
    outside_of_actions,
)
from custom_components.zaptec.api.action import is_automatic
from custom_components.zaptec.listeners import (
    Listeners,
    charger_topics,
    device_topics,
    event_topic,
    hold_topic,
    installation_topic,
    link_topic,
    message_topic,
)

TOPIC = ("charger", 710)


async def turn() -> None:
    """Let the event loop run one iteration."""
    await asyncio.sleep(0)


async def test_each_is_notified_once() -> None:
    """A callback runs once per notification, even if several of its topics are in it."""
    listeners = Listeners()
    called: list[str] = []
    listeners.add(lambda: called.append("a"), [TOPIC, "charger"])
    listeners.add(lambda: called.append("b"), [TOPIC])
    listeners.add(lambda: called.append("c"), ["another"])
    listeners.notify([TOPIC, "charger"])
    assert called == ["a", "b"]
    listeners.notify(["charger"])
    assert called == ["a", "b", "a"]
    assert listeners.is_idle


async def test_a_notification_from_a_callback_is_delivered() -> None:
    """A notification that a callback makes while it runs is delivered, too."""
    listeners = Listeners()
    called: list[int] = []

    def call() -> None:
        called.append(len(called))
        if len(called) < 3:
            listeners.notify([TOPIC])

    listeners.add(call, [TOPIC])
    listeners.notify([TOPIC])
    assert called == [0, 1, 2]


async def test_a_removed_callback_does_not_run() -> None:
    """A callback that another one has removed does not run, because its entity is gone."""
    listeners = Listeners()
    called: list[str] = []

    def call() -> None:
        called.append("b")
        remove()
        remove()

    listeners.add(call, [TOPIC])
    remove = listeners.add(lambda: called.append("a"), [TOPIC, "charger"])
    listeners.notify([TOPIC])
    assert called == ["b"]
    assert len(listeners) == 1


async def test_a_fault_is_no_reason_to_keep_the_news_from_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception in one callback is logged, and the other callbacks still run."""
    listeners = Listeners()
    called: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    listeners.add(fail, [TOPIC])
    listeners.add(lambda: called.append("b"), [TOPIC])
    listeners.notify([TOPIC])
    assert called == ["b"]
    assert "Unexpected error while updating an entity" in caplog.text


async def test_thousands_do_not_hold_up_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With thousands of callbacks, other tasks run between the time slices."""
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    listeners = Listeners()
    called = 0

    def call() -> None:
        nonlocal called, now
        called += 1
        now += listeners_module.SLICE_TIME / 10

    for _ in range(95):
        listeners.add(call, [TOPIC])
    listeners.notify([TOPIC])
    steps = [called]
    while not listeners.is_idle:
        before = called
        # A notification during a time slice must not make that slice longer.
        listeners.notify([TOPIC] if before < 20 else [])
        await turn()
        steps.append(called - before)
    assert max(steps) <= 11
    assert called > 95


@pytest.mark.serial
async def test_a_crowd_leaves_in_no_time() -> None:
    """Removing the many entities of a housing cooperative takes linear, not quadratic, time."""
    listeners = Listeners()
    removers = [listeners.add(lambda: None, ["link"]) for _ in range(20_000)]
    began = time.perf_counter()
    for remove in removers:
        remove()
    assert time.perf_counter() - began < 2.0
    assert len(listeners) == 0


@pytest.mark.parametrize("cause", ["user", "automatic", "both"])
async def test_what_follows_from_news_is_no_part_of_its_cause(cause: str) -> None:
    """Callbacks run outside of the action that caused them.

    Automations inherit the context in which a state is written. They must not inherit the
    time limit of the action, or its mark as automatic.
    """
    listeners = Listeners()
    seen: list[tuple[object, bool]] = []
    listeners.add(lambda: seen.append((current_deadline(), is_automatic())), [TOPIC])

    async def act() -> None:
        before = (current_deadline(), is_automatic())
        listeners.notify([TOPIC])
        assert (current_deadline(), is_automatic()) == before
        assert before != (None, False)

    action = act if cause == "automatic" else limits_time(act)
    await (action if cause == "user" else acts_by_itself(action))()
    assert seen == [(None, False)]


async def test_a_failure_outside_of_an_action_leaves_the_action_as_it_was() -> None:
    """After an exception in `outside_of_actions`, the time limit of the action applies again."""

    def fail() -> None:
        assert current_deadline() is None
        raise ValueError("no")

    @limits_time
    async def act() -> None:
        before = current_deadline()
        with pytest.raises(ValueError, match="no"), outside_of_actions():
            fail()
        assert current_deadline() is before is not None

    await act()


def test_the_topics_of_an_installation_include_its_chargers() -> None:
    """Entities of a charger listen to its installation by the id of the charger."""
    account = Account(
        chargers={
            charger_id: Charger(id=charger_id, installation_id=installation_id)
            for charger_id, installation_id in (
                ("one", "home"),
                ("two", "home"),
                ("three", "elsewhere"),
                ("four", None),
            )
        }
    )
    assert device_topics(["home"], account) == (
        "home",
        installation_topic("one"),
        installation_topic("two"),
    )
    assert set(device_topics({"three", "elsewhere"}, account)) == {
        "three",
        "elsewhere",
        installation_topic("three"),
    }
    assert device_topics(["one"], account) == ("one",)
    assert device_topics([], account) == ()


def test_no_state_id_notifies_of_anything_else() -> None:
    """The numbers of some StateIds are negative."""
    topics = charger_topics("one", StateId)
    others = {
        topic("one")
        for topic in (
            event_topic,
            hold_topic,
            installation_topic,
            link_topic,
            message_topic,
        )
    }
    assert len(others) == 5
    assert others.isdisjoint(topics)
