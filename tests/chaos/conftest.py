"""What walks do differently."""

import pytest


@pytest.fixture(autouse=True)
def _told_at_once() -> None:
    """Do not: a walk looks when nothing is under way, and others have their turns."""
