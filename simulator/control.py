"""The control page and its JSON API, for people and scripts on this machine.

Requests must name this server as Host, and as Origin if there is one, and changes must be sent as
JSON. So a page of another site in the same browser cannot control the simulator.
"""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import UTC
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from . import portal
from .accounts import Account, Card
from .archive import Archive
from .autoplay import Autoplay
from .car import Car
from .charger import Charger
from .charging import Recording
from .clock import Clock
from .endpoints.call import Channel
from .faults import FAULT_NAMES, STATUSES
from .installation import Installation
from .listener import Listener
from .observations import StateId
from .port import BLOCKS
from .rest import Rest
from .servicebus import INTERFERENCES, ServiceBus
from .user_group import UserGroup
from .web_hooks import HOOK_FAULTS, HOOKS, WebHookCaller

_PAGE = Path(__file__).with_name("control.html")
# Faults that the page offers; the API accepts any status.
FAULTS: tuple[int | str, ...] = (*STATUSES, *FAULT_NAMES)

# The ports of the bus, by the names of its attributes.
_PORTS = ("direct", "web_socket")

# Statuses with which a relay answers a call of a web hook that it cannot deliver.
_RELAY_STATUSES = (500, 502, 503, 504)

_LONGEST_TEXT = 256

type Action = Callable[[dict[str, Any]], Awaitable[None]]


class Controlled(Protocol):
    """What the page shows and controls: the simulator."""

    clock: Clock
    accounts: dict[str, Account]
    installations: dict[str, Installation[Charger]]
    chargers: dict[str, Charger]
    user_groups: dict[str, UserGroup]
    archive: Archive[Charger]
    rest: Rest
    autoplay: Autoplay
    web_hooks: WebHookCaller

    @property
    def bus(self) -> ServiceBus:
        """The Service Bus."""

    @property
    def channels(self) -> dict[str, Channel]:
        """The installations and user groups, each with its topic, by id."""

    @property
    def api_url(self) -> str:
        """Address of the REST service."""

    def set_password(self, user_name: str, password: str) -> None:
        """Change a password."""


class Control:
    """Serves the page at `/`, the state at `/api/state`, and the actions."""

    def __init__(self, simulator: Controlled, host: str, port: int) -> None:
        """Initialize the page; `start` listens."""
        self._simulator = simulator
        self._page = ""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._serve_page)
        app.router.add_get("/api/state", self._serve_state)
        actions: dict[str, Action] = {
            "bus/cut": self._cut_bus,
            "bus/restore": self._restore_bus,
            "bus/drop": self._drop_bus,
            "bus/block": self._block_bus,
            "bus/interfere": self._interfere_with_bus,
            "rest/cut": self._cut_rest,
            "rest/restore": self._restore_rest,
            "rest/fail": self._fail_rest,
            "rest/heal": self._heal_rest,
            "rest/clear": self._clear_rest,
            "password": self._set_password,
            "tokens": self._set_tokens,
            "tokens/revoke": self._revoke_tokens,
            "clock": self._set_clock,
            "autoplay": self._set_autoplay,
            "archive": self._set_archive,
            "archive/correct": self._correct_session,
            "web_hooks/fail": self._fail_web_hooks,
            "web_hooks/heal": self._heal_web_hooks,
        }
        for path, action in actions.items():
            app.router.add_post(f"/api/{path}", self._handler(action))
        app.router.add_post("/api/chargers/{id}/{action}", self._act_on_charger)
        app.router.add_get("/api/installations/{id}", self._serve_installation)
        app.router.add_post("/api/installations/{id}", self._set_installation)
        app.router.add_post("/api/user_groups/{id}", self._set_user_group)
        self._listener = Listener(app, host, port)

    @property
    def url(self) -> str:
        """The address of the page."""
        return self._listener.url

    async def start(self) -> None:
        """Listen."""
        self._page = _PAGE.read_text(encoding="utf-8")
        await self._listener.start()

    async def stop(self) -> None:
        """Close everything."""
        await self._listener.stop()

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        port = self._listener.port
        hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        origin = request.headers.get("Origin")
        if request.host.lower() not in hosts or (
            origin is not None and urlsplit(origin.lower()).netloc not in hosts
        ):
            return _error(403, "This page is for this machine only")
        if request.method == "POST" and request.content_type != "application/json":
            return _error(415, "Send application/json")
        return await handler(request)

    async def _serve_page(self, request: web.Request) -> web.Response:
        return web.Response(
            text=self._page,
            content_type="text/html",
            headers={
                "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; "
                "frame-ancestors 'none'"
            },
        )

    async def _serve_state(self, request: web.Request) -> web.Response:
        return web.json_response(self.state())

    def state(self) -> dict[str, object]:
        """Return what the page shows; no password and no key is in it."""
        simulator = self._simulator
        rest, bus = simulator.rest, simulator.bus
        return {
            "time": simulator.clock.now().astimezone(UTC).isoformat(),
            "speed": simulator.clock.speed,
            "autoplay": simulator.autoplay.is_playing,
            "autoplay_paused": simulator.autoplay.is_paused,
            "api_url": simulator.api_url,
            "rest": {
                "listening": rest.is_listening,
                "requests": len(rest.requests),
                "peak_per_second": rest.peak_per_second,
                "forbidden": rest.forbidden[-20:],
                "faults": rest.faults,
                "recent": [
                    {"method": item.method, "path": item.path, "status": item.status}
                    for item in rest.requests[-12:]
                ],
            },
            "bus": {
                "listening": not all(port.blocked for port in bus.ports),
                "connections": bus.connections,
                **{name: getattr(bus, name).blocked for name in _PORTS},
            },
            "accounts": list(simulator.accounts),
            "web_hooks": _web_hooks(simulator.web_hooks),
            "fault_choices": FAULTS,
            "installations": [
                _installation(item) | _topic(item, bus)
                for item in simulator.installations.values()
            ],
            "user_groups": [
                {
                    "id": item.id,
                    "name": item.name,
                    "owners": sorted(item.owners),
                    "installations": sorted(item.installations),
                    "messaging_enabled": item.messaging_enabled,
                    "refuses": bus.topic(item.topic).refusal is not None,
                }
                | _topic(item, bus)
                for item in simulator.user_groups.values()
            ],
        }

    def _handler(
        self, action: Action
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                await action(await _body(request))
            except (KeyError, TypeError, ValueError) as err:
                return _error(400, _reason(err))
            return web.json_response(self.state())

        return handle

    async def _act_on_charger(self, request: web.Request) -> web.Response:
        charger = self._simulator.chargers.get(request.match_info["id"])
        if charger is None:
            return _error(404, "No such charger")
        try:
            body = await _body(request)
            match request.match_info["action"]:
                case "plug":
                    charger.plug_in(_car(body))
                case "unplug":
                    charger.unplug()
                case "car":
                    charger.set_car_wants(_flag(body, "wants"))
                case "online":
                    if _flag(body, "online"):
                        charger.set_online()
                    else:
                        charger.set_offline()
                case "card":
                    charger.show_card(_text(body, "code"))
                case "authorize":
                    charger.authorize(*_driver(charger, body))
                case "record":
                    _set_recording(charger, body)
                case "stand_alone":
                    charger.set_stand_alone(_flag(body, "on"))
                case "schedule":
                    charger.set_schedule(_seconds(body), body.get("text"))
                case _:
                    return _error(404, "No such action")
        except (KeyError, TypeError, ValueError) as err:
            return _error(400, _reason(err))
        self._simulator.autoplay.pause()
        return web.json_response(_charger(charger))

    async def _serve_installation(self, request: web.Request) -> web.Response:
        """Show what only the portal shows of an installation."""
        installation = self._simulator.installations.get(request.match_info["id"])
        if installation is None:
            return _error(404, "No such installation")
        return web.json_response(portal.shown(installation))

    async def _set_installation(self, request: web.Request) -> web.Response:
        """Change settings that the portal can change without a message on the bus."""
        installation = self._simulator.installations.get(request.match_info["id"])
        if installation is None:
            return _error(404, "No such installation")
        try:
            portal.change(installation, await _body(request))
        except (KeyError, TypeError, ValueError) as err:
            return _error(400, _reason(err))
        self._simulator.autoplay.pause()
        return web.json_response(self.state())

    async def _set_user_group(self, request: web.Request) -> web.Response:
        """Change what the portal and the vendor's support can change of a user group."""
        group = self._simulator.user_groups.get(request.match_info["id"])
        if group is None:
            return _error(404, "No such user group")
        try:
            self._change_user_group(group, await _body(request))
        except (KeyError, TypeError, ValueError) as err:
            return _error(400, _reason(err))
        return web.json_response(self.state())

    def _change_user_group(self, group: UserGroup, body: dict[str, Any]) -> None:
        """Change what a body names of a user group; raise if any of it is invalid."""
        changes: list[Callable[[], None]] = []
        for key, value in body.items():
            match key:
                case "installations":
                    ids = {self._simulator.installations[item].id for item in value}
                    changes.append(partial(setattr, group, key, ids))
                case "messaging_enabled":
                    is_enabled = _flag(body, key)
                    changes.append(partial(setattr, group, key, is_enabled))
                case "refuses":
                    is_refused = _flag(body, key)
                    changes.append(partial(self._refuse, group, is_refused=is_refused))
                case _:
                    raise KeyError(key)
        for change in changes:
            change()

    def _refuse(self, group: UserGroup, *, is_refused: bool) -> None:
        """Refuse the receivers of a group's topic, or accept them again."""
        condition = "com.microsoft:entity-disabled"
        bus = self._simulator.bus
        bus.refuse_attach(group.topic, condition if is_refused else None)
        if is_refused:
            bus.detach(group.topic, condition)

    async def _cut_bus(self, body: dict[str, Any]) -> None:
        await self._simulator.bus.cut()

    async def _restore_bus(self, body: dict[str, Any]) -> None:
        await self._simulator.bus.restore()

    async def _drop_bus(self, body: dict[str, Any]) -> None:
        self._simulator.bus.drop_connections()

    async def _block_bus(self, body: dict[str, Any]) -> None:
        """Block a port of the bus as a firewall does, or open it again."""
        name, how = body["port"], body["how"]
        if name not in _PORTS:
            raise ValueError(f"port is one of {', '.join(_PORTS)}")
        if how not in (None, *BLOCKS):
            raise ValueError(f"how is null or one of {', '.join(BLOCKS)}")
        bus = self._simulator.bus
        port = getattr(bus, name)
        if how:
            await bus.block(port, how)
        else:
            await bus.unblock(port)

    async def _interfere_with_bus(self, body: dict[str, Any]) -> None:
        how = body["how"]
        if how not in (None, *INTERFERENCES):
            raise ValueError(f"how is null or one of {', '.join(INTERFERENCES)}")
        channels = self._simulator.channels
        chosen = [channels[body["of"]]] if "of" in body else list(channels.values())
        for channel in chosen:
            self._simulator.bus.interfere(channel.topic, how)

    async def _cut_rest(self, body: dict[str, Any]) -> None:
        await self._simulator.rest.cut()

    async def _restore_rest(self, body: dict[str, Any]) -> None:
        await self._simulator.rest.restore()

    async def _fail_rest(self, body: dict[str, Any]) -> None:
        fault, times = body["fault"], body.get("times")
        self._simulator.rest.fail(
            str(body.get("path") or "."),
            method=body.get("method"),
            fault=int(fault) if str(fault).isdigit() else fault,
            times=None if times is None else int(times),
        )

    async def _heal_rest(self, body: dict[str, Any]) -> None:
        self._simulator.rest.heal()
        await self._simulator.rest.restore()

    async def _clear_rest(self, body: dict[str, Any]) -> None:
        self._simulator.rest.clear()

    async def _set_password(self, body: dict[str, Any]) -> None:
        self._simulator.set_password(body["user_name"], _text(body, "password"))

    async def _set_tokens(self, body: dict[str, Any]) -> None:
        tokens = self._simulator.rest.tokens
        if "lifetime" in body:
            tokens.lifetime = int(body["lifetime"])
        if "refresh_tokens" in body:
            tokens.gives_refresh_tokens = _flag(body, "refresh_tokens")
        if "refresh_lifetime" in body:
            tokens.refresh_lifetime = float(body["refresh_lifetime"])
        if "detects_reuse" in body:
            tokens.detects_reuse = _flag(body, "detects_reuse")

    async def _revoke_tokens(self, body: dict[str, Any]) -> None:
        self._simulator.rest.tokens.revoke(body.get("user_name"))

    async def _set_clock(self, body: dict[str, Any]) -> None:
        if "speed" in body:
            self._simulator.clock.speed = float(body["speed"])
        if "advance" in body:
            self._simulator.clock.advance(float(body["advance"]))

    async def _set_archive(self, body: dict[str, Any]) -> None:
        archive = self._simulator.archive
        if "distortion" in body:
            times = body.get("times")
            archive.distortions.add(
                body["distortion"], None if times is None else int(times)
            )
        if "delay" in body:
            archive.delay = _seconds({"seconds": body["delay"]})

    async def _correct_session(self, body: dict[str, Any]) -> None:
        self._simulator.archive.correct(body["session_id"])

    async def _fail_web_hooks(self, body: dict[str, Any]) -> None:
        fault, times = body["fault"], body.get("times")
        self._simulator.web_hooks.faults.add(
            int(fault) if str(fault).isdigit() else fault,
            body.get("hook"),
            None if times is None else int(times),
            is_delivered=bool(body.get("delivered")),
        )

    async def _heal_web_hooks(self, body: dict[str, Any]) -> None:
        self._simulator.web_hooks.faults.heal()

    async def _set_autoplay(self, body: dict[str, Any]) -> None:
        if _flag(body, "on"):
            self._simulator.autoplay.start()
        else:
            self._simulator.autoplay.stop()


def _installation(item: Installation[Charger]) -> dict[str, object]:
    """Return what the page shows of an installation; currents in A."""
    return {
        "id": item.id,
        "name": item.name,
        "available_current": min(item.available_current)
        if item.available_current
        else None,
        "max_current": item.max_current,
        "network_type": item.network_type.name,
        "web_hooks": item.uses_web_hooks,
        "chargers": [_charger(charger) for charger in item.chargers],
        "drivers": [driver.full_name for driver in item.drivers],
    }


def _topic(item: Channel, bus: ServiceBus) -> dict[str, object]:
    """Return what the page shows of a topic."""
    return {
        "consumers": bus.consumers(item.topic),
        "delivered": bus.delivered(item.topic),
        "pending": bus.pending(item.topic),
    }


def _web_hooks(caller: WebHookCaller) -> dict[str, object]:
    """Return what the page shows of the calls of web hooks; no code of a card is in it."""
    return {
        "fault_choices": (*HOOK_FAULTS, *_RELAY_STATUSES),
        "hooks": HOOKS,
        "faults": caller.faults.active,
        "problems": caller.problems[-5:],
        "unreported": len(caller.unreported),
        "recent": [
            {
                "time": call.time.astimezone(UTC).isoformat(),
                "hook": call.hook,
                "charger_id": call.charger_id,
                "has_code": call.has_code,
                "status": call.status,
            }
            for call in islice(reversed(caller.calls), 8)
        ],
    }


def _charger(charger: Charger) -> dict[str, object]:
    """Return what the page shows of a charger; power in W, energies in kWh, currents in A."""
    car = charger.car
    return {
        "id": charger.id,
        "serial": charger.serial,
        "name": charger.name,
        "family": charger.family.name,
        "online": charger.is_online,
        "mode": int(charger.mode),
        "final_stop": charger.final_stop,
        "authorized": charger.is_authorized,
        "authorization": charger.authorization,
        "red": charger.is_light_red,
        "power": charger.power,
        "allocated_current": charger.allocated_current,
        "max_current": charger.max_current,
        "session_energy": round(charger.session_energy, 4),
        "lifetime_energy": round(charger.lifetime_energy, 4),
        "session_id": charger.value(StateId.SESSION_IDENTIFIER),
        "firmware": charger.firmware,
        "car": car
        and {
            "phases": car.phases,
            "max_current": car.max_current,
            "capacity_kwh": car.capacity_kwh,
            "remaining_kwh": round(car.remaining_kwh, 3),
            "wants": car.wants,
        },
    }


def _driver(
    charger: Charger, body: dict[str, Any]
) -> tuple[Account | None, Card | None]:
    """Return the driver in the body and the driver's first card, if there are any.

    Raises:
        ValueError: The installation has no such driver.
    """
    if (name := body.get("driver")) is None:
        return None, None
    for driver in charger.installation.drivers:
        if driver.full_name == name:
            return driver, next(iter(driver.cards), None)
    raise ValueError(f"No such driver: {name}")


def _set_recording(charger: Charger, body: dict[str, Any]) -> None:
    """Change how well a charger records its sessions; raise if a key is unknown."""
    known = {item.name for item in fields(Recording)}
    for key, value in body.items():
        if key not in known:
            raise ValueError(f"No such setting: {key}")
        setattr(charger.recording, key, float(value))


def _car(body: dict[str, Any]) -> Car:
    car = Car()
    return Car(
        capacity_kwh=float(body.get("capacity_kwh", car.capacity_kwh)),
        max_current=float(body.get("max_current", car.max_current)),
        phases=int(body.get("phases", car.phases)),
        wants=bool(body.get("wants", True)),
    )


async def _body(request: web.Request) -> dict[str, Any]:
    body = await request.json() if request.can_read_body else {}
    if not isinstance(body, dict):
        raise TypeError("Send a JSON object")
    return body


def _seconds(body: dict[str, Any]) -> float:
    """Return the duration in the body, s.

    Raises:
        ValueError: It is not a number of seconds up to a week.

    """
    seconds = float(body["seconds"])
    if not 0 < seconds <= 7 * 24 * 3600:
        raise ValueError("seconds is a number up to a week")
    return seconds


def _text(body: dict[str, Any], key: str) -> str:
    value = body[key]
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TEXT:
        raise ValueError(f"{key} is a text of up to {_LONGEST_TEXT} characters")
    return value


def _flag(body: dict[str, Any], key: str) -> bool:
    value = body[key]
    if not isinstance(value, bool):
        raise TypeError(f"{key} is true or false")
    return value


def _reason(err: Exception) -> str:
    return f"Not known or missing: {err}" if isinstance(err, KeyError) else str(err)


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
