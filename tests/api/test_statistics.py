"""Tests of the statistics of requests."""

from datetime import UTC, datetime

from freezegun import freeze_time

from custom_components.zaptec.api import Priority, Statistics


def test_last_hour_is_forgotten_by_the_minute() -> None:
    """Counts of the last hour are dropped by the minute, and totals are kept."""
    with freeze_time(datetime(2026, 1, 1, tzinfo=UTC)) as frozen:
        statistics = Statistics()
        for _ in range(180):
            statistics.count("GET", "/api/chargers", 200)
            statistics.count_retry()
            statistics.count_wait(Priority.COMMAND, 0.5)
            frozen.tick(60)
        assert statistics.requests.total() == statistics.retries == 180
        # The current minute is still empty.
        assert statistics.requests_last_hour().total() == 59
        assert statistics.retries_last_hour() == 59
        waits = statistics.waits_last_hour()[Priority.COMMAND]
        assert (waits.count, waits.total, waits.longest) == (59, 29.5, 0.5)
        assert len(statistics._minutes) <= 60
        frozen.tick(3600)
        assert not statistics.requests_last_hour()


def test_last_error_has_its_time() -> None:
    """The last error is stored with its time, to distinguish it from an older one."""
    with freeze_time(datetime(2026, 1, 1, tzinfo=UTC)):
        statistics = Statistics()
        statistics.record_error("GET /api/chargers: 500")
        assert statistics.last_error_at == datetime(2026, 1, 1, tzinfo=UTC)
