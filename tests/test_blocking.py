"""The integration does not block Home Assistant's event loop."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

pytestmark = pytest.mark.serial

ROOT = Path(__file__).parents[1]


def reports(*arguments: str) -> list[str]:
    """Return the reports of a Home Assistant about calls that block its event loop."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.blocking", *arguments],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=100,
    )
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(("arguments", "expected"), [((), 0), (("block",), 1)])
def test_nothing_blocks(arguments: tuple[str, ...], expected: int) -> None:
    """Nothing blocks from the set-up to the stop, and a blocking call would be reported."""
    lines = [line for line in reports(*arguments) if line]
    assert len(lines) == expected, lines
    if lines:
        assert "blocking call to sleep" in lines[0]
