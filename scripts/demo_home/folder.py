"""The folder of the demo: Home Assistant's configuration, logs and meters.

Home Assistant needs no onboarding: its owner exists already, the introduction counts as done, and
requests from this machine need no password. It listens on loopback only.
"""

from datetime import UTC, datetime
import fcntl
import json
import os
from pathlib import Path
import shutil
from typing import IO, Any
import uuid

from .errors import DemoError

_ROOT = Path(__file__).resolve().parents[2]
_MARK = ".zaptec-demo"
# Integrations are listed one by one: default_config would add voice, media and discovery.
_CONFIGURATION = """\
# Written by scripts/demo at each start.
homeassistant:
  name: {name}
  # The simulated cloud calls webhooks at this address, the only one that is listened at.
  internal_url: http://127.0.0.1:{port}
  country: "NO"
  currency: NOK
  language: en
  time_zone: {time_zone}
  unit_system: metric
  latitude: 59.9139
  longitude: 10.7522
  elevation: 23
  auth_providers:
    - type: trusted_networks
      trusted_networks: [127.0.0.1/32, "::1/128"]
      allow_bypass_login: true

automation: !include automations.yaml
config:
energy:
frontend:
history:
logbook:
logger:
  default: warning
  logs:
    # What a bare machine has not got, and the demo has no use for.
    aiohttp_fast_zlib: error
    haffmpeg: critical
    homeassistant.components.camera.img_util: critical
    homeassistant.requirements: error
recorder:
  commit_interval: 1
system_health:
"""


def machine_time_zone() -> str:
    """Return the time zone of this machine, or that of Oslo if it is unknown."""
    _, found, name = os.path.realpath("/etc/localtime").partition("/zoneinfo/")
    return name if found and "/" in name else "Europe/Oslo"


class DemoFolder:
    """The folder, locked against a second demo until `release`."""

    def __init__(self, path: Path) -> None:
        """Initialize the folder; `acquire` creates it."""
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def configuration(self) -> Path:
        """Home Assistant's configuration folder."""
        return self.path / "config"

    @property
    def log(self) -> Path:
        """The file for Home Assistant's output, including what it prints before it opens its log."""
        return self.path / "home-assistant.log"

    @property
    def simulator_log(self) -> Path:
        """The file for the simulator's output."""
        return self.path / "simulator.log"

    def acquire(self, *, reset: bool = False) -> None:
        """Create the folder if it does not exist, and lock it for this process.

        Raises:
            DemoError: The folder is in use, is not writable, or was not made by the demo.
        """
        try:
            if (
                self.path.exists()
                and not (self.path / _MARK).exists()
                and any(self.path.iterdir())
            ):
                raise DemoError(
                    f"{self.path} has other things in it: choose an empty folder with --folder."
                )
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self.path / _MARK).open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if reset:
                self._clear()
        except BlockingIOError:
            raise DemoError(
                f"The demo in {self.path} is running already: end it first, or start a second "
                "one with --folder and --port."
            ) from None
        except OSError as err:
            raise DemoError(
                f"The folder {self.path} cannot be used: {err.strerror}."
            ) from err

    def release(self) -> None:
        """Unlock the folder."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _clear(self) -> None:
        for item in self.path.iterdir():
            if item.name == _MARK:
                continue
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()

    def prepare(self, *, name: str, port: int) -> None:
        """Write the files that Home Assistant reads at start; keep what it has stored."""
        self.configuration.mkdir(exist_ok=True)
        (self.configuration / "configuration.yaml").write_text(
            _CONFIGURATION.format(name=name, port=port, time_zone=machine_time_zone()),
            encoding="utf-8",
        )
        link = self.configuration / "custom_components"
        link.unlink(missing_ok=True)
        link.symlink_to(_ROOT / "custom_components", target_is_directory=True)
        # The automations that the user creates in the browser.
        (self.configuration / "automations.yaml").touch()
        # Home Assistant does not follow a link to a folder of blueprints.
        shutil.copytree(
            _ROOT / "blueprints", self.configuration / "blueprints", dirs_exist_ok=True
        )
        self._store("http", 2, _http(port), minor_version=2)
        if not self._storage("auth").exists():
            self._store("auth", 1, _auth())
            self._store(
                "onboarding",
                4,
                {"done": ["user", "core_config", "analytics", "integration"]},
            )

    def _storage(self, key: str) -> Path:
        return self.configuration / ".storage" / key

    def _store(
        self, key: str, version: int, data: dict[str, Any], *, minor_version: int = 1
    ) -> None:
        """Write a file of Home Assistant's storage, readable by the current user only."""
        file = self._storage(key)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(
            json.dumps(
                {
                    "version": version,
                    "minor_version": minor_version,
                    "key": key,
                    "data": data,
                }
            ),
            encoding="utf-8",
        )
        new.replace(file)


def _http(port: int) -> dict[str, Any]:
    """Return the stored settings of Home Assistant's web server."""
    return {
        "stable": {
            "server_host": ["127.0.0.1"],
            "server_port": port,
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": False,
            "ssl_profile": "modern",
            "use_x_frame_options": True,
            "created_at": datetime.now(UTC).isoformat(),
            "error": None,
            "error_message": None,
        },
        "pending": None,
        "yaml_migration_done": True,
    }


def _auth() -> dict[str, Any]:
    """Return the stored users: the owner, without any credentials."""
    return {
        "users": [
            {
                "id": uuid.uuid4().hex,
                "name": "Demo",
                "group_ids": ["system-admin"],
                "is_owner": True,
                "is_active": True,
                "system_generated": False,
                "local_only": True,
            }
        ],
        "groups": [
            {"id": "system-admin", "name": "Administrators"},
            {"id": "system-users", "name": "Users"},
            {"id": "system-read-only", "name": "Read Only"},
        ],
        "credentials": [],
        "refresh_tokens": [],
    }
