"""Which sessions were permitted, and how they are stored in two parts."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
import json

from custom_components.zaptec.authorization import EndedSession
from custom_components.zaptec.permitted_sessions import (
    KEPT_FOR,
    OPEN_MAX,
    PermittedSessions,
)
from custom_components.zaptec.persons import ANONYMOUS, Identity

NOW = datetime(2026, 11, 28, 8, tzinfo=UTC)
ANNA = Identity(permitted=7)


def ended(session_id: str) -> EndedSession:
    """Return a session that has ended."""
    return EndedSession(session_id, NOW, NOW + timedelta(hours=1), 7.5)


def restarted(
    sessions: PermittedSessions, filed: Iterable[object]
) -> PermittedSessions:
    """Return the sessions after a restart, with what was stored last."""
    after = PermittedSessions()
    stored = json.loads(json.dumps([list(filed), sessions.unfiled()]))
    after.restore(*stored)
    return after


def test_a_session_is_permitted_and_ends_once() -> None:
    """Repeated calls change nothing, and an end of an unknown session is none of ours."""
    sessions = PermittedSessions()
    assert sessions.permit("a", "charger", ANNA, NOW)
    assert not sessions.permit("a", "charger", ANNA, NOW)
    assert not sessions.permit("a", "charger", ANONYMOUS, NOW)
    assert sessions.permit("a", "charger", Identity(permitted=8), NOW)
    assert sessions.due() == []
    assert not sessions.end(ended("other"), NOW)
    assert sessions.end(ended("a"), NOW)
    assert not sessions.end(EndedSession("a", None, None, 99.0), NOW)
    [(session_id, session)] = sessions.due()
    assert (session_id, session.charger_id) == ("a", "charger")
    assert session.ended == ended("a")
    assert sessions.identity_of("a") == Identity(permitted=8)
    assert sessions.identity_of("other") == ANONYMOUS


def test_a_restart() -> None:
    """All that was noted is the same after a restart, whichever part it is in."""
    sessions = PermittedSessions()
    sessions.permit("a", "one", ANNA, NOW)
    sessions.permit("b", "two", ANONYMOUS, NOW)
    sessions.end(EndedSession("a", None, None, None), NOW)
    after = restarted(sessions, [])
    assert dict(after.items()) == dict(sessions.items())
    assert dict(after.due()) == dict(sessions.due())


def test_what_is_filed() -> None:
    """What the history has, and what does not end for a day, moves to the large part."""
    sessions = PermittedSessions()
    for session_id in "abc":
        sessions.permit(session_id, "charger", ANNA, NOW)
    sessions.end(ended("a"), NOW)
    sessions.items()[0][1].is_handed_over = True
    assert sessions.to_file(NOW) == {"a"}
    later = NOW + OPEN_MAX + timedelta(minutes=1)
    sessions.permit("d", "charger", ANNA, later)
    also = sessions.to_file(later)
    assert also == {"a", "b", "c"}
    filed = sessions.filed(also)
    # One of them changes while the large part is written.
    sessions.end(ended("b"), later)
    sessions.note_filed({item[0]: item for item in filed})
    assert {item[0] for item in sessions.unfiled()} == {"b", "d"}
    after = restarted(sessions, filed)
    assert dict(after.items()) == dict(sessions.items())
    assert [session_id for session_id, _ in after.due()] == ["b"]
    assert after.end(ended("c"), later)
    assert {item[0] for item in after.unfiled()} == {"b", "c", "d"}


def test_what_is_forgotten() -> None:
    """After 90 days, it is not kept any more who has charged."""
    sessions = PermittedSessions()
    sessions.permit("a", "charger", ANNA, NOW)
    sessions.forget_old(NOW + KEPT_FOR)
    assert len(sessions) == 1
    sessions.forget_old(NOW + KEPT_FOR + timedelta(seconds=1))
    assert len(sessions) == 0
    assert sessions.unfiled() == []
