"""Fixtures that differ for the walks."""

import pytest


@pytest.fixture(autouse=True)
def _notified_at_once() -> None:
    """Keep the real time slices: a walk only looks when no callback is left to run."""
