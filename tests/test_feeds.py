"""Two links that report the same installation, without a cloud."""

from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import AsyncMock, Mock

from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    NO_CHARGER,
    Account,
    Charger,
    Observation,
    StateId,
    TimeSlice,
    ZaptecConnectionError,
)
from custom_components.zaptec.const import PushRefusal, PushStatus
from custom_components.zaptec.listeners import Listeners, link_topic
from custom_components.zaptec.outages import Outages
from custom_components.zaptec.sources.installation_push import InstallationPush
from custom_components.zaptec.sources.link import Link, SharedByLinks
from custom_components.zaptec.sources.links import Links
from custom_components.zaptec.sources.stream_watch import (
    CHECK_INTERVAL,
    LOSS_MEMORY_MAX,
    LOSSES_APART,
    MESSAGE_DELAY,
    SILENCE_IDLE,
)
from custom_components.zaptec.state import States

HOME, CABIN = "home", "cabin"
CHARGERS = {
    HOME: ("5b9a5a3c-8e7e-4a59-9d53-05e3a0c1a001",),
    CABIN: (
        "5b9a5a3c-8e7e-4a59-9d53-05e3a0c1b001",
        "5b9a5a3c-8e7e-4a59-9d53-05e3a0c1b002",
    ),
}
(AT_HOME,) = CHARGERS[HOME]
STRANGER = "5b9a5a3c-8e7e-4a59-9d53-05e3a0c1c001"


class Reader:
    """Notes what is read and polled, instead of reading it."""

    def __init__(self) -> None:
        """Initialize a reader that has read each charger."""
        self.read: list[str] = []
        self.polled: list[str] = []
        self.cancelled: list[str] = []
        self.unreachable: list[str] = []
        self.reached: list[str] = []
        self.unread: set[str] = set()
        self.running: set[str] = set()
        self.failing: set[str] = set()
        self.shared = Mock()
        self.shared.read = self._note
        self.shared.poll = lambda charger_id, _: self.polled.append(charger_id)
        self.shared.poll_regularly = self.polled.append
        self.shared.cancel_poll = self.cancelled.append
        self.shared.has_read = lambda charger_id: charger_id not in self.unread
        self.shared.is_reading = self.running.__contains__
        self.shared.is_live = lambda charger_id: charger_id not in self.failing
        self.shared.cloud_unreachable = self.unreachable.extend
        self.shared.cloud_reached = self.reached.extend

    def _note(
        self, charger_id: str, *, first: bool = False, delay: float = 0.0
    ) -> None:
        """Note a reading, with its delay if there is one."""
        self.read.append(f"{charger_id} in {delay:.0f} s" if delay else charger_id)

    def take(self) -> tuple[list[str], list[str]]:
        """Return what was read and what was polled since the last call."""
        taken = self.read[:], self.polled[:]
        self.read.clear()
        self.polled.clear()
        return taken


class Two:
    """The links of two installations and of a group, without connections."""

    def __init__(self, clock: FrozenDateTimeFactory) -> None:
        """Initialize the links; none is up."""
        self.clock = clock
        self.reader = Reader()
        self.listeners = Listeners()
        self.states = States(self.listeners, on_unknown=Mock(), on_new_version=Mock())
        self.client = Mock()
        shared = SharedByLinks(
            client=self.client,
            states=self.states,
            listeners=self.listeners,
            outages=Outages(),
            reader=self.reader.shared,
            ssl_context=Mock(),
            start_reauth=Mock(),
            logged_faults=set(),
            time_slice=TimeSlice(),
        )
        self.details = self.client.group_connection_details = AsyncMock()
        entry = Mock(options={"user_group": "group"})
        self.links = Links(Mock(), entry, shared, is_fresh=lambda _: True)
        (self.group,) = self.links.groups
        self.account = Account(
            chargers={
                charger_id: replace(
                    Charger.from_json({"Id": charger_id, "DeviceType": 1}),
                    installation_id=installation_id,
                )
                for installation_id, ids in CHARGERS.items()
                for charger_id in ids
            }
        )
        self.follow()
        self.notified: list[str] = []
        for topic in (HOME, CABIN, "group", AT_HOME):
            self.listeners.add(
                lambda topic=topic: self.notified.append(topic), [link_topic(topic)]
            )

    def follow(self) -> None:
        """Bring all in line with the account."""
        self.states.follow(self.account)
        self.links.follow(self.account, {HOME, CABIN} & self.account.installation_ids)

    @property
    def home(self) -> InstallationPush:
        """Return the messages of the home."""
        return self.links[HOME]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and check all links as often as the integration does."""
        for _ in range(int(seconds // CHECK_INTERVAL)):
            self.clock.tick(CHECK_INTERVAL)
            for link in self.links.connections:
                link.check()
        self.clock.tick(seconds % CHECK_INTERVAL)

    def open(self, link: Link) -> None:
        """Let a link connect."""
        link._open = Mock()
        link._opened_at = 1.0
        link.feeds.link_opened()
        if not link.is_silent:
            link._set_status(PushStatus.CONNECTED)

    def lose(self, link: Link) -> None:
        """Let a link lose its connection."""
        link._open = None
        link.feeds.link_closed()
        link._set_status(PushStatus.DISCONNECTED, fault="lost")

    def refuse(self, link: Link) -> None:
        """Let a link be refused."""
        link._set_status(
            PushStatus.NOT_PERMITTED, fault="refused", refusal=PushRefusal.ROLE
        )

    def message(
        self, *links: Link, charger_id: str = AT_HOME, value: str = "1"
    ) -> None:
        """Let a message arrive by some links."""
        now = datetime.now(UTC)
        for link in links:
            link.received([Observation(charger_id, StateId.IS_ONLINE, now, value)])

    def reading(self, charger_id: str = AT_HOME, power: str | None = None) -> None:
        """Let a charger be read."""
        observations = []
        if power:
            now = datetime.now(UTC)
            observations = [
                Observation(charger_id, StateId.TOTAL_CHARGE_POWER, now, power)
            ]
        self.reader.unread.discard(charger_id)
        self.links.compare(charger_id, observations)
        self.states.apply(observations)


@pytest.fixture
async def two() -> Generator[Two]:
    """Return the links of two installations and of a group."""
    with freeze_time(datetime(2026, 11, 27, 12, tzinfo=UTC)) as clock:
        two = Two(clock)
        yield two
        for link in two.links.connections:
            link.close()


async def test_a_group_reports_an_installation_from_its_first_message(two: Two) -> None:
    """The group may not cover the installation, so that only a message proves it."""
    two.refuse(two.home.own)
    two.refuse(two.links[CABIN].own)
    two.reader.take()
    two.open(two.group)
    assert two.group.status is PushStatus.CONNECTED
    assert two.home.status is PushStatus.NOT_PERMITTED
    assert two.reader.take() == ([], [])

    two.message(two.group)
    assert two.home.status is PushStatus.CONNECTED
    assert two.links.is_live(AT_HOME)
    assert two.links[CABIN].status is PushStatus.NOT_PERMITTED
    assert two.reader.take() == ([AT_HOME], [])
    assert two.home.last_message == two.group.counters.last_message


async def test_a_group_reports_a_charger_from_its_first_message(two: Two) -> None:
    """The group may include only some of the chargers of an installation."""
    first, second = CHARGERS[CABIN]
    cabin = two.links[CABIN]
    two.refuse(cabin.own)
    two.open(two.group)
    two.reader.take()
    two.message(two.group, charger_id=first)
    assert cabin.status is PushStatus.CONNECTED
    assert two.reader.take() == ([first], [second])
    assert two.links.is_live(first)
    assert two.links.is_reliable(first)
    assert not two.links.is_live(second)
    assert not two.links.is_reliable(second)

    # What is read of the other one meanwhile is no evidence against the link.
    for power in ("1000", "2000", "3000"):
        two.reading(second, power=power)
        two.pass_time(LOSSES_APART + 30)
        two.message(two.group, charger_id=first)
    two.reading(second, power="3000")
    assert not cabin.is_incomplete
    two.reader.take()
    two.pass_time(SILENCE_IDLE)
    assert second not in two.reader.take()[0]

    # Its own first message comes late, so it is read again.
    two.message(two.group, charger_id=second)
    assert two.reader.take() == ([second], [])
    assert two.links.is_live(second)
    assert two.links.is_reliable(second)

    # This is remembered when the link is opened again.
    two.lose(two.group)
    two.open(two.group)
    assert two.links.is_live(first)
    assert two.links.is_live(second)


async def test_a_late_charger_of_a_group_is_read_once_at_a_start(two: Two) -> None:
    """It was read since the link was opened when its first message comes."""
    first, second = CHARGERS[CABIN]
    two.refuse(two.links[CABIN].own)
    two.open(two.group)
    two.message(two.group, charger_id=first)
    two.reading(second)
    two.pass_time(300)
    two.reader.take()
    two.listeners.add(lambda: two.notified.append(second), [link_topic(second)])
    two.notified.clear()
    two.message(two.group, charger_id=second)
    assert two.reader.take() == ([], [])
    assert two.reader.cancelled == [second]
    assert two.notified == [second]
    assert two.links.is_live(second)


async def test_the_first_reading_of_a_late_charger_is_enough(two: Two) -> None:
    """It runs when the first message arrives, and other chargers were reported before."""
    first, second = CHARGERS[CABIN]
    two.refuse(two.links[CABIN].own)
    two.open(two.group)
    two.message(two.group, charger_id=first)
    two.reader.unread.add(second)
    two.reader.running.add(second)
    two.reader.take()
    two.message(two.group, charger_id=second)
    assert two.reader.take() == ([], [])


async def test_an_outdated_charger_of_a_group_is_live_once_it_is_read(two: Two) -> None:
    """Its polls failed before its first message, so that its state is not what the cloud has."""
    first, second = CHARGERS[CABIN]
    two.refuse(two.links[CABIN].own)
    two.open(two.group)
    two.message(two.group, charger_id=first)
    two.reader.failing.add(second)
    two.message(two.group, charger_id=second)
    assert second in two.reader.take()[0]
    assert not two.links.is_live(second)
    two.reading(second)
    assert two.links.is_live(second)


async def test_the_first_messages_of_chargers_that_are_covered(two: Two) -> None:
    """The own link reports them, so nothing is read, and no entity is written."""
    first, second = CHARGERS[CABIN]
    own = two.links[CABIN].own
    two.open(own)
    two.open(two.group)
    two.message(own, two.group, charger_id=first)
    two.reader.take()
    two.listeners.add(lambda: two.notified.append(second), [link_topic(second)])
    two.notified.clear()
    two.message(own, two.group, charger_id=second)
    assert two.reader.take() == ([], [])
    assert two.notified == []
    two.lose(own)
    assert two.reader.take() == ([], [])
    assert two.links.is_live(second)


async def test_what_a_group_does_not_include_is_no_sign_of_a_dead_link(
    two: Two,
) -> None:
    """Only the own link reports this charger, and the group's link stays as it is."""
    first, second = CHARGERS[CABIN]
    own = two.links[CABIN].own
    two.open(own)
    two.open(two.group)
    two.message(own, two.group, charger_id=first)
    for _ in range(6):
        two.pass_time(MESSAGE_DELAY + 60)
        two.message(own, charger_id=second)
    assert two.group.feeds[CABIN].is_reporting
    assert two.group.status is PushStatus.CONNECTED
    two.lose(own)
    assert two.reader.take()[1] == [second]
    assert two.links.is_live(first)
    assert not two.links.is_live(second)


async def test_a_charger_that_was_read_since_is_not_read_again(two: Two) -> None:
    """At a start each charger is read once, although the first message comes later."""
    two.reader.unread.add(AT_HOME)
    two.refuse(two.home.own)
    assert two.reader.take() == ([f"{AT_HOME} in 600 s"], [])
    two.open(two.group)
    assert two.reader.take() == ([AT_HOME], [])
    two.reading()
    two.message(two.group)
    assert two.reader.take() == ([], [])
    assert two.reader.cancelled == [AT_HOME]


async def test_a_first_reading_does_not_wait_for_a_link_that_is_lost(two: Two) -> None:
    """It waits for the group's link only as long as its first connection is pending."""
    two.reader.unread.add(AT_HOME)
    two.refuse(two.home.own)
    two.reader.take()
    two.lose(two.group)
    assert two.reader.take() == ([AT_HOME], [])


async def test_a_first_reading_waits_for_the_own_link(two: Two) -> None:
    """That link reads its chargers once it is up, so the group's need not."""
    two.reader.unread.add(AT_HOME)
    two.open(two.group)
    assert two.reader.take() == ([], [])
    two.open(two.home.own)
    assert two.reader.take() == ([AT_HOME], [])


async def test_a_first_reading_under_way_is_enough(two: Two) -> None:
    """A reading that runs when the first message arrives is as new as the message."""
    two.reader.unread.add(AT_HOME)
    two.reader.running.add(AT_HOME)
    two.open(two.group)
    two.message(two.group)
    assert two.reader.take() == ([], [])


async def test_a_late_first_message_is_followed_by_a_reading(two: Two) -> None:
    """The installation may have been added to the group after the charger was read."""
    two.refuse(two.home.own)
    two.open(two.group)
    two.reading()
    two.pass_time(SILENCE_IDLE + 60)
    two.reader.take()
    two.message(two.group)
    assert two.reader.take() == ([AT_HOME], [])


async def test_the_loss_of_one_link_changes_nothing(two: Two) -> None:
    """What another link reports is neither read nor polled, and no entity is written."""
    two.open(two.home.own)
    two.open(two.group)
    two.message(two.group, two.home.own)
    two.reader.take()
    two.notified.clear()
    for link in (two.home.own, two.group):
        two.lose(link)
        assert two.home.status is PushStatus.CONNECTED
        assert two.links.is_live(AT_HOME)
        two.open(link)
    assert two.reader.take() == ([], [])
    assert AT_HOME not in two.notified
    assert {HOME, "group"} <= set(two.notified)

    two.lose(two.home.own)
    two.lose(two.group)
    assert two.home.status is PushStatus.DISCONNECTED
    assert not two.links.is_live(AT_HOME)
    assert two.reader.take()[1].count(AT_HOME) == 1
    assert AT_HOME in two.notified


async def test_the_own_link_reads_what_the_group_does_not_report(two: Two) -> None:
    """Both were lost, and only the own link is back."""
    two.open(two.home.own)
    two.open(two.group)
    two.message(two.group)
    two.lose(two.group)
    two.lose(two.home.own)
    two.reader.take()
    two.open(two.home.own)
    assert two.reader.take() == ([AT_HOME], [])


async def test_a_dead_own_link_is_found_by_the_groups_messages(two: Two) -> None:
    """It stops to report before it is needed, and is opened again."""
    own = two.home.own
    two.open(own)
    two.open(two.group)
    two.message(own, two.group)
    two.pass_time(MESSAGE_DELAY + 60)
    two.message(two.group)
    two.pass_time(MESSAGE_DELAY)
    assert own.status is PushStatus.DISCONNECTED
    assert own._open.reschedule.called
    assert two.home.status is PushStatus.CONNECTED
    assert two.reader.take()[1] == []

    two.message(own, two.group)
    assert own.status is PushStatus.CONNECTED
    assert two.home.feeds[0].is_reporting


async def test_messages_that_arrive_late_are_no_sign_of_a_dead_link(two: Two) -> None:
    """Each link may be the first to deliver a message."""
    own = two.home.own
    two.open(own)
    two.open(two.group)
    for first, second in ((own, two.group), (two.group, own)):
        two.message(first)
        two.clock.tick(5)
        two.message(second)
        two.pass_time(1200)
    two.message(own)
    two.pass_time(MESSAGE_DELAY - 1)
    two.message(two.group)
    two.pass_time(600)
    assert own.status is two.group.status is PushStatus.CONNECTED
    assert all(feed.is_reporting for feed in two.home.feeds)


async def test_what_a_link_delivers_after_an_outage_is_no_sign_of_a_dead_link(
    two: Two,
) -> None:
    """Its subscription keeps messages for minutes, which the other link has delivered."""
    own = two.home.own
    two.open(own)
    two.open(two.group)
    two.message(own, two.group)
    for lost, other in ((two.group, own), (own, two.group)):
        two.lose(lost)
        sent_at = datetime.now(UTC)
        kept = [Observation(AT_HOME, StateId.IS_ONLINE, sent_at, "1")]
        other.received(kept)
        two.pass_time(MESSAGE_DELAY + 60)
        two.open(lost)
        lost.received(kept)
        two.pass_time(2 * MESSAGE_DELAY)
        assert own.status is two.group.status is PushStatus.CONNECTED
        assert all(feed.is_reporting for feed in two.home.feeds)


async def test_a_group_that_loses_one_installation_is_not_reopened(two: Two) -> None:
    """Its link still delivers the messages of others, so that another one would not help."""
    cabin = two.links[CABIN]
    for link in two.links.connections:
        two.open(link)
    two.message(two.group, two.home.own)
    two.message(two.group, cabin.own, charger_id=CHARGERS[CABIN][0])
    for _ in range(6):
        two.pass_time(60)
        two.message(two.group, two.home.own)
        two.message(cabin.own, charger_id=CHARGERS[CABIN][0])
    assert two.group.status is PushStatus.CONNECTED
    assert not two.group._open.reschedule.called
    assert two.home.feeds[1].is_reporting
    assert not cabin.feeds[1].is_reporting
    assert cabin.status is PushStatus.CONNECTED


async def test_a_group_that_loses_all_is_reopened_once(two: Two) -> None:
    """It is silent as a whole, and is opened again at most once an hour."""
    cabin = two.links[CABIN]
    for link in two.links.connections:
        two.open(link)
    two.message(two.group, two.home.own)
    two.message(two.group, cabin.own, charger_id=CHARGERS[CABIN][0])
    for _ in range(6):
        two.pass_time(60)
        two.message(two.home.own)
        two.message(cabin.own, charger_id=CHARGERS[CABIN][0])
    assert two.group.status is PushStatus.DISCONNECTED
    assert two.group._open.reschedule.call_count == 1
    two.lose(two.group)
    two.open(two.group)
    assert two.group.status is PushStatus.DISCONNECTED
    two.message(two.group)
    assert two.group.status is PushStatus.CONNECTED
    assert two.home.feeds[1].is_reporting
    assert not cabin.feeds[1].is_reporting


async def test_a_stranger_is_no_sign_of_an_installation(two: Two) -> None:
    """A group's messages may be about chargers that the account does not show."""
    two.refuse(two.home.own)
    two.open(two.group)
    two.message(two.group, charger_id=STRANGER)
    assert two.home.status is PushStatus.NOT_PERMITTED
    assert not any(feed.is_reporting for feed in two.group.feeds.values())


async def test_a_suspicion_is_not_worth_a_reading_while_another_link_reports(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap is a suspicion."""
    own = two.home.own
    two.open(own)
    two.open(two.group)
    two.message(own, two.group)
    two.reader.take()
    monkeypatch.setattr(own.counters, "take_gap", lambda: True)
    two.message(own)
    two.pass_time(300)
    assert two.reader.take() == ([], [])

    # Where the group does not report any more, the next gap is worth one.
    two.lose(two.group)
    two.message(own)
    assert two.reader.take() == ([AT_HOME], [])


@pytest.mark.parametrize("delay", [0, 200])
async def test_a_gap_of_both_links_is_worth_a_reading(
    two: Two, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    """Both may have lost the same message, and each finds out with its next one."""
    own, group = two.home.own, two.group
    two.open(own)
    two.open(group)
    two.message(own, group)
    two.reader.take()
    two.clock.tick(30)
    with monkeypatch.context() as patch:
        patch.setattr(own.counters, "take_gap", lambda: True)
        two.message(own)
        two.clock.tick(delay)
        assert two.reader.take() == ([], [])
        patch.setattr(group.counters, "take_gap", lambda: True)
        two.message(group)
    assert AT_HOME in two.reader.take()[0]


async def test_a_gap_while_the_other_link_was_down_is_worth_a_reading(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other link reports all that happens from now on, but not what it has missed."""
    own, group = two.home.own, two.group
    two.open(own)
    two.open(group)
    two.message(own, group)
    two.clock.tick(MESSAGE_DELAY + 10)
    two.lose(group)
    two.clock.tick(20)
    two.open(group)
    two.message(group)
    two.reader.take()
    monkeypatch.setattr(own.counters, "take_gap", lambda: True)
    two.message(own)
    assert AT_HOME in two.reader.take()[0]


async def test_gaps_of_different_times_are_not_worth_a_reading(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one link has lost, the other one had delivered before it lost anything."""
    own, group = two.home.own, two.group
    two.open(own)
    two.open(group)
    two.message(own, group)
    two.reader.take()
    for link in (own, group):
        two.clock.tick(MESSAGE_DELAY + 10)
        two.message(own, group)
        two.clock.tick(MESSAGE_DELAY + 10)
        with monkeypatch.context() as patch:
            patch.setattr(link.counters, "take_gap", lambda: True)
            two.message(link)
    assert AT_HOME not in two.reader.take()[0]


async def test_the_silence_of_both_links_is_worth_a_reading(two: Two) -> None:
    """Both may be dead, although they are up: neither is a sign that the other is not."""
    two.open(two.home.own)
    two.open(two.group)
    two.message(two.home.own, two.group)
    two.reading(power="1000")
    two.reader.take()
    two.pass_time(SILENCE_IDLE - 60)
    assert two.reader.take() == ([], [])
    two.pass_time(120)
    assert set(two.reader.take()[0]) == {AT_HOME}
    two.reading(power="2000")
    two.pass_time(MESSAGE_DELAY + 60)
    assert two.home.own.status is two.group.status is PushStatus.DISCONNECTED
    assert two.home.status is PushStatus.DISCONNECTED
    assert AT_HOME in two.reader.take()[1]


async def test_an_installation_that_a_link_does_not_report_is_not_read_for_it(
    two: Two,
) -> None:
    """Its silence is known, or it may not be covered at all; its chargers are polled."""
    cabin = CHARGERS[CABIN][0]
    for push in two.links.values():
        two.refuse(push.own)
    two.open(two.group)
    two.message(two.group)
    two.message(two.group, charger_id=cabin)
    two.group.feeds[CABIN].silence()
    two.reader.take()
    for _ in range(12):
        two.pass_time(300)
        two.message(two.group)
    assert two.reader.take()[0] == []


async def test_a_silent_link_asks_about_what_it_has_reported(two: Two) -> None:
    """Only a reading of such an installation shows whether the link is still silent."""
    cabin = CHARGERS[CABIN][0]
    for push in two.links.values():
        two.refuse(push.own)
    two.open(two.group)
    two.message(two.group, charger_id=cabin)
    two.pass_time(MESSAGE_DELAY + 60)
    two.group._feed_silent(two.group.feeds[CABIN])
    assert two.group.status is PushStatus.DISCONNECTED
    two.reader.take()
    two.pass_time(SILENCE_IDLE + 120)
    read = set(two.reader.take()[0])
    assert read
    assert read <= set(CHARGERS[CABIN])


async def test_an_oversized_message_is_lost_to_both(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is too large for either link, so its charger is read, and no other one."""
    two.open(two.home.own)
    two.open(two.group)
    two.message(two.home.own, two.group)
    two.reader.take()
    monkeypatch.setattr(two.group.counters, "take_oversized", lambda: {AT_HOME})
    two.message(two.group)
    assert two.reader.take() == ([AT_HOME], [])


async def test_an_oversized_message_of_an_unknown_charger(two: Two) -> None:
    """It may be about any charger, unless it is about one that the account does not show."""
    two.open(two.group)
    two.message(two.group)
    two.reader.take()
    two.group.feeds.oversized({STRANGER})
    assert two.reader.take() == ([], [])
    two.group.feeds.oversized({STRANGER, NO_CHARGER})
    read, polled = two.reader.take()
    assert sorted(read) == [AT_HOME, *CHARGERS[CABIN]]
    assert polled == []


async def test_oversized_messages_in_a_row(two: Two) -> None:
    """What comes too soon after a reading is read a minute later, once for each charger."""
    first, second = CHARGERS[CABIN]
    two.open(two.group)
    two.message(two.group, charger_id=first)
    two.reader.take()
    two.group.feeds.oversized({first})
    assert two.reader.take() == ([first], [])
    for _ in range(3):
        two.group.feeds.oversized({second})
    assert two.reader.take() == ([], [])
    two.pass_time(CHECK_INTERVAL)
    assert two.reader.take() == ([second], [])
    two.pass_time(CHECK_INTERVAL)
    assert two.reader.take() == ([], [])


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_pending_reading_of_an_oversized_message(
    two: Two, is_gone: bool
) -> None:
    """A charger that is gone is not read, and a new connection reads all in any case."""
    first, second = CHARGERS[CABIN]
    two.open(two.group)
    two.message(two.group, charger_id=first)
    two.group.feeds.oversized({first})
    two.group.feeds.oversized({second})
    if is_gone:
        two.links[CABIN].remove(second)
    else:
        two.group.feeds.link_opened()
    two.reader.take()
    two.pass_time(CHECK_INTERVAL)
    assert two.reader.take() == ([], [])
    two.group.feeds.oversized({first})
    assert two.reader.take() == ([first], [])


def lose_messages(two: Two, link: Link) -> None:
    """Let two readings show changes that a link did not report, although others arrive."""
    two.reading(power="1000")
    for power in ("2000", "3000"):
        two.clock.tick(1)
        two.message(link)
        two.reading(power=power)
        two.pass_time(LOSSES_APART + 30)


async def test_a_second_reader_of_the_own_subscription_does_not_matter(
    two: Two,
) -> None:
    """While the group reports all, nothing is polled, and it is no problem."""
    own = two.home.own
    two.open(own)
    two.message(own)
    lose_messages(two, own)
    assert two.home.is_incomplete
    assert two.home.shared_since
    assert AT_HOME in two.reader.take()[1]

    two.open(two.group)
    two.message(own, two.group)
    assert two.reader.take() == ([AT_HOME], [])
    assert two.links.is_reliable(AT_HOME)
    assert not two.home.is_incomplete
    assert two.home.shared_since is None
    assert own.shared_since is None
    assert not own.is_incomplete

    two.lose(two.group)
    assert two.home.shared_since
    assert own.shared_since
    assert two.reader.take()[1] == [AT_HOME]


async def test_a_second_reader_of_the_group(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a problem of the group, only while an installation depends on it."""
    two.refuse(two.home.own)
    two.open(two.group)
    two.message(two.group)
    lose_messages(two, two.group)
    assert two.group.shared_since
    assert two.group.is_incomplete
    assert two.home.shared_since is None
    assert two.home.status is PushStatus.CONNECTED
    assert not two.home.is_reliable
    assert caplog.text.count("messages of user group group do not reach us") == 1
    two.reader.take()

    two.open(two.home.own)
    two.reading()
    assert two.group.shared_since is None
    assert not two.group.is_incomplete
    assert two.links.is_live(AT_HOME)


def flaps(two: Two, link: Link, other: Link, hours: float) -> int:
    """Let a link report each second message; return how often it is taken for dead."""
    flaps = 0
    for number in range(int(hours * 6)):
        two.pass_time(600)
        flaps += link.status is not PushStatus.CONNECTED
        if link._open.reschedule.called:
            two.lose(link)
            two.open(link)
        two.message(other, *([link] if number % 2 else []))
    return flaps


@pytest.mark.parametrize("is_group", [False, True])
async def test_a_link_of_which_each_second_message_arrives(
    two: Two, is_group: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is taken for dead at first, and then known to lose messages, with one warning."""
    link, other = two.home.own, two.group
    if is_group:
        link, other = other, link
    two.open(link)
    two.open(other)
    two.message(link, other)
    two.reader.take()
    assert flaps(two, link, other, 3) == 2
    assert flaps(two, link, other, 24) == 0
    assert caplog.text.count("They arrive by another link, so its chargers are") == 1
    assert two.home.status is PushStatus.CONNECTED
    assert two.home.shared_since is link.shared_since is None
    assert two.reader.take() == ([], [])

    # A dead link is found after all, and a link that is whole again is known to be.
    for _ in range(40):
        two.pass_time(600)
        two.message(other)
    assert link.status is PushStatus.DISCONNECTED
    for _ in range(80):
        two.pass_time(600)
        two.message(link, other)
    assert link.status is PushStatus.CONNECTED
    assert all(feed.is_reliable for feed in two.home.feeds)
    assert two.reader.take()[1] == []


async def test_a_group_that_is_lost_before_the_own_link_is_up(two: Two) -> None:
    """*Connecting* is the status before the first message only, so a loss is shown as one."""
    assert two.home.status is PushStatus.CONNECTING
    two.open(two.group)
    two.message(two.group)
    assert two.home.status is PushStatus.CONNECTED
    two.lose(two.group)
    assert two.home.own.status is PushStatus.CONNECTING
    assert two.home.status is PushStatus.DISCONNECTED
    two.open(two.home.own)
    assert two.home.status is PushStatus.CONNECTED


async def test_a_refusal_that_the_group_makes_up_for(two: Two) -> None:
    """It is not reported while the group's link reports the messages, or soon may."""
    two.refuse(two.home.own)
    assert two.home.refusal is None
    assert not two.home.is_permitted
    two.open(two.group)
    two.message(two.group)
    assert two.home.refusal is None
    assert two.home.is_permitted

    two.lose(two.group)
    assert two.home.refusal is None
    two.pass_time(SILENCE_IDLE + 60)
    assert two.home.refusal is PushRefusal.ROLE
    assert not two.home.is_permitted


async def test_a_refusal_that_the_group_does_not_make_up_for(two: Two) -> None:
    """A group that covers another installation, or is refused itself, does not."""
    two.refuse(two.home.own)
    two.open(two.group)
    two.pass_time(SILENCE_IDLE + 60)
    assert two.home.refusal is PushRefusal.ROLE
    two.lose(two.group)
    assert two.home.refusal is PushRefusal.ROLE
    two.refuse(two.group)
    assert two.home.refusal is PushRefusal.ROLE


@pytest.mark.parametrize("is_covered", [False, True])
async def test_a_refusal_while_the_group_is_lost_again_and_again(
    two: Two, is_covered: bool
) -> None:
    """A connection that reports nothing, or ends at once, does not make up for it."""
    two.refuse(two.home.own)
    if is_covered:
        two.open(two.group)
        two.message(two.group)
        two.pass_time(600)
        two.lose(two.group)
    for _ in range(6):
        assert two.home.refusal is None
        two.pass_time(280)
        two.open(two.group)
        two.pass_time(20)
        two.lose(two.group)
    assert two.home.refusal is PushRefusal.ROLE


@pytest.mark.parametrize(("age", "refusal"), [(59, PushRefusal.ROLE), (60, None)])
async def test_a_connection_of_a_minute_makes_up_for_a_refusal(
    two: Two, age: float, refusal: PushRefusal | None
) -> None:
    """The half hour for the group's link to come back begins with its loss."""
    two.refuse(two.home.own)
    two.open(two.group)
    two.message(two.group)
    two.pass_time(age)
    two.lose(two.group)
    two.pass_time(SILENCE_IDLE - 30)
    assert two.home.refusal is refusal


async def test_the_cloud_is_out_of_reach_for_the_details_only(two: Two) -> None:
    """What a link reports is not unavailable because the other one cannot be opened."""
    two.open(two.home.own)
    two.details.side_effect = ZaptecConnectionError("unreachable")
    end = await two.group._connect()
    assert "unreachable" in end.reason
    assert AT_HOME not in two.reader.unreachable
    assert set(two.reader.unreachable) == set(CHARGERS[CABIN])
    assert two.reader.read[-1:] == [CHARGERS[CABIN][0]]
    two.group._set_cloud_reached(is_reached=True)
    assert set(two.reader.reached) == set(CHARGERS[CABIN])


@pytest.mark.parametrize("covered", [set[str](), {HOME}, {CABIN}])
async def test_one_charger_is_read_for_the_details(two: Two, covered: set[str]) -> None:
    """One that no other link reports: it shows whether the cloud fails with all requests."""
    for installation_id in covered:
        two.open(two.links[installation_id].own)
    two.reader.take()
    two.details.side_effect = ZaptecConnectionError("unreachable")
    await two.group._connect()
    (read,), _ = two.reader.take()
    assert read in [ids[0] for home, ids in CHARGERS.items() if home not in covered]


async def test_where_all_is_reported_no_charger_is_read_for_the_details(
    two: Two,
) -> None:
    """The reading would show whether the cloud fails with all requests."""
    for push in two.links.values():
        two.open(push.own)
    two.reader.take()
    two.details.side_effect = ZaptecConnectionError("unreachable")
    await two.group._connect()
    assert two.reader.take() == ([], [])
    assert two.reader.unreachable == []


async def test_an_installation_that_is_new_or_gone(two: Two) -> None:
    """Its feed of the group follows: it begins with its first message."""
    two.open(two.group)
    account = two.account
    at_home = {AT_HOME: account.chargers[AT_HOME]}
    two.account = replace(account, chargers=at_home)
    two.follow()
    assert set(two.group.feeds) == {HOME}
    charger_id = CHARGERS[CABIN][0]
    two.message(two.group, charger_id=charger_id)

    two.account = account
    two.follow()
    assert not two.group.feeds[CABIN].is_reporting
    two.message(two.group, charger_id=charger_id)
    assert two.group.feeds[CABIN].is_reporting
    assert two.links[CABIN].status is PushStatus.CONNECTED


async def test_a_charger_that_moves_is_reported_by_the_other_feed(two: Two) -> None:
    """It is read if its state was outdated, and each feed has its own chargers."""
    two.open(two.group)
    two.message(two.group)
    two.message(two.group, charger_id=CHARGERS[CABIN][0])
    moved = replace(two.account.chargers[AT_HOME], installation_id=CABIN)
    two.account = replace(
        two.account, chargers={**two.account.chargers, AT_HOME: moved}
    )
    two.links._is_fresh = lambda _: False
    two.follow()
    assert two.group.feeds[CABIN].charger_ids[0] == AT_HOME
    assert not two.links.is_live(AT_HOME)
    two.reading()
    assert two.links.is_live(AT_HOME)


async def test_a_charger_is_outdated_until_it_is_read(two: Two) -> None:
    """It could not be read in the outage before the link came up."""
    two.reader.failing.add(AT_HOME)
    two.open(two.home.own)
    assert two.home.status is PushStatus.CONNECTED
    assert not two.links.is_live(AT_HOME)
    two.open(two.group)
    two.message(two.group)
    assert not two.links.is_live(AT_HOME)
    assert not two.home.is_complete(AT_HOME)
    two.reading()
    assert two.links.is_live(AT_HOME)
    assert two.home.is_complete(AT_HOME)


async def test_a_charger_is_outdated_until_it_is_read_after_a_loss(two: Two) -> None:
    """It could not be read before all messages arrived again, which repeat nothing."""
    own = two.home.own
    two.open(own)
    lose_messages(two, own)
    two.reader.failing.add(AT_HOME)
    available: list[bool] = []
    two.listeners.add(
        lambda: available.append(two.links.is_live(AT_HOME)), [link_topic(AT_HOME)]
    )
    two.pass_time(LOSS_MEMORY_MAX)
    assert two.home.is_reliable
    assert available == [False]
    assert AT_HOME in two.reader.take()[0]
    two.reader.failing.clear()
    two.reading()
    assert two.links.is_live(AT_HOME)


async def test_the_age_of_a_message_is_shown_per_installation(two: Two) -> None:
    """The group's messages of other installations do not count."""
    two.group.counters.stream = Mock(
        missed=0, oversized_from=set(), last_message=datetime.now(UTC)
    )
    two.open(two.group)
    two.message(two.group, charger_id=CHARGERS[CABIN][0])
    assert two.home.last_message is None
    assert two.links[CABIN].last_message == datetime.now(UTC)
    later = datetime.now(UTC) + timedelta(hours=1)
    two.links[CABIN].own.counters.stream = Mock(last_message=later)
    assert two.links[CABIN].last_message == later
