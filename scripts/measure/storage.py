"""Count how often files are written to `.storage` while nothing happens."""

from collections import Counter
from pathlib import Path

from .travel import HOUR, STEP, Travel, travel


class Folder:
    """The folder `.storage`, in which each write replaces a file."""

    def __init__(self, path: Path) -> None:
        """Initialize with the files as they are now."""
        self._path = path
        self._seen = self._files()
        self.writes: Counter[str] = Counter()

    def look(self) -> None:
        """Count the files that were written since this was last called."""
        files = self._files()
        self.writes.update(
            name for name, version in files.items() if self._seen.get(name) != version
        )
        self._seen = files

    def _files(self) -> dict[str, tuple[int, int]]:
        """Return what distinguishes each version of each file."""
        return {
            path.name: ((status := path.stat()).st_ino, status.st_mtime_ns)
            for path in self._path.glob("*")
        }


async def _writes(here: Travel) -> dict[str, int]:
    """Return how often each file is written in an hour."""
    folder = Folder(Path(here.home.hass.config.path(".storage")))
    await here.machine.travel(HOUR, step=STEP, check=folder.look)
    return dict(folder.writes)


async def measure(chargers: int) -> dict[str, dict[str, int]]:
    """Return the writes of an hour, without the account and with it, by file."""
    async with travel(chargers) as here:
        # Home Assistant writes its own files some time after its start.
        await here.machine.travel(600, step=STEP)
        alone = await _writes(here)
        await here.set_up()
        # The registries are written when nothing was added to them for a while.
        await here.machine.travel(600, step=STEP)
        return {"alone": alone, "with the account": await _writes(here)}
