"""Fixtures of the simulator's own tests."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
import json
from typing import Any

import aiohttp
import pytest

from simulator.accounts import UserRole
from simulator.charger import Charger
from simulator.clock import Clock
from simulator.scenario import (
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
    UserGroupScenario,
)
from simulator.simulator import Simulator

START = datetime(2026, 1, 5, 10, 3, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still until a test advances it."""
    return Clock(START, speed=0)


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with a Go, a garage with three Pro, and one account of each role."""
    home = InstallationScenario(
        name="Home",
        max_current=25,
        installation_type=1,
        chargers=(ChargerScenario(serial="ZAP000001", name="Carport"),),
    )
    garage = InstallationScenario(
        name="Garage",
        max_current=60,
        available_current=40,
        chargers=tuple(
            ChargerScenario(
                serial=f"ZPR00000{number}", name=f"Space {number}", firmware="3.2.2.0"
            )
            for number in (1, 2, 3)
        ),
    )
    roles = {
        "owner@example.com": UserRole.USER | UserRole.OWNER,
        "service@example.com": UserRole.MAINTAINER,
        "user@example.com": UserRole.USER,
    }
    return Scenario(
        installations=(home, garage),
        accounts=(
            *(
                AccountScenario(
                    user_name=name,
                    password="secret",
                    roles={"Home": role, "Garage": role},
                )
                for name, role in roles.items()
            ),
            AccountScenario(user_name="stranger@example.com", password="secret"),
        ),
        user_groups=(
            UserGroupScenario(
                name="Association",
                owners=("owner@example.com",),
                installations=("Garage",),
            ),
        ),
    )


@dataclass(frozen=True)
class Message:
    """A message that a charger has published."""

    state_id: int
    value: str | None
    time: datetime
    document: dict[str, Any]


def message(body: bytes) -> Message:
    """Read a body as far as these tests need it: the JSON in the binary XML."""
    document = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    return Message(
        document["StateId"],
        document.get("ValueAsString"),
        datetime.fromisoformat(document["Timestamp"]),
        document,
    )


class Listener:
    """Receives the messages of chargers, in place of the bus."""

    def __init__(self, *chargers: Charger) -> None:
        """Initialize the listener; it records from now on."""
        self.messages: list[Message] = []
        for charger in chargers:
            charger.publish = self._hear

    def _hear(self, charger: Charger, body: bytes) -> None:
        self.messages.append(message(body))

    def ids(self) -> list[int]:
        """Return the StateIds of the messages, in order."""
        return [item.state_id for item in self.messages]

    def of(self, state_id: int) -> list[Message]:
        """Return the messages of a StateId."""
        return [item for item in self.messages if item.state_id == state_id]

    def values(self, state_id: int) -> list[str | None]:
        """Return the values of a StateId."""
        return [item.value for item in self.of(state_id)]


@pytest.fixture
def world(scenario: Scenario, clock: Clock) -> Simulator:
    """Return a simulator that is not started: chargers without a network."""
    return Simulator(scenario, clock=clock)


def by_serial(simulator: Simulator, serial: str) -> Charger:
    """Return a charger."""
    return next(item for item in simulator.chargers.values() if item.serial == serial)


@pytest.fixture
def go(world: Simulator) -> Charger:
    """Return the Go at home."""
    return by_serial(world, "ZAP000001")


@pytest.fixture
def pro(world: Simulator) -> Charger:
    """Return the first Pro of the garage."""
    return by_serial(world, "ZPR000001")


@pytest.fixture
async def sim(
    socket_enabled: None, scenario: Scenario, clock: Clock
) -> AsyncGenerator[Simulator]:
    """Return a running simulator whose time stands still."""
    async with Simulator(scenario, clock=clock) as simulator:
        yield simulator


@pytest.fixture
async def session(socket_enabled: None) -> AsyncGenerator[aiohttp.ClientSession]:
    """Return an HTTP client."""
    async with aiohttp.ClientSession() as client:
        yield client


class Api:
    """An account's view of the REST service."""

    def __init__(
        self, sim: Simulator, client: aiohttp.ClientSession, token: str
    ) -> None:
        """Initialize the view with a token."""
        self._sim = sim
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    async def call(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, dict[str, Any] | list[Any] | str | None]:
        """Return status and content of an answer: JSON, text, or None when it is empty."""
        async with self.client.request(
            method, f"{self._sim.api_url}/api/{path}", headers=self.headers, **options
        ) as answer:
            text = await answer.text()
            if answer.content_type == "application/json":
                return answer.status, json.loads(text)
            return answer.status, text or None

    async def get(self, path: str, **query: Any) -> Any:
        """Return the document of a successful GET."""
        status, document = await self.call("GET", path, params=query)
        assert status == 200, document
        return document

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """Return status and content of a POST."""
        return await self.call("POST", path, json=body)


@pytest.fixture
def sign_in(sim: Simulator, session: aiohttp.ClientSession) -> Callable[[str], Api]:
    """Return a function that signs in by the first part of an account's name."""

    def make(name: str) -> Api:
        form = {
            "grant_type": "password",
            "username": f"{name}@example.com",
            "password": "secret",
        }
        token = sim.rest.tokens.issue(form)["access_token"]
        return Api(sim, session, str(token))

    return make


@pytest.fixture
async def owner(sign_in: Callable[[str], Api]) -> Api:
    """Return the API as the owner sees it."""
    return sign_in("owner")
