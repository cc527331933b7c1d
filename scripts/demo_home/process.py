"""Start and stop the programs that the demo consists of."""

import asyncio
import os
from pathlib import Path
import signal
import sys

_ROOT = Path(__file__).resolve().parents[2]


class Program:
    """A Python program in its own session, so that Ctrl-C in the terminal reaches only the demo."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Initialize the program from a started process."""
        self._process = process

    @classmethod
    async def start(
        cls, *arguments: str, log: Path, environment: dict[str, str] | None = None
    ) -> Program:
        """Start `python arguments` and write its output to `log`."""
        surroundings = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONPATH" and not name.startswith("ZAPTEC_")
        }
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=_ROOT,
                env=surroundings | (environment or {}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process)

    @property
    def status(self) -> int | None:
        """The exit status, or None while the program runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until the program has ended."""
        return await self._process.wait()

    def kill(self) -> None:
        """Kill the program and everything it has started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def stop(self, patience: float) -> None:
        """Terminate the program; kill it if it still runs after `patience` seconds."""
        if self.status is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(patience):
                    await self.wait()
            except TimeoutError:
                pass
        self.kill()
        await self.wait()
