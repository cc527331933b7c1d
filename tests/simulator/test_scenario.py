"""Tests of scenarios, by default, by number and from a file, and of the command line."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
import signal
import socket
import ssl
import sys

import pytest

from simulator.__main__ import main
from simulator.accounts import Card, UserRole
from simulator.clock import Clock
from simulator.installation import NetworkType
from simulator.observations import Family
from simulator.scenario import (
    DEMO_USER,
    RESIDENT_USER,
    ChargerScenario,
    PastScenario,
    Scenario,
    ScenarioError,
)
from simulator.simulator import Simulator

TOML = """
seed = "a street"
refresh_tokens = true

[[installations]]
name = "Home"
max_current = 25
network_type = "IT_3_PHASE"
circuits = [20, 16]
[[installations.chargers]]
serial = "GPN000101"
name = "Carport"
circuit = 1

[[accounts]]
user_name = "me@example.com"
password = "hidden"
roles = { Home = ["USER", "OWNER"] }

[[user_groups]]
name = "Association"
owners = ["me@example.com"]
installations = ["Home"]
"""


def test_the_default_is_a_home_and_a_cooperative() -> None:
    """One Go, six Pro, and the demo account owns both."""
    world = Simulator()
    families = [
        [charger.family for charger in place.chargers]
        for place in world.installations.values()
    ]
    assert families == [[Family.GO], [Family.PRO] * 6]
    roles = world.accounts[DEMO_USER].roles
    assert set(roles) == set(world.installations)
    assert next(iter(world.accounts)) == DEMO_USER
    (group,) = world.user_groups.values()
    assert group.owners == {DEMO_USER}
    assert group.installations == set(world.installations)


@pytest.mark.parametrize(("count", "places"), [(1, 1), (25, 1), (26, 2), (130, 6)])
def test_any_number_of_chargers(count: int, places: int) -> None:
    """The chargers are in several installations, each once."""
    world = Simulator(Scenario.of(count))
    assert len(world.chargers) == count
    assert len(world.installations) == places
    assert len({charger.serial for charger in world.chargers.values()}) == count


def test_no_charger_is_no_scenario() -> None:
    """A scenario needs at least one charger."""
    with pytest.raises(ScenarioError):
        Scenario.of(0)


def test_a_scenario_file(tmp_path: Path) -> None:
    """TOML and JSON give the same scenario, with the same ids each time."""
    path = tmp_path / "street.toml"
    path.write_text(TOML)
    scenario = Scenario.load(path)
    (place,) = scenario.installations
    assert place.network_type is NetworkType.IT_3_PHASE
    assert place.chargers[0].family is Family.GO
    assert scenario.accounts[0].roles == {"Home": UserRole.USER | UserRole.OWNER}
    assert "hidden" not in repr(scenario)
    assert scenario.refresh_tokens
    assert Simulator(scenario).rest.tokens.gives_refresh_tokens
    assert not Simulator().rest.tokens.gives_refresh_tokens
    document = {
        "seed": "a street",
        "refresh_tokens": True,
        "installations": [
            {
                "name": "Home",
                "max_current": 25,
                "network_type": "IT_3_PHASE",
                "circuits": [20, 16],
                "chargers": [{"serial": "GPN000101", "name": "Carport", "circuit": 1}],
            }
        ],
        "accounts": [
            {
                "user_name": "me@example.com",
                "password": "hidden",
                "roles": {"Home": ["USER", "OWNER"]},
            }
        ],
        "user_groups": [
            {
                "name": "Association",
                "owners": ["me@example.com"],
                "installations": ["Home"],
            }
        ],
    }
    other = tmp_path / "street.json"
    other.write_text(json.dumps(document))
    assert Scenario.load(other) == scenario
    world = Simulator(scenario)
    assert list(world.chargers) == list(Simulator(scenario).chargers)
    (charger,) = world.chargers.values()
    assert charger.circuit.max_current == 16
    (group,) = world.user_groups.values()
    assert group.owners == {"me@example.com"}
    assert group.installations == {charger.installation.id}
    assert group.bus_key not in repr(group)


CARDS = 'password = "hidden"\ncards = [{ name = "Blue", code = "04B1" }]'
PAST = """
[[installations]]
name = "Garage"
[installations.past]
days = 60
sessions_per_week = 3
end = 2026-11-01T00:00:00
[[installations.drivers]]
full_name = "Ada Driver"
email = "ada@example.com"
cards = [{ name = "Key ring", code = "04A1" }, { name = "Spare", code = "04A2" }]
[[installations.chargers]]
serial = "ZPR000101"
name = "Space 1"
"""


def test_a_file_with_a_past(tmp_path: Path) -> None:
    """TOML and JSON write a time differently; a code is not shown."""
    path = tmp_path / "street.toml"
    path.write_text(TOML.replace('password = "hidden"', CARDS) + PAST)
    scenario = Scenario.load(path)
    home, garage = scenario.installations
    assert (home.past, home.drivers) == (None, ())
    end = datetime(2026, 11, 1, tzinfo=UTC)
    assert garage.past == PastScenario(days=60, sessions_per_week=3, end=end)
    (driver,) = garage.drivers
    assert driver.cards == (Card("Key ring", "04A1"), Card("Spare", "04A2"))
    assert scenario.accounts[0].cards == (Card("Blue", "04B1"),)
    assert "04A1" not in repr(scenario)
    for text in ("2026-11-01T00:00:00", "2026-11-01T01:00:00+01:00"):
        document = {
            "accounts": [],
            "installations": [{"name": "Garage", "past": {"days": 60, "end": text}}],
        }
        (place,) = Scenario.from_document(document).installations
        assert place.past == PastScenario(days=60, end=end)
    world = Simulator(scenario)
    _, item = world.installations.values()
    assert [account.user_name for account in item.drivers] == ["ada@example.com"]
    assert "ada@example.com" not in world.accounts
    assert world.accounts["me@example.com"].cards == (Card("Blue", "04B1"),)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("days = 60", "days = -1"), "on some days"),
        (("sessions_per_week = 3", "sessions_per_week = 169"), "168 sessions a week"),
        (("sessions_per_week = 3", "anonymous = 1.5"), "between 0 and 1"),
        (("sessions_per_week = 3", "weekly = 3"), "weekly"),
        (("2026-11-01T00:00:00", '"in autumn"'), "in autumn"),
        (('full_name = "Ada Driver"', ""), "full_name"),
        (('name = "Spare"', 'title = "Spare"'), "title"),
    ],
)
def test_a_wrong_past_is_explained(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    """The message names the error in one sentence."""
    path = tmp_path / "street.toml"
    path.write_text(TOML + PAST.replace(*change))
    with pytest.raises(ScenarioError, match=reason):
        Scenario.load(path)


def test_users_of_an_installation_are_its_drivers() -> None:
    """Without drivers of its own, the accounts with the role of a user have charged there."""
    scenario = Scenario.default().with_past(PastScenario(days=60, anonymous=0))
    home, cooperative = scenario.installations
    without = replace(scenario, installations=(home, replace(cooperative, drivers=())))
    assert drivers(without) == [{DEMO_USER}, {DEMO_USER, RESIDENT_USER}]
    names = {item.email for item in cooperative.drivers}
    assert drivers(scenario) == [{DEMO_USER}, names]


def drivers(scenario: Scenario) -> list[set[str]]:
    """Return who has charged at each installation."""
    world = Simulator(scenario)
    now = world.clock.now()
    return [
        {
            item.user.user_name
            for item in world.archive.listed(
                start=now - timedelta(days=61), end=now, installation_id=place.id
            )
            if item.user
        }
        for place in world.installations.values()
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("GPN000101", "XXX1"), "XXX1"),
        (("circuit = 1", "circuit = 2"), "no such circuit"),
        (("IT_3_PHASE", "DC"), "DC"),
        (("OWNER", "KING"), "KING"),
        (("roles = { Home", "roles = { House"), "House"),
        (('installations = ["Home"]', 'installations = ["House"]'), "House"),
        (('owners = ["me@', 'owners = ["you@'), "you@example.com"),
        (("owners =", "kings ="), "kings"),
        (("max_current", "largest_current"), "largest_current"),
        (('name = "Carport"', ""), "name"),
        (("[[accounts]]", "[[accounts"), "street.toml"),
    ],
)
def test_a_wrong_file_is_explained(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    """The message names the error in one sentence."""
    path = tmp_path / "street.toml"
    path.write_text(TOML.replace(*change))
    with pytest.raises(ScenarioError, match=reason):
        Scenario.load(path)


def test_a_missing_file_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file is explained, on the command line, too."""
    assert main(["--scenario", str(tmp_path / "none.toml")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["--chargers", "0"]) == 2
    assert main(["--past", "-1"]) == 2
    assert "on some days" in capsys.readouterr().err
    assert main(["--host", "0.0.0.0"]) == 2
    assert "this machine only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("serial", "family"),
    [("ZAP1", Family.GO), ("GPG1", Family.GO), ("ZCH1", Family.PRO)],
)
def test_the_serial_determines_the_family(serial: str, family: Family) -> None:
    """The first three letters of a serial determine the family."""
    assert ChargerScenario(serial=serial, name="x").family is family


@pytest.mark.usefixtures("socket_enabled")
@pytest.mark.parametrize("option", ["--rest-port", "--bus-port", "--control-port"])
def test_a_port_in_use_is_one_sentence(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """The error is one sentence, and no server is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = ["--rest-port", "0", "--bus-port", "0", "--control-port", "0"]
        ports[ports.index(option) + 1] = port
        assert main(ports) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"port {port} is in use" in error


@pytest.mark.usefixtures("socket_enabled")
async def test_the_command_runs_until_interrupted() -> None:
    """The command prints its addresses and accounts, and ends cleanly."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", "--autoplay", "--past", "30"),
        *("--rest-port", "0", "--bus-port", "0", "--control-port", "0"),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not lines or "Ctrl-C" not in lines[-1]:
            line = await process.stdout.readline()
            assert line
            lines.append(line.decode())
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    text = "".join(lines)
    assert text.count("http://127.0.0.1:") == 2
    assert DEMO_USER in text
    assert (process.returncode, errors) == (0, b"")


async def test_the_bus_speaks_tls(socket_enabled: None) -> None:
    """The bus uses a certificate that a client can trust explicitly."""
    async with Simulator(Scenario.of(1), tls=True) as sim:
        place = next(iter(sim.installations.values()))
        assert sim.connection_details(place)["UseSSL"] is True
        context = await asyncio.to_thread(sim.client_ssl_context)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", sim.bus.port, ssl=context
        )
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                "127.0.0.1",
                sim.bus.port,
                ssl=await asyncio.to_thread(ssl.create_default_context),
            )


async def test_a_plain_bus_has_no_context(socket_enabled: None) -> None:
    """Without TLS there is no context, and before the start no bus."""
    sim = Simulator(Scenario.of(1))
    with pytest.raises(RuntimeError):
        _ = sim.bus
    with pytest.raises(RuntimeError):
        sim.client_ssl_context()


async def test_an_error_of_the_simulated_time_is_not_lost(socket_enabled: None) -> None:
    """The error of a callback is raised when the simulator stops."""
    sim = Simulator(Scenario.of(1), clock=Clock(speed=1000))
    failed = asyncio.Event()

    def fail() -> None:
        failed.set()
        raise LookupError("a charger misbehaved")

    await sim.start()
    sim.clock.call_later(1, fail)
    await failed.wait()
    with pytest.raises(LookupError):
        await sim.stop()
