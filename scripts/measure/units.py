"""Counts the work of Python code, which is the same in each run and on each machine.

Times differ from run to run, so a test that compares them fails now and then without a
reason. The number of executed instructions and calls does not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import sys
from types import CodeType

_events = sys.monitoring.events

# The id of a tool that Python reserves for nothing else.
_TOOL = 4

# What a call of a function in C counts, in instructions: about as long as it takes.
_CALL = 5


class Units:
    """Executed instructions, and calls of functions in C."""

    def __init__(self) -> None:
        """Initialize the counts."""
        self.instructions = 0
        self.calls = 0

    @property
    def total(self) -> int:
        """Return both as one number, in instructions."""
        return self.instructions + _CALL * self.calls


@contextmanager
def counted(is_counted: Callable[[str], bool] = lambda _: True) -> Iterator[Units]:
    """Count what is executed meanwhile.

    Args:
        is_counted: Whether the code of a file counts; by default that of all files does.

    """
    units = Units()
    known: dict[CodeType, bool] = {}

    def counts(code: CodeType) -> bool:
        if (found := known.get(code)) is None:
            found = known[code] = code.co_filename != __file__ and is_counted(
                code.co_filename
            )
        return found

    def instruction(code: CodeType, _offset: int) -> object:
        if not counts(code):
            return sys.monitoring.DISABLE
        units.instructions += 1
        return None

    def returned(code: CodeType, _offset: int, _callee: object, _arg: object) -> None:
        if counts(code):
            units.calls += 1

    sys.monitoring.use_tool_id(_TOOL, __name__)
    # Count again what an earlier count has left out.
    sys.monitoring.restart_events()
    try:
        sys.monitoring.register_callback(_TOOL, _events.INSTRUCTION, instruction)
        sys.monitoring.register_callback(_TOOL, _events.C_RETURN, returned)
        # The returns of functions in C are only reported together with all calls.
        sys.monitoring.set_events(_TOOL, _events.INSTRUCTION | _events.CALL)
        yield units
    finally:
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.free_tool_id(_TOOL)
