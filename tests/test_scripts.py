"""The scripts, as far as they can be tested without installing anything."""

import asyncio
from datetime import UTC, datetime, timedelta
import json
import os
from pathlib import Path
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from typing import Any
from unittest.mock import AsyncMock, patch

import aiohttp
import pytest

from custom_components.zaptec.history.statistics import statistic_id
from scripts.demo_home import __main__ as demo, hass, past as demo_past
from scripts.demo_home.dashboard import (
    Device,
    dashboard,
    energy_preferences,
    guide,
    installations,
    is_complete,
    with_address,
)
from scripts.demo_home.errors import DemoError
from scripts.demo_home.folder import DemoFolder, machine_time_zone
from scripts.demo_home.guests import GuestHooks, with_guests
from scripts.demo_home.meters import Meters, to_document
from scripts.demo_home.past import with_past
from scripts.demo_home.ports import claim
from scripts.demo_home.process import Program
from simulator import portal
from simulator.car import Car
from simulator.observations import StateId
from simulator.scenario import DEMO_USER, Scenario
from simulator.simulator import Simulator

ROOT = Path(__file__).resolve().parents[1]
SHELL_SCRIPTS = [
    ".ci/run",
    "scripts/benchmark",
    "scripts/demo",
    "scripts/python.sh",
    "scripts/release_notes",
    "scripts/test",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the scripts, with a stub for Python that only prints its arguments."""
    checkout = tmp_path / "a checkout"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for name in (
        ".ci/run",
        "scripts/test",
        "scripts/benchmark",
        "scripts/demo",
        "scripts/python.sh",
    ):
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    shutil.copy(ROOT / "requirements_test.txt", checkout)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(
        '#!/bin/sh\n[ "$1" = -c ] && exit 0\nprintf "%s " "$@"\necho\n'
        '[ "$2" != "$FAILING" ]\n'
    )
    python.chmod(0o755)
    stamp = bash(checkout, "stamp_wanted").stdout
    (checkout / ".venv" / "complete").write_text(stamp)
    return checkout


NEWEST = "homeassistant==2026.11.0\npytest-homeassistant-custom-component==0.13.375"


@pytest.fixture
def newest(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a run with a finished .venv-newest and a stub for uv."""
    shutil.copytree(checkout / ".venv", checkout / ".venv-newest")
    tools = tmp_path / "tools"
    tools.mkdir()
    uv = tools / "uv"
    uv.write_text(
        '#!/bin/sh\ncase "$*" in *compile*) printf "%s" "$PYPI" ;; --version) ;;\n'
        '*) echo "uv $*"; esac\n'
    )
    uv.chmod(0o755)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "PYPI": NEWEST}
    stamp = bash(checkout, "use_newest; stamp_wanted", **environment).stdout
    assert "homeassistant==2026.11.0" in stamp
    (checkout / ".venv-newest" / "complete").write_text(stamp)
    return environment


def bash(
    checkout: Path, command: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with python.sh loaded, in a nearly empty environment."""
    return run(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        f"ROOT=$PWD; . scripts/python.sh; {command}",
        cwd=checkout,
        **environment,
    )


def run(
    *command: str | Path, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command without standard input, in a nearly empty environment."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", SHELL_SCRIPTS)
def test_shell_scripts_are_well_formed(name: str) -> None:
    """The scripts parse, use nothing newer than the bash 3.2 of macOS, and are executable."""
    file = ROOT / name
    text = file.read_text(encoding="utf-8")

    assert run("bash", "-n", file, cwd=ROOT).stderr == ""
    newer = r"\b(mapfile|readarray|coproc)\b|declare -[An]|\$\{\w+(,,|\^\^|@)|&>>|\|&"
    assert not re.search(newer, text)
    if text.startswith("#!"):
        assert file.stat().st_mode & stat.S_IXUSR


def test_test_script_runs_all_checks(
    checkout: Path, tmp_path: Path, newest: dict[str, str]
) -> None:
    """From any folder, the script runs what CI runs, and some tests with a newer Home Assistant.

    That Home Assistant is pinned, so a later release cannot fail the run.
    """
    newest["PYPI"] = NEWEST.replace("2026.11.0", "2026.12.0")
    result = run(checkout / ".ci" / "run", cwd=tmp_path, CI="true", **newest)

    *usual, with_newest = result.stdout.splitlines()
    assert with_newest.startswith("-m pytest -p tests.newest_kit --numprocesses ")
    files = [word for word in with_newest.split() if word.startswith("tests/")]
    assert {"tests/test_config_flow.py", "tests/test_platforms.py"} <= set(files)
    assert all((ROOT / file).is_file() for file in files)
    assert usual == [
        "-m ruff check ",
        "-m ruff format --check ",
        "-m mypy ",
        (
            f"-m pytest --numprocesses {min(8, 2 * (os.cpu_count() or 1))} --dist worksteal"
            " -m not serial --cov --cov-branch --cov-report= "
        ),
        "-m pytest -m serial --cov --cov-branch --cov-append --cov-report=term ",
        "-m coverage report --include=custom_components/zaptec/config_flow.py --fail-under=100 ",
    ]
    assert result.returncode == 0


@pytest.mark.parametrize("check", ["ruff", "mypy", "pytest", "coverage"])
def test_test_script_fails_with_any_check(
    checkout: Path, newest: dict[str, str], check: str
) -> None:
    """The script fails if any one of its checks fails."""
    result = run(checkout / "scripts" / "test", cwd=checkout, FAILING=check, **newest)

    assert result.returncode != 0
    assert "All checks passed" not in result.stderr


def test_test_script_passes_arguments_to_pytest(checkout: Path) -> None:
    """With arguments, only pytest runs, without the coverage limits."""
    result = run(checkout / "scripts" / "test", "tests/api", "-k", "a b", cwd=checkout)

    assert result.stdout == "-m pytest tests/api -k a b \n"


def test_newest_runs_all_tests_and_the_types(
    checkout: Path, newest: dict[str, str]
) -> None:
    """With --newest, all tests and the type check run, and the versions are printed."""
    result = run(checkout / "scripts" / "test", "--newest", cwd=checkout, **newest)

    several, serial, types = result.stdout.splitlines()
    kit = "-m pytest -p tests.newest_kit"
    assert several.startswith(f"{kit} --numprocesses ")
    assert several.endswith(" --dist worksteal -m not serial ")
    assert serial == f"{kit} -m serial "
    assert types == "-m mypy --cache-dir .mypy_cache/newest "
    assert "homeassistant==2026.11.0" in result.stderr
    assert result.returncode == 0


def test_newest_passes_arguments_to_pytest(
    checkout: Path, newest: dict[str, str]
) -> None:
    """With --newest and arguments, the type check is left out."""
    command = (checkout / "scripts" / "test", "--newest", "-k", "a b")
    result = run(*command, cwd=checkout, **newest)

    assert result.stdout == "-m pytest -p tests.newest_kit -k a b \n"


@pytest.mark.parametrize("check", ["pytest", "mypy"])
def test_newest_fails_with_any_check(
    checkout: Path, newest: dict[str, str], check: str
) -> None:
    """The script fails if any one of its checks fails."""
    command = (checkout / "scripts" / "test", "--newest")
    result = run(*command, cwd=checkout, FAILING=check, **newest)

    assert result.returncode != 0
    assert "All checks passed" not in result.stderr


def test_newest_follows_a_release(checkout: Path, newest: dict[str, str]) -> None:
    """A newer Home Assistant on PyPI replaces the one that is installed."""
    newest["PYPI"] = NEWEST.replace("2026.11.0", "2026.11.1")
    command = (checkout / "scripts" / "test", "--newest", "tests")
    result = run(*command, cwd=checkout, **newest)

    assert result.stdout == "-m pytest -p tests.newest_kit tests \n"
    assert "uv pip install" in result.stderr
    assert "--override" in result.stderr
    pins = (checkout / ".venv-newest" / "pins").read_text()
    assert pins.splitlines() == newest["PYPI"].splitlines()


def test_newest_without_a_network(checkout: Path, newest: dict[str, str]) -> None:
    """Without a network the packages of an earlier run are used, or else one sentence says so."""
    newest["PYPI"] = ""
    command = (checkout / "scripts" / "test", "--newest", "tests")
    (checkout / ".venv-newest" / "pins").write_text(f"{NEWEST}\n")
    result = run(*command, cwd=checkout, **newest)
    assert result.stdout == "-m pytest -p tests.newest_kit tests \n"
    assert "uv pip install" not in result.stderr

    shutil.rmtree(checkout / ".venv-newest")
    result = run(*command, cwd=checkout, **newest)
    assert result.returncode == 1
    assert result.stderr.startswith("PyPI cannot be reached")


def test_beta_accepts_what_is_not_released_yet(
    checkout: Path, newest: dict[str, str], tmp_path: Path
) -> None:
    """Only with --beta, uv is asked for pre-releases, too."""
    uv = tmp_path / "tools" / "uv"
    uv.write_text(
        '#!/bin/sh\ncase "$*" in *"--prerelease allow"*) printf "%s" "$BETA" ;;\n'
        '*compile*) printf "%s" "$PYPI" ;; --version) ;; *) echo "uv $*"; esac\n'
    )
    beta = NEWEST.replace("2026.11.0", "2026.12.0b3")
    script = checkout / "scripts" / "test"
    result = run(script, "--newest", "tests", cwd=checkout, BETA=beta, **newest)
    assert "2026.12.0b3" not in result.stderr

    result = run(script, "--beta", "tests", cwd=checkout, BETA=beta, **newest)
    assert result.stdout == "-m pytest -p tests.newest_kit tests \n"
    assert "homeassistant==2026.12.0b3" in result.stderr
    pins = (checkout / ".venv-newest" / "pins").read_text()
    assert pins.splitlines() == beta.splitlines()


def test_oldest_is_what_hacs_json_names(checkout: Path, newest: dict[str, str]) -> None:
    """HACS lets users install the integration with that release."""
    document = json.loads((ROOT / "hacs.json").read_text("utf-8"))
    shutil.copy(ROOT / "hacs.json", checkout)
    command = (checkout / "scripts" / "test", "--oldest", "tests")
    result = run(*command, cwd=checkout, **newest)

    assert result.stdout == "-m pytest -p tests.newest_kit tests \n"
    pins = (checkout / ".venv-newest" / "pins").read_text()
    assert pins.startswith(f"homeassistant=={document['homeassistant']}\n")
    assert "\npytest-homeassistant-custom-component==" in pins


def test_environments_do_not_share_packages(
    checkout: Path, newest: dict[str, str]
) -> None:
    """The usual environment keeps the versions that it is pinned to."""
    result = bash(checkout, "echo $VENV; stamp_wanted", **newest)

    assert "homeassistant" not in result.stdout
    assert result.stdout.splitlines()[0].endswith("/.venv")


def test_demo_script_starts_the_demo(checkout: Path) -> None:
    """The demo script passes its arguments on."""
    result = run(checkout / "scripts" / "demo", "--port", "9000", cwd=checkout)

    assert result.stdout == "-P -m scripts.demo_home --port 9000 \n"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("rm .venv/complete", id="interrupted"),
        pytest.param("echo more >> requirements_test.txt", id="other requirements"),
        pytest.param("rm .venv/bin/python", id="no interpreter"),
        pytest.param("ln -sf /nowhere .venv/bin/python", id="dead interpreter"),
        pytest.param("echo elsewhere >> .venv/complete", id="moved"),
    ],
)
def test_environment_is_made_again_when_it_must(checkout: Path, change: str) -> None:
    """An incomplete or outdated environment is made again."""
    assert bash(checkout, "is_ready").returncode == 0
    run("bash", "-c", change, cwd=checkout)

    assert bash(checkout, "is_ready").returncode != 0


def test_moved_checkout_is_not_whole(checkout: Path) -> None:
    """After the checkout was moved, the environment is made again; its paths are absolute."""
    moved = checkout.rename(checkout.parent / "moved")

    assert bash(moved, "is_whole").returncode != 0
    assert bash(moved, "is_ready").returncode != 0


def test_home_that_is_none_is_replaced(checkout: Path) -> None:
    """If the home directory does not exist (a service account), caches go into the checkout."""
    result = bash(checkout, 'echo "$HOME"', HOME="/nonexistent")

    assert result.stdout.strip() == str(checkout / ".python")


@pytest.mark.parametrize("has_flock", [True, False])
def test_lock_keeps_a_second_run_waiting(checkout: Path, has_flock: bool) -> None:
    """A second run waits for the lock of the first, unless the first was killed."""
    if has_flock and shutil.which("flock") is None:
        pytest.skip("This machine has no flock")
    prepare = (
        ""
        if has_flock
        else """
        command() { return 1; }
        mkdir "$PRIVATE/lock.d"
        echo 999999 >"$PRIVATE/lock.d/pid"
        """
    )
    result = bash(
        checkout,
        f"""
        mkdir "$PRIVATE"
        {prepare}
        lock
        echo first
        (
          say() {{ touch waits; }}
          lock
          echo second
          unlock
        ) &
        until [ -e waits ]; do sleep 0.02; done
        echo released
        unlock
        wait
        """,
    )

    assert result.stdout.split() == ["first", "released", "second"], result.stderr


def test_missing_tools_are_named_in_one_sentence(
    checkout: Path, tmp_path: Path
) -> None:
    """Without uv and python3, one sentence says what to install."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "cksum", "dirname", "flock", "mkdir", "rm", "tail"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    (checkout / ".venv" / "complete").unlink()

    result = run(checkout / "scripts" / "test", cwd=checkout, PATH=str(tools))

    assert result.returncode == 1
    assert result.stderr.startswith("uv is needed")
    assert len(result.stderr.splitlines()) == 1


def test_demo_folder_is_private_and_signed_in(tmp_path: Path) -> None:
    """The demo's Home Assistant has an owner, needs no onboarding, and listens on loopback only."""
    folder = DemoFolder(tmp_path / "demo")
    folder.acquire()
    folder.prepare(name="A home", port=9999)
    # Webhooks have the address at which the demo listens, not the machine's own.
    configuration = (folder.configuration / "configuration.yaml").read_text()
    assert "internal_url: http://127.0.0.1:9999" in configuration
    storage = folder.configuration / ".storage"
    http = json.loads((storage / "http").read_text())["data"]
    auth = json.loads((storage / "auth").read_text())["data"]
    folder.release()

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert http["stable"]["server_host"] == ["127.0.0.1"]
    assert http["stable"]["server_port"] == 9999
    assert [user["is_owner"] for user in auth["users"]] == [True]
    assert auth["refresh_tokens"] == []
    link = folder.configuration / "custom_components" / "zaptec" / "manifest.json"
    assert link.exists()
    assert "/" in machine_time_zone()


def test_demo_folder_keeps_what_home_assistant_stored(tmp_path: Path) -> None:
    """A second start may change the port but keeps the users; a reset starts from scratch."""
    folder = DemoFolder(tmp_path)
    auth = folder.configuration / ".storage" / "auth"
    folder.acquire()
    folder.prepare(name="A home", port=9999)
    before = auth.read_text()
    folder.prepare(name="A home", port=9998)
    assert auth.read_text() == before
    folder.release()

    folder.acquire(reset=True)
    assert not auth.exists()
    folder.release()


def test_demo_folder_has_the_blueprints(tmp_path: Path) -> None:
    """A user can create automations from them, which a second start keeps."""
    folder = DemoFolder(tmp_path)
    folder.acquire()
    folder.prepare(name="A home", port=9999)
    automations = folder.configuration / "automations.yaml"
    automations.write_text("[]", encoding="utf-8")
    folder.prepare(name="A home", port=9999)
    folder.release()

    assert automations.read_text(encoding="utf-8") == "[]"
    configuration = (folder.configuration / "configuration.yaml").read_text()
    assert "automation: !include automations.yaml" in configuration
    blueprints = folder.configuration / "blueprints/automation/zaptec"
    assert sorted(file.name for file in blueprints.iterdir()) == [
        "ask_on_phone.yaml",
        "company_car.yaml",
        "monthly_statement.yaml",
        "permit_at_home.yaml",
        "permit_residents.yaml",
    ]


def test_demo_folder_in_use_or_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second demo in the same folder, or a folder with other files, is refused in one sentence."""
    folder = DemoFolder(tmp_path / "demo")
    folder.acquire()
    assert demo.main(["--no-browser", "--folder", str(folder.path)]) == 1
    assert "is running already" in capsys.readouterr().err
    folder.release()

    (tmp_path / "mine.txt").touch()
    assert demo.main(["--reset", "--folder", str(tmp_path)]) == 1
    assert "has other things in it" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.usefixtures("socket_enabled")
def test_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is in use is refused with one sentence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DemoError, match=f"Port {port} of this machine is in use"):
            claim(range(port, port + 2))
        status = demo.main(["--port", str(port), "--folder", str(tmp_path / "demo")])

    assert status == 1
    assert "is in use; choose others with --port" in capsys.readouterr().err
    claim(range(port, port + 1))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--chargers", "0"],
        ["--speed", "0"],
        ["--port", "80"],
        ["--account", "--speed", "2"],
    ],
)
def test_demo_options_that_make_no_sense(arguments: list[str]) -> None:
    """Invalid options are refused before anything starts."""
    with pytest.raises(SystemExit):
        demo.main(arguments)


def test_demo_opens_no_browser_without_a_display(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine without a display no browser is opened, and a message says so."""
    options = demo._parser().parse_args([])
    shown = demo.Demo(options, DemoFolder(tmp_path))
    with (
        patch.dict(os.environ, {"DISPLAY": "", "WAYLAND_DISPLAY": ""}),
        patch.object(sys, "platform", "linux"),
        patch("webbrowser.open", return_value=True) as opened,
    ):
        shown._print_instructions()
        assert not opened.called
        assert "open the address above yourself" in capsys.readouterr().out

        os.environ["DISPLAY"] = ":0"
        shown._print_instructions()
        opened.assert_called_once_with("http://127.0.0.1:8123")


def test_demo_says_what_a_newcomer_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo prints both accounts with their passwords, the free charger, and autoplay."""
    options = demo._parser().parse_args(["--no-browser"])
    demo.Demo(options, DemoFolder(tmp_path))._print_instructions()
    text = capsys.readouterr().out

    for account in Scenario.default().accounts:
        assert f"{account.user_name}, password {account.password}" in text
    assert "Autoplay is on" in text
    assert "Carport is left free for you" in text
    assert "Autoplay pauses once you change something" in text
    assert "Guest parking is for webhooks" in text


def test_demo_of_an_own_account_has_no_autoplay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an account in the real cloud there is no simulator, and so no autoplay."""
    options = demo._parser().parse_args(["--no-browser", "--account"])
    demo.Demo(options, DemoFolder(tmp_path))._print_instructions()

    assert "utoplay" not in capsys.readouterr().out


async def test_demo_keeps_the_log_file(tmp_path: Path) -> None:
    """The log file is kept, so that the log page of Home Assistant can show it."""
    folder = DemoFolder(tmp_path)
    shown = demo.Demo(demo._parser().parse_args([]), folder)
    with patch.object(demo.Program, "start", AsyncMock()) as start:
        await shown._launch({"ZAPTEC_API_URL": "http://127.0.0.1:1"})

    assert start.call_args.kwargs["environment"] == {
        "ZAPTEC_API_URL": "http://127.0.0.1:1"
    }


async def test_programs_end_in_time(tmp_path: Path) -> None:
    """A program that does not end in time is killed."""
    log = tmp_path / "log"
    deaf = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); signal.pause()"
    )
    program = await Program.start("-c", deaf, log=log)
    async with asyncio.timeout(60):
        while "up" not in log.read_text():
            await asyncio.sleep(0.01)
        await program.stop(0.05)

    assert program.status == -signal.SIGKILL


def test_demo_ends_within_three_seconds() -> None:
    """The demo ends within three seconds of Ctrl-C, however busy the machine is."""
    assert demo._HOME_ASSISTANT_PATIENCE + demo._SIMULATOR_PATIENCE < 3


def test_home_assistant_is_not_freed_at_its_end() -> None:
    """The process exits without freeing all objects, which would take Python seconds."""
    with (
        patch.object(hass, "main", return_value=100),
        patch.object(hass, "stand_in", return_value=[]),
        patch.object(hass.logging, "shutdown") as shutdown,
        patch.object(hass.os, "_exit", side_effect=SystemExit) as leave,
        pytest.raises(SystemExit),
    ):
        hass.run()

    shutdown.assert_called_once_with()
    leave.assert_called_once_with(100)


def test_meters_go_on_where_they_were(tmp_path: Path) -> None:
    """The meters of the next demo start at the readings of the last one."""
    scenario = Scenario.default()
    serial = scenario.installations[0].chargers[0].serial
    charger = {"serial": serial, "lifetime_energy": 4321.5}
    Meters(tmp_path / "meters.json").keep({"installations": [{"chargers": [charger]}]})

    continued = Meters(tmp_path / "meters.json").continue_in(scenario)

    assert continued.installations[0].chargers[0].lifetime_energy == 4321.5
    assert continued.installations[1] == scenario.installations[1]


def test_the_demo_has_an_installation_for_web_hooks() -> None:
    """The demo account owns it, and its cars charge before web hooks are set up."""
    simulator = Simulator(with_guests(Scenario.default()))
    *others, guests = simulator.installations.values()
    assert guests.name == "Guest parking"
    assert (guests.authentication_type, guests.uses_web_hooks) == (1, False)
    assert {item.authentication_type for item in others} == {0}
    assert simulator.accounts[DEMO_USER].manages(guests.id)
    (group,) = simulator.user_groups.values()
    assert guests.id in group.installations
    charger = guests.chargers[0]
    charger.plug_in(Car())
    simulator.clock.advance(60)
    assert charger.is_authorized
    options = demo._parser().parse_args(["--chargers", "3"])
    assert demo.Demo(options, DemoFolder(Path("demo")))._guest_lines() == []


def test_web_hooks_go_on_in_the_next_demo(tmp_path: Path) -> None:
    """Addresses that were entered on the page are those of the next demo, until removed."""
    scenario = with_guests(Scenario.default())
    file = tmp_path / "web_hooks.json"
    kept = GuestHooks(file)
    assert kept.continue_in(scenario) == scenario
    simulator = Simulator(scenario)
    guests = list(simulator.installations.values())[-1]
    guests.set_web_hooks("http://127.0.0.1/start", "", "zaptec", "demo")
    kept.keep(portal.shown(guests))
    assert file.stat().st_mode & 0o077 == 0
    continued = kept.continue_in(scenario)
    assert continued.installations[-1].web_hooks == guests.web_hooks
    assert continued.installations[:-1] == scenario.installations[:-1]
    guests.set_authentication_type(0)
    kept.keep(portal.shown(guests))
    assert kept.continue_in(scenario).installations[-1].web_hooks is None
    file.write_text('{"colour": 1}', encoding="utf-8")
    assert kept.continue_in(scenario) == scenario


async def test_the_demo_keeps_what_the_page_has_set(
    socket_enabled: None, tmp_path: Path
) -> None:
    """The meters and the web hooks are read from the simulator's page."""
    shown = demo.Demo(demo._parser().parse_args([]), DemoFolder(tmp_path))
    async with (
        Simulator(shown._scenario) as simulator,
        aiohttp.ClientSession() as session,
    ):
        guests = list(simulator.installations.values())[-1]
        guests.set_web_hooks("http://127.0.0.1/start", "", "zaptec", "demo")
        shown._control_port = int(simulator.control_url.rsplit(":", 1)[1])
        await shown._keep_meters(session)
    continued = shown._guest_hooks().continue_in(shown._scenario)
    assert continued.installations[-1].web_hooks == guests.web_hooks
    assert (tmp_path / "meters.json").exists()


def test_scenario_survives_its_file(tmp_path: Path) -> None:
    """The simulator reads the same scenario that the demo wrote."""
    scenario = with_guests(Scenario.default())
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(to_document(scenario)), encoding="utf-8")

    assert Scenario.load(file) == scenario


def test_the_past_of_the_demo_does_not_change(tmp_path: Path) -> None:
    """A later demo has the sessions of the first one, and the meters go on behind them."""
    file = tmp_path / "scenario.json"
    scenario = with_guests(Scenario.default())
    first = with_past(scenario, file)
    file.write_text(json.dumps(to_document(first)), encoding="utf-8")
    past = first.installations[0].past
    assert past
    assert past.end
    assert datetime.now(UTC) - past.end < timedelta(minutes=5)
    with patch.object(demo_past, "datetime") as later:
        later.now.return_value = datetime.now(UTC) + timedelta(days=9)
        second = with_past(scenario, file)
        assert second == first
        file.write_text("{", encoding="utf-8")
        third = with_past(scenario, file)
    assert third.installations[0].past != past
    simulator = Simulator(second)
    now = simulator.clock.now()
    for installation in simulator.installations.values():
        for charger in installation.chargers:
            sessions = list(
                simulator.archive.listed(
                    start=now - timedelta(days=150), end=now, charger_id=charger.id
                )
            )
            assert 40 <= len(sessions) <= 85
            assert charger.lifetime_energy >= sessions[-1].readings[-1].energy - 0.001
            # The page of each charger shows its last session.
            assert charger.observations[StateId.COMPLETED_SESSION].value


def test_stand_ins_only_for_what_is_missing() -> None:
    """Stubs replace only packages that are missing, so that the voice pipeline can be imported."""
    with (
        patch.dict(sys.modules),
        patch.object(hass, "_COMPILED", {"no_such_module": "Thing", "json": "Other"}),
    ):
        assert hass.stand_in() == ["no-such-module"]
        assert isinstance(sys.modules["no_such_module"].Thing(), object)
        assert sys.modules["json"] is json


KEYS = {
    "number.max_current": "charger_max_current",
    "sensor.meter": "signed_meter_value_kwh",
    "sensor.power": "total_charge_power",
    "sensor.status": "charging_status",
    "switch.charging": "charger_operation_mode",
}


def registries(chargers: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the device and entity registries of an installation with a number of chargers."""
    devices = [
        {
            "id": "d0",
            "identifiers": [["zaptec", "guid0"]],
            "name": "Garage",
            "name_by_user": None,
            "via_device_id": None,
        },
        {
            "id": "other",
            "identifiers": [["sun", "x"]],
            "name": "Sun",
            "name_by_user": None,
            "via_device_id": None,
        },
    ]
    entities = [
        _entity("d0", "guid0", "select.phases", "phase_mode"),
        _entity("d0", "guid0", "sensor.push", "push_status"),
    ]
    for number in range(1, chargers + 1):
        guid = f"guid{number}"
        devices.append(
            {
                "id": f"d{number}",
                "identifiers": [["zaptec", guid]],
                "name": f"Space {number}",
                "name_by_user": "Mine" if number == 1 else None,
                "via_device_id": "d0",
            }
        )
        entities += [
            _entity(f"d{number}", guid, f"{entity_id}_{number}", key)
            for entity_id, key in KEYS.items()
        ]
    return devices, entities


def _entity(device_id: str, guid: str, entity_id: str, key: str) -> dict[str, Any]:
    return {
        "device_id": device_id,
        "entity_id": entity_id,
        "unique_id": f"{guid}_{key}",
        "platform": "zaptec",
        "disabled_by": None,
    }


def _entities_shown(found: list[Device]) -> set[str]:
    document = json.dumps(dashboard(found, "A guide"))
    return set(re.findall(r'"((?:sensor|select|switch|number)\.\w+)"', document))


def test_dashboard_shows_each_charger() -> None:
    """Every important entity is on the dashboard, under the name of its charger."""
    found = installations(*registries(2))
    view = dashboard(found, "A guide")["views"][0]

    assert [section["cards"][0]["heading"] for section in view["sections"]] == [
        "Garage",
        "Mine",
        "Space 2",
        "Garage: history",
    ]
    assert _entities_shown(found) == {
        "select.phases",
        "sensor.push",
        *(f"{entity_id}_{number}" for entity_id in KEYS for number in (1, 2)),
    }


def test_dashboard_has_the_switch_before_the_charts() -> None:
    """The Charging switch comes first, because on a phone all sections are below each other."""
    two = [*installations(*registries(2)), *installations(*registries(1))]
    view = dashboard(two, "A guide")["views"][0]
    cards = [card for section in view["sections"] for card in section["cards"]]
    kinds = [card["type"] for card in cards]
    switches = [
        number
        for number, card in enumerate(cards)
        if str(card.get("entity", "")).startswith("switch.")
    ]

    assert len(switches) == 3
    assert max(switches) < kinds.index("history-graph")
    assert view["sections"][1]["cards"][1]["name"] == "Charging allowed"


def test_dashboard_has_room_for_the_charging_status() -> None:
    """A status such as *Waiting for authorization* needs the whole width of a section."""
    view = dashboard(installations(*registries(1)), "A guide")["views"][0]
    widths = {
        card["entity"]: card.get("grid_options")
        for card in view["sections"][1]["cards"]
        if card["type"] == "tile"
    }

    assert widths["sensor.status_1"] == {"columns": "full"}
    assert widths["sensor.power_1"] is None


def test_dashboard_shows_the_past() -> None:
    """A new demo has a chart with what its chargers have charged before."""
    view = dashboard(installations(*registries(2)), "A guide")["views"][0]
    chart = view["sections"][-1]["cards"][-1]

    assert chart["type"] == "statistics-graph"
    assert chart["entities"] == [
        {"entity": statistic_id("guid1"), "name": "Mine"},
        {"entity": statistic_id("guid2"), "name": "Space 2"},
    ]


def test_dashboard_says_how_to_begin() -> None:
    """The dashboard links to the simulator's page, also if a later run uses another port."""
    text = guide("http://127.0.0.1:8126", "Carport")
    shown = dashboard(installations(*registries(13)), text)
    assert shown["views"][0]["header"]["card"]["content"] == text
    assert "Carport is free" in text
    assert "autoplay" in text

    moved = with_address(shown, "http://127.0.0.1:9003")
    text = guide("http://127.0.0.1:9003", "Carport")
    assert moved["views"][0]["header"]["card"]["content"] == text
    assert with_address({"views": []}, "http://127.0.0.1:9003") == {"views": []}


def test_dashboard_leaves_out_what_is_disabled_or_missing() -> None:
    """A charger whose entities are disabled or missing is shown with those that exist."""
    devices, entities = registries(1)
    entities[2]["disabled_by"] = "user"
    found = installations(devices, entities)

    assert "number.max_current_1" not in _entities_shown(found)
    assert is_complete(found)
    assert not is_complete(installations(devices, entities[:-2]))
    assert not is_complete([])


def test_dashboard_of_many_chargers_has_a_view_for_each_installation() -> None:
    """With many chargers, each installation has its own view, so that a page stays readable."""
    few, many = installations(*registries(12)), installations(*registries(13))

    assert [view["title"] for view in dashboard(few, "")["views"]] == ["Chargers"]
    assert [view["title"] for view in dashboard(many, "")["views"]] == ["Garage"]


def test_energy_preferences_are_the_history_and_the_power() -> None:
    """Each charger is a device of the Energy dashboard, with what it has charged before.

    The id is that of the integration's statistic.
    """
    devices, entities = registries(1)
    guid = "001db54b-0c9b-5866-8438-fca277d90fc9"
    devices[-1]["identifiers"] = [["zaptec", guid]]
    for entity in entities:
        entity["unique_id"] = entity["unique_id"].replace("guid1", guid)

    preferences = energy_preferences(installations(devices, entities))

    assert preferences["device_consumption"] == [
        {
            "stat_consumption": statistic_id(guid),
            "stat_rate": "sensor.power_1",
            "name": "Mine",
        }
    ]
