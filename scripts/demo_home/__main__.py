"""The command line of `scripts/demo`, and one run of the demo."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
import json
import os
from pathlib import Path
import signal
import sys
import time
from typing import Any
import webbrowser

import aiohttp

from simulator.scenario import DEMO_PASSWORD, DEMO_USER, AccountScenario, Scenario

from .dashboard import (
    DOMAIN,
    Device,
    dashboard,
    energy_preferences,
    guide,
    installations,
    is_complete,
    with_address,
)
from .errors import DemoError
from .folder import DemoFolder
from .guests import NAME as GUESTS, GuestHooks, with_guests
from .home_assistant import HomeAssistant
from .meters import Meters, to_document
from .past import with_past
from .ports import claim
from .process import Program

_DASHBOARD = "zaptec-demo"
# Exit status with which Home Assistant requests to be started again ("Restart" in
# its settings).
_RESTART = 100
_START_PATIENCE = 900.0
_METERS_INTERVAL = 30.0
# Longest times to end Home Assistant and the simulator, together below 3 s. Home
# Assistant has written everything within half a second.
_HOME_ASSISTANT_PATIENCE = 2.2
_SIMULATOR_PATIENCE = 0.5


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="A real Home Assistant with the Zaptec integration and a simulated Zaptec "
        "cloud, on this machine only. Ctrl-C ends it.",
    )
    parser.add_argument(
        "--account",
        action="store_true",
        help="without the simulated cloud: add your own Zaptec account",
    )
    parser.add_argument("--chargers", type=int, metavar="N", help="so many chargers")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="simulated seconds per second (1); above 1, the session history is incomplete",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8123,
        help="Home Assistant's; the simulator takes the next four (8123)",
    )
    parser.add_argument(
        "--folder", type=Path, help="where all is kept (.demo, or .demo-account)"
    )
    parser.add_argument("--reset", action="store_true", help="start from scratch")
    parser.add_argument(
        "--no-browser", action="store_true", help="open no browser window"
    )
    return parser


class Demo:
    """One run of the demo, from the first process to the last."""

    def __init__(self, options: argparse.Namespace, folder: DemoFolder) -> None:
        """Initialize the run; nothing is started yet."""
        self._options = options
        self._folder = folder
        port: int = options.port
        self._url = f"http://127.0.0.1:{port}"
        self._rest_port, self._bus_port = port + 1, port + 2
        self._control_port, self._web_socket_port = port + 3, port + 4
        self._scenario = (
            with_guests(Scenario.default())
            if options.chargers is None
            else Scenario.of(options.chargers)
        )
        self._simulator: Program | None = None
        self._home_assistant: Program | None = None

    @property
    def _control_url(self) -> str:
        return f"http://127.0.0.1:{self._control_port}"

    async def run(self) -> None:
        """Start everything, print the addresses, and run until cancelled.

        Raises:
            DemoError: A process did not start, or ended by itself.
        """
        options = self._options
        self._folder.prepare(
            name="My home" if options.account else "Zaptec demo", port=options.port
        )
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
            )
            environment: dict[str, str] = {}
            if not options.account:
                stack.push_async_callback(self._stop_simulator, session)
                await self._start_simulator(session)
                environment |= {
                    "ZAPTEC_API_URL": f"http://127.0.0.1:{self._rest_port}",
                    "ZAPTEC_WEB_SOCKET_PORT": str(self._web_socket_port),
                }
            stack.push_async_callback(self._stop_home_assistant)
            await self._start_home_assistant(session, environment)
            self._print_instructions()
            async with asyncio.TaskGroup() as group:
                if not options.account:
                    group.create_task(self._watch_simulator(session))
                group.create_task(self._watch_home_assistant(environment))

    def kill(self) -> None:
        """Kill every process."""
        for program in (self._home_assistant, self._simulator):
            if program:
                program.kill()

    def _print_instructions(self) -> None:
        lines = [f"Home Assistant    {self._url}   (signed in already)"]
        if self._options.account:
            lines.append(
                f"Add your account  {self._url}/config/integrations/dashboard/add?domain={DOMAIN}"
            )
        else:
            free = self._scenario.installations[0].chargers[0].name
            lines += [
                f"Plug in cars at   {self._control_url}",
                *self._account_lines(),
                "",
                f"Autoplay is on: cars come and go by themselves. {free} is left free for you.",
                "Autoplay pauses once you change something, there or in Home Assistant.",
                *self._guest_lines(),
                "",
            ]
        lines += [f"Everything is in  {self._folder.path}", "Ctrl-C ends it."]
        print(
            "\n" + "\n".join(f"  {line}".rstrip() for line in lines) + "\n", flush=True
        )
        if not self._options.no_browser:
            self._open_browser()

    def _guest_lines(self) -> list[str]:
        """Return lines that say what can be tried at the installation with web hooks."""
        if all(item.web_hooks is None for item in self._scenario.installations):
            return []
        return [
            f"{GUESTS} is for webhooks: enter their addresses in the form Portal of the",
            "simulator's page, and hold a card to a charger there.",
        ]

    def _account_lines(self) -> list[str]:
        """Return lines that say how to sign in to each account of the simulated cloud."""

        def line(account: AccountScenario) -> str:
            added = " (added already)" if account.user_name == DEMO_USER else ""
            return f"{account.user_name}, password {account.password}{added}"

        accounts = self._scenario.accounts
        return [
            f"{'Another account' if number else 'Zaptec account':18}{line(account)}"
            for number, account in enumerate(accounts)
        ]

    def _open_browser(self) -> None:
        has_display = sys.platform == "darwin" or any(
            os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
        )
        if not has_display or not webbrowser.open(self._url):
            _say(
                "No display or browser was found here: open the address above yourself."
            )

    async def _start_simulator(self, session: aiohttp.ClientSession) -> None:
        options = self._options
        file = self._folder.path / "scenario.json"
        scenario = self._guest_hooks().continue_in(with_past(self._scenario, file))
        scenario = self._meters().continue_in(scenario)
        file.write_text(json.dumps(to_document(scenario), indent=2), encoding="utf-8")
        self._folder.simulator_log.unlink(missing_ok=True)
        _say("Starting the simulated Zaptec cloud")
        self._simulator = await Program.start(
            *("-m", "simulator", "--autoplay", "--scenario", str(file)),
            *("--speed", str(options.speed), "--rest-port", str(self._rest_port)),
            *("--bus-port", str(self._bus_port)),
            *("--control-port", str(self._control_port)),
            *("--web-socket-port", str(self._web_socket_port)),
            log=self._folder.simulator_log,
        )
        async with asyncio.timeout(60):
            while not await self._is_up(session, self._control_url, self._simulator):
                await asyncio.sleep(0.1)

    async def _start_home_assistant(
        self, session: aiohttp.ClientSession, environment: dict[str, str]
    ) -> None:
        self._folder.log.unlink(missing_ok=True)
        _say(
            "Starting Home Assistant"
            if (self._folder.configuration / ".HA_VERSION").exists()
            else "Starting Home Assistant; the first time it installs its own packages (a minute or two)"
        )
        program = await self._launch(environment)
        began = said = time.monotonic()
        while not await self._is_up(session, f"{self._url}/manifest.json", program):
            await asyncio.sleep(0.2)
            if time.monotonic() - began > _START_PATIENCE:
                raise DemoError(
                    f"Home Assistant does not start: {self._folder.log} says more."
                )
            if time.monotonic() - said > 20:
                said = time.monotonic()
                _say(f"Home Assistant is still starting ({said - began:.0f} s)")
        async with HomeAssistant(session, self._url) as home_assistant:
            await _until(home_assistant.is_running, "Home Assistant", 120)
            if not self._options.account:
                await self._furnish(home_assistant)

    async def _launch(self, environment: dict[str, str]) -> Program:
        self._home_assistant = await Program.start(
            *("-m", "scripts.demo_home.hass"),
            *("--config", str(self._folder.configuration)),
            log=self._folder.log,
            environment=environment,
        )
        return self._home_assistant

    async def _furnish(self, home_assistant: HomeAssistant) -> None:
        """Add the integration and create the dashboard, unless an earlier run did."""
        if await home_assistant.call("config_entries/get", domain=DOMAIN):
            await self._correct_address(home_assistant)
            return
        _say("Adding the Zaptec integration, and a dashboard")
        await home_assistant.add_integration(
            DOMAIN, {"username": DEMO_USER, "password": DEMO_PASSWORD}
        )
        found: list[Device] = []

        async def have_arrived() -> bool:
            found[:] = installations(
                await home_assistant.call("config/device_registry/list"),
                await home_assistant.call("config/entity_registry/list"),
            )
            return is_complete(found)

        await _until(have_arrived, "The chargers", 120)
        await home_assistant.call("energy/save_prefs", **energy_preferences(found))
        await home_assistant.call(
            "lovelace/dashboards/create",
            url_path=_DASHBOARD,
            title="Zaptec",
            icon="mdi:ev-station",
            mode="storage",
        )
        await home_assistant.call(
            "lovelace/config/save", url_path=_DASHBOARD, config=self._dashboard(found)
        )
        await home_assistant.call(
            "frontend/set_system_data",
            key="core",
            value={"default_panel": _DASHBOARD},
        )

    def _dashboard(self, found: list[Device]) -> dict[str, Any]:
        free = self._scenario.installations[0].chargers[0].name
        return dashboard(found, guide(self._control_url, free))

    async def _correct_address(self, home_assistant: HomeAssistant) -> None:
        """Update the stored dashboard's link to the simulator's page with this run's port."""
        try:
            stored = await home_assistant.call(
                "lovelace/config", url_path=_DASHBOARD, force=True
            )
        except DemoError:
            return  # The user has removed the dashboard.
        corrected = with_address(stored, self._control_url)
        if corrected != stored:
            await home_assistant.call(
                "lovelace/config/save", url_path=_DASHBOARD, config=corrected
            )

    async def _is_up(
        self, session: aiohttp.ClientSession, url: str, program: Program
    ) -> bool:
        if program.status is not None:
            raise DemoError(
                f"A part of the demo did not start: the logs in {self._folder.path} say why."
            )
        try:
            async with session.get(url) as response:
                return response.status == 200
        except aiohttp.ClientError, TimeoutError:
            return False

    async def _watch_home_assistant(self, environment: dict[str, str]) -> None:
        program = self._home_assistant
        while program and await program.wait() == _RESTART:
            _say("Home Assistant restarts")
            program = await self._launch(environment)
        raise DemoError(
            f"Home Assistant has ended by itself: {self._folder.log} says why."
        )

    async def _watch_simulator(self, session: aiohttp.ClientSession) -> None:
        while self._simulator and self._simulator.status is None:
            await self._keep_meters(session)
            try:
                async with asyncio.timeout(_METERS_INTERVAL):
                    await self._simulator.wait()
            except TimeoutError:
                continue
        raise DemoError(
            f"The simulated cloud has ended by itself: {self._folder.simulator_log} says why."
        )

    def _meters(self) -> Meters:
        return Meters(self._folder.path / "meters.json")

    def _guest_hooks(self) -> GuestHooks:
        return GuestHooks(self._folder.path / "web_hooks.json")

    async def _keep_meters(self, session: aiohttp.ClientSession) -> None:
        """Store the meters, and the web hooks of the guests."""
        try:
            async with session.get(f"{self._control_url}/api/state") as response:
                state = await response.json()
            self._meters().keep(state)
            for item in state["installations"]:
                if item["name"] == GUESTS:
                    url = f"{self._control_url}/api/installations/{item['id']}"
                    async with session.get(url) as response:
                        self._guest_hooks().keep(await response.json())
        except aiohttp.ClientError, TimeoutError:
            # The simulator has ended. The meters stored last are good enough.
            return

    async def _stop_home_assistant(self) -> None:
        if self._home_assistant:
            if self._home_assistant.status is None:
                _say("Ending Home Assistant")
            await self._home_assistant.stop(_HOME_ASSISTANT_PATIENCE)

    async def _stop_simulator(self, session: aiohttp.ClientSession) -> None:
        if self._simulator:
            await self._keep_meters(session)
            await self._simulator.stop(_SIMULATOR_PATIENCE)


async def _until(
    condition: Callable[[], Awaitable[bool]], what: str, patience: float
) -> None:
    """Wait for a condition.

    Raises:
        DemoError: The condition is not met within `patience` seconds.
    """
    try:
        async with asyncio.timeout(patience):
            while not await condition():
                await asyncio.sleep(0.25)
    except TimeoutError:
        raise DemoError(
            f"{what} did not arrive within {patience:.0f} s; the logs may say why."
        ) from None


async def _supervise(demo: Demo, work: Coroutine[Any, Any, None]) -> None:
    """Run until the demo ends or a signal arrives; a second signal kills everything."""
    task = asyncio.ensure_future(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted:
            demo.kill()
        interrupted = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.chargers is not None and options.chargers < 1:
        parser.error("--chargers: at least 1")
    if options.speed <= 0:
        parser.error("--speed: above 0")
    if not 1024 <= options.port <= 65532:
        parser.error("--port: 1024 to 65532")
    if options.account and (options.chargers is not None or options.speed != 1):
        parser.error("--account goes without --chargers and --speed")
    default = Path(__file__).resolve().parents[2] / (
        ".demo-account" if options.account else ".demo"
    )
    folder = DemoFolder((options.folder or default).resolve())
    status = 0
    try:
        folder.acquire(reset=options.reset)
        claim(range(options.port, options.port + (1 if options.account else 5)))
        demo = Demo(options, folder)
        asyncio.run(_supervise(demo, demo.run()))
    except* DemoError as problems:
        for problem in problems.exceptions:
            print(problem, file=sys.stderr)
        status = 1
    finally:
        folder.release()
    return status


if __name__ == "__main__":
    sys.exit(main())
