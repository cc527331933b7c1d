"""Programs that the demo starts, and ends."""

import asyncio
import os
from pathlib import Path
import signal
import sys

_ROOT = Path(__file__).resolve().parents[2]


class Program:
    """A Python program in a session of its own: Ctrl-C in the terminal reaches the demo alone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take over a started process."""
        self._process = process

    @classmethod
    async def start(
        cls, *arguments: str, log: Path, environment: dict[str, str] | None = None
    ) -> Program:
        """Start `python arguments`; what it prints goes to `log`."""
        surroundings = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "ZAPTEC_API_URL")
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
        """The exit status, None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._process.wait()

    def kill(self) -> None:
        """End it and all it has started, at once."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def stop(self, patience: float) -> None:
        """Ask it to end; end it by force after `patience` seconds."""
        if self.status is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(patience):
                    await self.wait()
            except TimeoutError:
                pass
        self.kill()
        await self.wait()
