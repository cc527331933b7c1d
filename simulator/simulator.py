"""A Zaptec cloud on loopback: REST, Service Bus, chargers and a control page."""

import asyncio
import base64
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
import hashlib
import ssl
from types import TracebackType
from typing import Self
import uuid

from .accounts import Account, UserRole
from .archive import Archive
from .authorization import WebHooks
from .autoplay import Autoplay
from .certificate import Certificate
from .charger import LATEST_FIRMWARE, Charger, Device
from .clock import Clock
from .control import Control
from .documents import Document
from .endpoints.call import Channel, Cloud
from .installation import Circuit, Installation
from .ocmf import Meter
from .past import Identity
from .rest import Rest
from .scenario import ChargerScenario, InstallationScenario, PastScenario, Scenario
from .servicebus import ServiceBus
from .user_group import UserGroup
from .web_hooks import WebHookCaller

TOKEN_LIFETIME = 86_399


class Simulator:
    """The simulated cloud; use `async with Simulator() as sim`.

    Attributes:
        clock: The simulated time; it follows real time by its speed while the simulator runs.
        accounts: By user name.
        installations: By id.
        chargers: By id.
        user_groups: By id.
        archive: The completed sessions.
        web_hooks: The calls of the installations' web hooks, their faults and settings.
        rest: The REST service, its faults and counters.
        bus: The Service Bus, its faults and counters.
        autoplay: Cars that come and go by themselves, off at first.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        rest_port: int = 0,
        bus_port: int = 0,
        web_socket_port: int = 0,
        control_port: int = 0,
        tls: bool = False,
        token_lifetime: int = TOKEN_LIFETIME,
    ) -> None:
        """Initialize the cloud of a scenario; `start` listens.

        Args:
            scenario: Content of the cloud; a home and a housing cooperative if omitted.
            clock: The simulated time; real time if omitted.
            host: A loopback address.
            rest_port: Port of the REST service, 0: a free one.
            bus_port: Port of the Service Bus, 0: a free one.
            web_socket_port: Port of the Service Bus within a WebSocket, 0: a free one.
            control_port: Port of the control page, 0: a free one.
            tls: Whether the Service Bus speaks TLS; see `client_ssl_context`.
            token_lifetime: `expires_in` of the tokens, s of real time.
        """
        self._scenario = scenario or Scenario.default()
        self._host = host
        self._tls = tls
        self._certificate: Certificate | None = None
        self._bus_port, self._web_socket_port = bus_port, web_socket_port
        self._run: asyncio.Task[None] | None = None
        self._bus: ServiceBus | None = None
        self.clock = clock or Clock()
        self.accounts: dict[str, Account] = {}
        self.installations: dict[str, Installation[Charger]] = {}
        self.chargers: dict[str, Charger] = {}
        self.user_groups: dict[str, UserGroup] = {}
        self.archive = Archive(self.clock, self.installations)
        self.web_hooks = WebHookCaller(self.clock)
        for item in self._scenario.installations:
            self._add_installation(item)
        self._add_accounts()
        # The accounts are the users of the sessions.
        for session in self.archive.last_reports():
            self.chargers[session.charger_id].preload_session(session)
        self._add_user_groups()
        self.autoplay = Autoplay(self.clock, self.chargers, self._scenario.seed)
        self.rest = Rest(
            _cloud(self),
            self.autoplay.pause,
            host=host,
            port=rest_port,
            token_lifetime=token_lifetime,
            refresh_tokens=self._scenario.refresh_tokens,
        )
        self._control = Control(self, host, control_port)

    @property
    def bus(self) -> ServiceBus:
        """The Service Bus; there is none before `start`."""
        if self._bus is None:
            raise RuntimeError("The simulator is not started")
        return self._bus

    @property
    def channels(self) -> dict[str, Channel]:
        """The installations and user groups, each with its topic, by id."""
        return {**self.installations, **self.user_groups}

    @property
    def api_url(self) -> str:
        """Address of the REST service."""
        return self.rest.url

    @property
    def control_url(self) -> str:
        """Address of the control page."""
        return self._control.url

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Listen on the four ports.

        Raises:
            OSError: A port is in use; all servers are stopped then.
        """
        context: ssl.SSLContext | None = None
        if self._tls:
            loop = asyncio.get_running_loop()
            self._certificate = await loop.run_in_executor(None, Certificate)
            context = await loop.run_in_executor(None, self._certificate.server_context)
        self._bus = ServiceBus(
            self.clock,
            host=self._host,
            port=self._bus_port,
            web_socket_port=self._web_socket_port,
            ssl_context=context,
        )
        for channel in self.channels.values():
            self._add_topic(channel)
        try:
            await self._bus.start()
            await self.rest.start()
            await self._control.start()
        except OSError:
            await self.stop()
            raise
        self._run = asyncio.create_task(self.clock.run(), name="simulated clock")

    async def stop(self) -> None:
        """Stop all servers; raise now what a callback of the clock has raised."""
        self.autoplay.stop()
        run, self._run = self._run, None
        if run:
            run.cancel()
            await asyncio.wait((run,))
        await self._control.stop()
        await self.web_hooks.stop()
        await self.rest.stop()
        if self._bus:
            await self._bus.stop()
        if run and not run.cancelled() and (error := run.exception()):
            raise error

    async def advance(self, seconds: float) -> None:
        """Advance the time, and wait at each moment until the web hooks have answered."""
        end = self.clock.now() + timedelta(seconds=seconds)
        await self.web_hooks.settle()
        while (due := self.clock.next_event) and due <= end:
            self._advance_to(due)
            await self.web_hooks.settle()
        self._advance_to(end)

    def _advance_to(self, moment: datetime) -> None:
        rest = (moment - self.clock.now()).total_seconds()
        self.clock.advance(max(0.0, rest))

    def client_ssl_context(self) -> ssl.SSLContext:
        """Return a context that trusts the Service Bus (blocking; only with `tls`)."""
        if self._certificate is None:
            raise RuntimeError("The simulator is not started with tls")
        return self._certificate.client_context()

    def connection_details(self, channel: Channel) -> Document:
        """Return the answer of messagingConnectionDetails."""
        return {
            "Type": 0,
            "Host": self._host,
            "Port": self.bus.port,
            "UseSSL": self._tls,
            "Username": channel.topic,
            "Password": channel.bus_key,
            "Topic": channel.topic,
            "Subscription": "default",
        }

    def energy_by_hour(
        self,
        charger_id: str,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> dict[datetime, float]:
        """Return what a charger has drawn in each hour (UTC), kWh: the integral of its power.

        Hours without energy are left out.

        Args:
            charger_id: The charger.
            start: Only hours that begin at or after this time.
            end: Only hours that begin before this time.
        """
        hours = self.archive.hourly_energy(charger_id, start, end)
        hours.merge(self.chargers[charger_id].hourly_energy)
        return hours.between(start, end)

    def set_password(self, user_name: str, password: str) -> None:
        """Change a password; tokens issued before are invalid from now on."""
        self.accounts[user_name].password = password
        self.rest.tokens.revoke(user_name)

    def set_bus_key(self, channel_id: str, key: str) -> None:
        """Rotate the shared key of an installation's or a user group's topic."""
        channel = self.channels[channel_id]
        channel.bus_key = key
        self.bus.set_key(channel.topic, key)

    def add_charger(
        self,
        installation_id: str,
        *,
        serial: str,
        name: str,
        circuit: int = 0,
        lifetime_energy: float = 0.0,
    ) -> Charger:
        """Add a charger while running, of the family that its serial begins with."""
        return self._add_charger(
            self.installations[installation_id],
            ChargerScenario(
                serial=serial,
                name=name,
                circuit=circuit,
                lifetime_energy=lifetime_energy,
            ),
        )

    def remove_charger(self, charger_id: str) -> None:
        """Remove a charger while running."""
        self.chargers.pop(charger_id).remove()

    def move_charger(self, charger_id: str, installation_id: str) -> None:
        """Move a charger to another installation while running; it keeps its id."""
        self.chargers[charger_id].move(self.installations[installation_id])

    def add_installation(self, scenario: InstallationScenario) -> Installation[Charger]:
        """Add an installation while running; give an account a role to make it visible."""
        return self._add_installation(scenario)

    def remove_installation(self, installation_id: str) -> None:
        """Remove an installation with its chargers and its topic while running."""
        installation = self.installations.pop(installation_id)
        for charger in list(installation.chargers):
            self.remove_charger(charger.id)
        if self._bus:
            self._bus.remove_topic(installation.topic)

    def _add_installation(self, item: InstallationScenario) -> Installation[Charger]:
        identifier = item.id or self._scenario.identifier(item.name)
        created = self.clock.now() - timedelta(days=400)
        installation = _installation(self._scenario, item, identifier, created)
        installation.on_closed = partial(self.web_hooks.report, installation)
        self.installations[identifier] = installation
        if self._bus:
            self._add_topic(installation)
        for charger in item.chargers:
            self._add_charger(installation, charger, item.past)
        return installation

    def _add_charger(
        self,
        installation: Installation[Charger],
        item: ChargerScenario,
        past: PastScenario | None = None,
    ) -> Charger:
        identifier = item.id or self._scenario.identifier(installation.id, item.serial)
        identifier = str(uuid.UUID(identifier))
        if past:
            before = self.archive.add(
                _identity(installation, item, identifier),
                past,
                seed=self._scenario.seed,
                last_reading=item.past_reading or item.lifetime_energy,
                drivers=lambda: _users(installation, self.accounts),
            )
            # The meter has counted the past.
            reading = max(item.lifetime_energy, before.last_reading)
            item = replace(item, lifetime_energy=reading)
        charger = Charger(
            self.clock,
            self._publish,
            installation,
            item,
            id=identifier,
            seed=f"{self._scenario.seed}/{item.serial}",
            ask=self.web_hooks.ask,
        )
        self.chargers[charger.id] = charger
        return charger

    def _add_accounts(self) -> None:
        ids = {item.name: item.id for item in self.installations.values()}
        for item in self._scenario.accounts:
            self.accounts[item.user_name] = Account(
                user_name=item.user_name,
                password=item.password,
                id=self._scenario.identifier("account", item.user_name),
                full_name=item.full_name,
                roles={ids[name]: role for name, role in item.roles.items()},
                cards=item.cards,
            )

    def _add_user_groups(self) -> None:
        ids = {item.name: item.id for item in self.installations.values()}
        for item in self._scenario.user_groups:
            identifier = item.id or self._scenario.identifier("user group", item.name)
            names = ids if item.installations is None else item.installations
            self.user_groups[identifier] = UserGroup(
                id=identifier,
                name=item.name,
                bus_key=_bus_key(self._scenario, identifier),
                owners=set(item.owners),
                installations={ids[name] for name in names},
                messaging_enabled=item.messaging_enabled,
            )

    def _add_topic(self, channel: Channel) -> None:
        self.bus.add_topic(channel.topic, channel.topic, channel.bus_key)

    def _publish(self, device: Device, body: bytes) -> None:
        if self._bus is None:
            return
        self._bus.publish(device.installation.topic, body)
        for group in self.user_groups.values():
            if device.installation.id in group.installations:
                self._bus.publish(group.topic, body)


def _cloud(simulator: Simulator) -> Cloud:
    """Return what the endpoints serve."""
    return Cloud(
        simulator.clock,
        simulator.accounts,
        simulator.installations,
        simulator.chargers,
        simulator.archive,
        simulator.user_groups,
        simulator.connection_details,
    )


def _bus_key(scenario: Scenario, identifier: str) -> str:
    """Return the first key of a topic."""
    text = f"{scenario.seed}/{identifier}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _installation(
    scenario: Scenario, item: InstallationScenario, identifier: str, created: datetime
) -> Installation[Charger]:
    """Return an installation without chargers."""
    available = item.available_current
    return Installation(
        id=identifier,
        name=item.name,
        max_current=item.max_current,
        network_type=item.network_type,
        installation_type=item.installation_type,
        circuits=[
            Circuit(
                scenario.identifier(item.name, f"circuit {number}"),
                f"Circuit {number}",
                fuse,
            )
            for number, fuse in enumerate(item.circuits or (item.max_current,), 1)
        ],
        created=created,
        updated=created,
        bus_key=_bus_key(scenario, identifier),
        authentication_required=item.authentication_required,
        messaging_enabled=item.messaging_enabled,
        available_current=None if available is None else (available,) * 3,
        three_to_one_phase_switch_current=item.three_to_one_phase_switch_current,
        drivers=_drivers(scenario, item),
        authentication_type=0 if item.web_hooks is None else 1,
        web_hooks=item.web_hooks or WebHooks(),
    )


def _drivers(scenario: Scenario, item: InstallationScenario) -> list[Account]:
    """Return the users who charge at an installation; they cannot sign in."""
    return [
        Account(
            user_name=driver.email,
            password="",
            id=scenario.identifier("driver", driver.email),
            full_name=driver.full_name,
            cards=driver.cards,
        )
        for driver in item.drivers
    ]


def _identity(
    installation: Installation[Charger], item: ChargerScenario, identifier: str
) -> Identity:
    """Return a charger as its past sessions show it."""
    firmware = item.firmware or item.available_firmware or LATEST_FIRMWARE[item.family]
    meter = Meter(item.family, item.serial, firmware)
    return Identity(identifier, item.name, installation.id, meter)


def _users(
    installation: Installation[Charger], accounts: dict[str, Account]
) -> list[Account]:
    """Return who charges at an installation: its drivers, else the accounts of users."""
    return installation.drivers or [
        account
        for account in accounts.values()
        if account.role(installation.id) & UserRole.USER
    ]
