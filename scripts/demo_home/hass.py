"""Run Home Assistant, even on a machine without a compiler.

Home Assistant always sets up its voice pipeline. Two of the packages for that are published as C++
sources only, and without them the frontend does not load. The demo does not use voice, so stubs
replace these packages where they are not installed.
"""

from importlib.util import find_spec
import logging
import os
import sys
from types import ModuleType
from typing import NoReturn

from homeassistant.__main__ import main

_COMPILED = {"pymicro_vad": "MicroVad", "pyspeex_noise": "AudioProcessor"}


def stand_in() -> list[str]:
    """Put stubs in place of missing compiled modules; return the packages not to install."""
    missing = {
        module: name
        for module, name in _COMPILED.items()
        if module not in sys.modules and find_spec(module) is None
    }
    for module, name in missing.items():
        sys.modules[module] = ModuleType(module, "A stand-in that does nothing.")
        setattr(sys.modules[module], name, type(name, (), {}))
    return [module.replace("_", "-") for module in missing]


def run() -> NoReturn:
    """Run Home Assistant, and exit the process as soon as it has stopped.

    By then everything is written and closed. Python would spend some more seconds on freeing
    every object of Home Assistant, and Ctrl-C would seem to hang.
    """
    if skipped := stand_in():
        sys.argv += ["--skip-pip-packages", ",".join(skipped)]
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
