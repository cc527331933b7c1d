"""The tables of entities and actions in docs/entities.md, against the code."""

from collections.abc import Iterable
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.helpers.entity import EntityDescription
import pytest

from custom_components.zaptec import (
    binary_sensor,
    button,
    event,
    number,
    select,
    sensor,
    switch,
    update,
)
from custom_components.zaptec.entity import (
    ZaptecChargerDescription,
    ZaptecInstallationDescription,
)

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/entities.md").read_text("utf-8")
TEXTS = json.loads(
    (ROOT / "custom_components/zaptec/translations/en.json").read_text("utf-8")
)
MODULES = (binary_sensor, button, event, number, select, sensor, switch, update)
HEADER = "| {} | kind | StateId | unit | default | meaning |"

type Row = tuple[str, str, str, str, str]


def descriptions(
    kind: type[EntityDescription],
) -> Iterable[tuple[str, EntityDescription]]:
    """Yield the entities of chargers or installations, with their platform."""
    for module in MODULES:
        platform = module.__name__.rpartition(".")[2]
        for value in vars(module).values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, kind):
                    yield platform, item


def row(platform: str, description: Any) -> Row:
    """Return the row of an entity, made from its description in the code."""
    command = getattr(description, "command", None)
    state_ids = getattr(description, "state_ids", ())
    name = TEXTS["entity"][platform][description.translation_key]["name"]
    return (
        name,
        platform.replace("_", " "),
        f"command {int(command)}"
        if command
        else ", ".join(str(int(item)) for item in state_ids),
        str(getattr(description, "native_unit_of_measurement", None) or ""),
        "on" if description.entity_registry_enabled_default else "off",
    )


def table(title: str) -> list[list[str]]:
    """Return the rows of a table of the page."""
    _, found, rest = PAGE.partition(HEADER.format(title))
    assert found, f"There is no table of a {title}"
    body = rest.partition("\n\n")[0].splitlines()[2:]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in body
    ]


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("charger", ZaptecChargerDescription),
        ("installation", ZaptecInstallationDescription),
    ],
)
def test_the_tables_are_those_of_the_code(
    title: str, kind: type[EntityDescription]
) -> None:
    """The tables list every entity, with its StateIds, unit, default and meaning."""
    rows = table(title)
    assert all(len(cells) == 6 and cells[5] for cells in rows)
    documented = [tuple(cells[:5]) for cells in rows]
    assert sorted(documented) == sorted(row(*item) for item in descriptions(kind))


@pytest.mark.parametrize("action", TEXTS["services"])
def test_each_action_and_its_fields_are_described(action: str) -> None:
    """The section about actions describes each action and its fields."""
    section = PAGE.partition("## Actions")[2].partition("\n## ")[0]
    assert f"`zaptec.{action}`" in section
    for field in TEXTS["services"][action]["fields"]:
        assert f"`{field}`" in section or f"{field[:-1]}1..3" in section
