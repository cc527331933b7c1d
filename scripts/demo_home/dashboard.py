"""The demo's dashboard and Energy settings, made from the integration's devices and entities."""

from collections.abc import Iterable
from dataclasses import dataclass, field
import json
import re
from typing import Any

DOMAIN = "zaptec"
# Maximum number of chargers on a single view. With more, each installation has its own view.
_CHARGERS_PER_VIEW = 12

type Card = dict[str, Any]

# The options of a card that is as wide as its section.
_WIDE: Card = {"grid_options": {"columns": "full"}}


@dataclass(slots=True)
class Device:
    """An installation or a charger, with its entity ids by (platform, key)."""

    name: str
    guid: str
    entities: dict[tuple[str, str], str] = field(default_factory=dict)
    chargers: list[Device] = field(default_factory=list)

    @property
    def history(self) -> str:
        """The id of the statistic of its sessions, for a charger."""
        return f"{DOMAIN}:{self.guid.replace('-', '')}_energy"

    def pick(self, platform: str, *keys: str) -> list[str]:
        """Return the entity ids for those of the keys that have an entity."""
        return [
            self.entities[platform, key]
            for key in keys
            if (platform, key) in self.entities
        ]


def installations(
    devices: Iterable[dict[str, Any]], entities: Iterable[dict[str, Any]]
) -> list[Device]:
    """Return the installations with their chargers, sorted by name.

    Args:
        devices: The device registry, as returned by `config/device_registry/list`.
        entities: The entity registry, as returned by `config/entity_registry/list`.
    """
    found: dict[str, Device] = {}
    parents: dict[str, str | None] = {}
    for item in devices:
        guids = [pair[1] for pair in item["identifiers"] if pair[0] == DOMAIN]
        if guids:
            name = item["name_by_user"] or item["name"]
            found[item["id"]] = Device(name, guids[0])
            parents[item["id"]] = item["via_device_id"]
    for item in entities:
        device = found.get(item["device_id"])
        if device is None or item["platform"] != DOMAIN or item["disabled_by"]:
            continue
        platform = item["entity_id"].partition(".")[0]
        key = item["unique_id"].removeprefix(device.guid).removeprefix("_")
        device.entities[platform, key] = item["entity_id"]
    for device_id, device in found.items():
        if parent := found.get(parents[device_id] or ""):
            parent.chargers.append(device)
    for device in found.values():
        device.chargers.sort(key=lambda charger: charger.name)
    return sorted(
        (device for device_id, device in found.items() if not parents[device_id]),
        key=lambda device: (len(device.chargers), device.name),
    )


def is_complete(found: list[Device]) -> bool:
    """Return whether every charger has the entities that the dashboard shows first."""
    chargers = [charger for item in found for charger in item.chargers]
    return bool(chargers) and all(
        charger.pick("sensor", "charging_status")
        and charger.pick("sensor", "signed_meter_value_kwh")
        and charger.pick("sensor", "total_charge_power")
        for charger in chargers
    )


def dashboard(found: list[Device], text: str) -> dict[str, Any]:
    """Return the dashboard: a section for each installation and each charger.

    Args:
        found: The installations with their chargers.
        text: The Markdown text at the top of the first view.
    """
    total = sum(len(item.chargers) for item in found)
    if total <= _CHARGERS_PER_VIEW:
        views = [_view("Chargers", "chargers", found)]
    else:
        views = [
            _view(item.name, f"installation-{number}", [item])
            for number, item in enumerate(found, start=1)
        ]
    card = {"type": "markdown", "text_only": True, "content": text}
    views[0]["header"] = {"layout": "responsive", "card": card}
    return {"views": views}


def guide(address: str, free: str) -> str:
    """Return an introduction for new users, in Markdown.

    Args:
        address: The address of the simulator's page.
        free: The name of the charger at which the simulator plugs in no car at first.
    """
    return (
        f"[Plug in a car]({address}): {free} is free. At the other chargers "
        "cars come and go by themselves (autoplay), until you change something "
        "here or there."
    )


def with_address(stored: dict[str, Any], address: str) -> dict[str, Any]:
    """Return a dashboard that links to the simulator's page at another address."""
    corrected: dict[str, Any] = json.loads(
        re.sub(r"(?<=\[Plug in a car\]\()[^)]*", address, json.dumps(stored))
    )
    return corrected


def energy_preferences(found: list[Device]) -> dict[str, Any]:
    """Return the Energy settings, with each charger's session history and power.

    In a new demo, only the session history has a past to show.
    """
    return {
        "energy_sources": [],
        "device_consumption": [
            {
                "stat_consumption": charger.history,
                "stat_rate": power,
                "name": charger.name,
            }
            for item in found
            for charger in item.chargers
            for power in charger.pick("sensor", "total_charge_power")
        ],
    }


def _view(title: str, path: str, shown: list[Device]) -> dict[str, Any]:
    return {
        "title": title,
        "path": path,
        "type": "sections",
        "max_columns": 4,
        "sections": [
            section
            for item in shown
            for section in (
                _installation_section(item),
                *(_charger_section(charger) for charger in item.chargers),
            )
        ]
        + [_history_section(item) for item in shown],
    }


def _installation_section(installation: Device) -> Card:
    return _section(
        installation.name,
        "mdi:home-lightning-bolt",
        [
            *_tiles(
                installation,
                "number",
                {"available_current": "Available current"},
                feature={"type": "numeric-input", "style": "buttons"},
            ),
            *_tiles(
                installation,
                "select",
                {"phase_mode": "Phases"},
                feature={"type": "select-options"},
            ),
            *_tiles(
                installation,
                "sensor",
                {
                    "pending_available_current": "Pending available current",
                    "pending_until": "Next change at",
                    "push_status": "Live messages",
                },
            ),
        ],
    )


def _history_section(installation: Device) -> Card:
    charts = [
        _history(
            title,
            [
                (entity, charger.name)
                for charger in installation.chargers
                for entity in charger.pick("sensor", key)
            ],
        )
        for title, key in (
            ("Power", "total_charge_power"),
            ("Charging status", "charging_status"),
        )
    ]
    return _section(
        f"{installation.name}: history",
        "mdi:chart-line",
        [*charts, _months(installation.chargers)],
    )


def _charger_section(charger: Device) -> Card:
    currents = {
        "current_phase1": "L1",
        "current_phase2": "L2",
        "current_phase3": "L3",
        "charge_current_set": "Allocated",
    }
    return _section(
        charger.name,
        "mdi:ev-station",
        [
            *_tiles(
                charger,
                "switch",
                {"charger_operation_mode": "Charging allowed"},
                feature={"type": "toggle"},
            ),
            *_tiles(
                charger, "sensor", {"charging_status": "Charging status"}, is_wide=True
            ),
            *_tiles(
                charger,
                "sensor",
                {
                    "total_charge_power": "Power",
                    "total_charge_power_session": "Session energy",
                    "signed_meter_value_kwh": "Energy meter",
                },
            ),
            *_tiles(
                charger,
                "number",
                {"charger_max_current": "Max current"},
                feature={"type": "numeric-input", "style": "buttons"},
            ),
            {
                "type": "glance",
                "show_icon": False,
                "columns": len(currents),
                "entities": [
                    {"entity": entity, "name": name}
                    for key, name in currents.items()
                    for entity in charger.pick("sensor", key)
                ],
            },
        ],
    )


def _tiles(
    device: Device,
    platform: str,
    names: dict[str, str],
    *,
    feature: Card | None = None,
    is_wide: bool = False,
) -> list[Card]:
    """Return a tile for each entity that exists; a tile with a feature is wide, too."""
    more: Card = _WIDE if feature or is_wide else {}
    if feature:
        more = more | {"features": [feature], "features_position": "inline"}
    return [
        {"type": "tile", "entity": entity, "name": name, **more}
        for key, name in names.items()
        for entity in device.pick(platform, key)
    ]


def _section(title: str, icon: str, cards: list[Card]) -> Card:
    heading = {"type": "heading", "heading": title, "icon": icon}
    return {"type": "grid", "cards": [heading, *cards]}


def _months(chargers: list[Device]) -> Card:
    """Return a chart of the session history."""
    return {
        "type": "statistics-graph",
        "title": "Energy of each month",
        "entities": [
            {"entity": charger.history, "name": charger.name} for charger in chargers
        ],
        "stat_types": ["change"],
        "chart_type": "bar",
        "period": "month",
        "days_to_show": 150,
        **_WIDE,
    }


def _history(title: str, entities: list[tuple[str, str]]) -> Card:
    return {
        "type": "history-graph",
        "title": title,
        "hours_to_show": 1,
        "entities": [{"entity": entity, "name": name} for entity, name in entities],
        **_WIDE,
    }
