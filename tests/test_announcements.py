"""Who is told of what, how often, and how long the others have to wait."""

import asyncio
import time

import pytest

from custom_components.zaptec import announcements as announcements_module
from custom_components.zaptec.announcements import Announcements
from custom_components.zaptec.api import (
    acts_by_itself,
    current_deadline,
    limits_time,
    outside_of_actions,
)
from custom_components.zaptec.api.action import is_automatic

TOPIC = ("charger", 710)


async def turn() -> None:
    """Let the event loop go round once."""
    await asyncio.sleep(0)


async def test_each_is_told_once() -> None:
    """However many of its topics have news."""
    announcements = Announcements()
    told: list[str] = []
    announcements.watch(lambda: told.append("a"), [TOPIC, "charger"])
    announcements.watch(lambda: told.append("b"), [TOPIC])
    announcements.watch(lambda: told.append("c"), ["another"])
    announcements.announce([TOPIC, "charger"])
    assert told == ["a", "b"]
    announcements.announce(["charger"])
    assert told == ["a", "b", "a"]
    assert announcements.is_idle


async def test_news_of_what_is_told_is_told_too() -> None:
    """What an entity causes while it is told is not lost."""
    announcements = Announcements()
    told: list[int] = []

    def tell() -> None:
        told.append(len(told))
        if len(told) < 3:
            announcements.announce([TOPIC])

    announcements.watch(tell, [TOPIC])
    announcements.announce([TOPIC])
    assert told == [0, 1, 2]


async def test_who_has_left_is_not_told() -> None:
    """An entity may be removed between the news and its turn."""
    announcements = Announcements()
    told: list[str] = []

    def tell() -> None:
        told.append("b")
        remove()
        remove()

    announcements.watch(tell, [TOPIC])
    remove = announcements.watch(lambda: told.append("a"), [TOPIC, "charger"])
    announcements.announce([TOPIC])
    assert told == ["b"]
    assert len(announcements) == 1


async def test_a_fault_is_no_reason_to_keep_the_news_from_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the others are told."""
    announcements = Announcements()
    told: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    announcements.watch(fail, [TOPIC])
    announcements.watch(lambda: told.append("b"), [TOPIC])
    announcements.announce([TOPIC])
    assert told == ["b"]
    assert "Unexpected error while updating an entity" in caplog.text


async def test_thousands_do_not_hold_up_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others have their turns in between."""
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    announcements = Announcements()
    told = 0

    def tell() -> None:
        nonlocal told, now
        told += 1
        now += announcements_module.TELL_TIME / 10

    for _ in range(95):
        announcements.watch(tell, [TOPIC])
    announcements.announce([TOPIC])
    steps = [told]
    while not announcements.is_idle:
        before = told
        # What comes meanwhile makes no turn longer.
        announcements.announce([TOPIC] if before < 20 else [])
        await turn()
        steps.append(told - before)
    assert max(steps) <= 11
    assert told > 95


@pytest.mark.serial
async def test_a_crowd_leaves_in_no_time() -> None:
    """To remove the entities of a housing cooperative does not take a square of it."""
    announcements = Announcements()
    removers = [announcements.watch(lambda: None, ["link"]) for _ in range(20_000)]
    began = time.perf_counter()
    for remove in removers:
        remove()
    assert time.perf_counter() - began < 2.0
    assert len(announcements) == 0


@pytest.mark.parametrize("cause", ["user", "automatic", "both"])
async def test_what_follows_from_news_is_no_part_of_its_cause(cause: str) -> None:
    """Automations run in the context in which a state is written."""
    announcements = Announcements()
    seen: list[tuple[object, bool]] = []
    announcements.watch(
        lambda: seen.append((current_deadline(), is_automatic())), [TOPIC]
    )

    async def act() -> None:
        before = (current_deadline(), is_automatic())
        announcements.announce([TOPIC])
        assert (current_deadline(), is_automatic()) == before
        assert before != (None, False)

    action = act if cause == "automatic" else limits_time(act)
    await (action if cause == "user" else acts_by_itself(action))()
    assert seen == [(None, False)]


async def test_a_failure_outside_of_an_action_leaves_the_action_as_it_was() -> None:
    """Its time limit still counts."""

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
