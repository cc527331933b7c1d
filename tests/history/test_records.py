"""What a completed session says about energy, and why some are left out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from custom_components.zaptec.api import (
    CommitMetadata,
    CompletedSession,
    EnergyDetail,
    MeterReading,
    Session,
)
from custom_components.zaptec.history.records import (
    EARLIEST,
    LENGTH_MAX,
    Problem,
    Record,
    fingerprint,
    key_of,
)
from custom_components.zaptec.plausibility import FUTURE_MAX

ID = "11111111-2222-4333-8444-555555555555"
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
START = NOW - timedelta(hours=9)
END = NOW - timedelta(hours=1)
HOUR = timedelta(hours=1)

SESSION = Session(
    id=ID,
    start=START,
    end=END,
    recognized=END + timedelta(seconds=3),
    energy=8.0,
    energy_details=(
        EnergyDetail(timestamp=START, energy=0.0),
        EnergyDetail(timestamp=START + HOUR, energy=5.0),
        EnergyDetail(timestamp=END, energy=3.0),
    ),
    metadata=CommitMetadata.RELIABLE_CLOCK,
)
REPORTED = CompletedSession(
    session_id=ID,
    start=START,
    end=END,
    energy=8.0,
    reliable_clock=True,
    readings=(
        MeterReading(START, 100.0),
        MeterReading(START + HOUR, 105.0),
        MeterReading(END, 108.0),
    ),
)


def archived(**changes: object) -> Record | Problem:
    """Return the record of a session of the archive."""
    return Record.from_archive(replace(SESSION, **changes), NOW)


def reported(**changes: object) -> Record | Problem:
    """Return the record of a session that a charger reports."""
    return Record.from_charger(replace(REPORTED, **changes), END + HOUR / 2, NOW)


def counted(record: Record | Problem) -> Record:
    """Return a record that counts."""
    assert isinstance(record, Record)
    assert record.charge
    return record


def test_a_session_of_the_archive() -> None:
    """The details of a session are what was drawn until each report."""
    record = counted(archived())
    assert record.key == key_of(ID)
    assert record.end == END.timestamp()
    assert record.is_final
    assert record.charge.reports == (
        (START.timestamp(), 0.0),
        ((START + HOUR).timestamp(), 5.0),
        (END.timestamp(), 3.0),
    )
    assert record.charge.has_clock


def test_both_sources_say_the_same() -> None:
    """The meter readings that a charger reports give the same reports as the archive."""
    charge = counted(reported()).charge
    assert charge.reports == counted(archived()).charge.reports[1:]
    assert charge.is_traced
    assert not counted(reported()).is_final
    assert counted(reported()).key == key_of(ID)


@pytest.mark.parametrize(
    "readings",
    [
        (),
        REPORTED.readings[:1],
        REPORTED.readings[:2],
        (*REPORTED.readings[:2], MeterReading(END, 108.02)),
    ],
)
def test_readings_that_do_not_say_the_energy(
    readings: tuple[MeterReading, ...],
) -> None:
    """Meter readings count only if the last minus the first is the session's energy."""
    record = counted(reported(readings=readings))
    assert record.charge.reports == ()
    assert not record.charge.is_traced


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": CommitMetadata.RELIABLE_CLOCK | CommitMetadata.VOID},
        {"metadata": CommitMetadata.ABORTED, "energy": -7.0},
        {"replaced_by": ID},
        {"metadata": CommitMetadata.VOID, "end": None, "start": None},
    ],
)
def test_a_session_that_does_not_count(changes: dict[str, object]) -> None:
    """The energy of a voided, aborted or replaced session means nothing."""
    record = archived(**changes)
    assert isinstance(record, Record)
    assert record.charge is None
    assert record.is_final
    assert record.end == (changes.get("end", END) or NOW).timestamp()
    assert record.content != counted(archived()).content


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"start": None}, Problem.INCOMPLETE),
        ({"end": None}, Problem.INCOMPLETE),
        ({"energy": None}, Problem.INCOMPLETE),
        ({"start": END, "end": START}, Problem.REVERSED),
        ({"energy": -0.001}, Problem.NEGATIVE),
        ({"energy": 201.0}, Problem.EXCESSIVE),
        ({"end": NOW + FUTURE_MAX + timedelta(seconds=1)}, Problem.FUTURE),
        ({"start": END - LENGTH_MAX - HOUR}, Problem.CLOCK),
        ({"start": EARLIEST - HOUR, "end": EARLIEST - HOUR / 2}, None),
    ],
)
def test_a_session_that_cannot_be_right(
    changes: dict[str, object], problem: Problem | None
) -> None:
    """A session that cannot be right is left out, whichever source it has."""
    for found in (archived(**changes), reported(**changes)):
        if problem is None:
            assert not counted(found).charge.has_clock
        else:
            assert found is problem


def test_a_session_with_an_absurd_number_of_reports() -> None:
    """A charger does not report its meter every few seconds."""
    details = tuple(
        EnergyDetail(timestamp=START + index * timedelta(seconds=2), energy=0.0008)
        for index in range(10_000)
    )
    assert archived(energy_details=details) is Problem.REPORTS
    assert isinstance(archived(energy_details=details[:500]), Record)
    assert archived(has_too_many_details=True) is Problem.REPORTS


def test_a_reported_session_without_id() -> None:
    """A session without an id cannot be found in the archive."""
    assert reported(session_id=None) is Problem.INCOMPLETE


@pytest.mark.parametrize("days", [-400, 0.3])
def test_an_unreliable_clock(days: float) -> None:
    """If the charger's clock is wrong, the session ended when the cloud received it."""
    shift = timedelta(days=days)
    details = tuple(
        replace(item, timestamp=item.timestamp + shift)
        for item in SESSION.energy_details
    )
    record = counted(
        archived(
            start=START + shift,
            end=END + shift,
            energy_details=details,
            metadata=CommitMetadata.NONE,
        )
    )
    late = timedelta(seconds=3)
    assert record.charge.start == (START + late).timestamp()
    assert record.charge.end == record.end == (END + late).timestamp()
    assert record.charge.reports[1] == ((START + HOUR + late).timestamp(), 5.0)
    assert not record.charge.has_clock


def test_a_reported_session_with_an_unreliable_clock() -> None:
    """A session ended at the latest when it was reported."""
    record = counted(reported(reliable_clock=False))
    assert record.end == (END + HOUR / 2).timestamp()
    assert counted(reported(reliable_clock=None)).charge.has_clock


@pytest.mark.parametrize("recognized", [None, datetime(2000, 1, 1, tzinfo=UTC)])
def test_no_clock_at_all(recognized: datetime | None) -> None:
    """Without any reliable time, it is unknown which hours the energy belongs to."""
    found = archived(metadata=CommitMetadata.NONE, recognized=recognized)
    assert found is Problem.CLOCK


def test_what_changes_the_content() -> None:
    """The content changes with whatever may change the hours, and with nothing else."""
    contents = {
        counted(item).content
        for item in (
            archived(),
            archived(energy=8.001),
            archived(start=START + HOUR / 60),
            archived(end=END + HOUR / 60),
            archived(energy_details=SESSION.energy_details[:2]),
        )
    }
    assert len(contents) == 5
    assert counted(archived(token_name="Key ring")).content in contents


def test_a_fingerprint_fits_into_json() -> None:
    """JSON keeps whole numbers up to 53 bits in every parser."""
    numbers = {fingerprint((index,)) for index in range(1000)}
    assert len(numbers) == 1000
    assert max(numbers) < 1 << 52
    assert min(numbers) >= 0
    assert key_of(ID) != key_of(ID.replace("1", "2"))
