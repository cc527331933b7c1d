"""The activity log of Home Assistant: what it says of the entities, in each language.

A line of the log is the name of an entity, and the text of its new state.
"""

import json
from pathlib import Path
from typing import Any

from homeassistant import components
from homeassistant.const import STATE_OFF, STATE_ON
import pytest

from custom_components import zaptec
from custom_components.zaptec.entity import (
    ZaptecChargerDescription,
    ZaptecInstallationDescription,
)

from .test_readme import descriptions

HOME_ASSISTANT = Path(components.__file__).parent
TRANSLATIONS = Path(zaptec.__file__).parent / "translations"
LANGUAGES = sorted(file.stem for file in TRANSLATIONS.iterdir())

# Platforms whose entities are on or off.
ON_OFF = ("binary_sensor", "switch", "update")

# What the log says when a car comes, is held, is allowed to charge, and charges: the lines
# of Charging allowed, Car connected, Charging status (twice), Drawing power and Phases; and
# what it says when Zaptec counts a charger as active.
LOG = {
    "en": (
        "Charging allowed: Off",
        "Car connected: Plugged in",
        "Charging status: Held until allowed",
        "Charging status: Finished by the car",
        "Drawing power: Charging",
        "Phases: One phase",
        "Active in Zaptec: Yes",
    ),
    "nb": (
        "Lading tillatt: Av",
        "Bil tilkoblet: Koblet til",
        "Ladestatus: Venter på tillatelse",
        "Ladestatus: Avsluttet av bilen",
        "Trekker strøm: Lader",
        "Faser: Én fase",
        "Aktiv i Zaptec: Ja",
    ),
    "sv": (
        "Laddning tillåten: Av",
        "Bil ansluten: Inkopplad",
        "Laddningsstatus: Väntar på tillåtelse",
        "Laddningsstatus: Avslutad av bilen",
        "Drar ström: Laddar",
        "Faser: En fas",
        "Aktiv i Zaptec: Ja",
    ),
    "da": (
        "Opladning tilladt: Fra",
        "Bil tilsluttet: Tilsluttet",
        "Ladestatus: Venter på tilladelse",
        "Ladestatus: Afsluttet af bilen",
        "Trækker strøm: Oplader",
        "Faser: Én fase",
        "Aktiv i Zaptec: Ja",
    ),
    "fi": (
        "Lataus sallittu: Pois",
        "Auto kytketty: Kytketty",
        "Latauksen tila: Odottaa lupaa",
        "Latauksen tila: Auto lopetti latauksen",
        "Ottaa virtaa: Ladataan",
        "Vaiheet: Yksi vaihe",
        "Aktiivinen Zaptecissa: Kyllä",
    ),
    "de": (
        "Laden erlaubt: Aus",
        "Auto angeschlossen: Eingesteckt",
        "Ladestatus: Wartet auf Erlaubnis",
        "Ladestatus: Vom Auto beendet",
        "Strom fließt: Wird geladen",
        "Phasen: Einphasig",
        "Aktiv in Zaptec: Ja",
    ),
    "nl": (
        "Opladen toegestaan: Uit",
        "Auto aangesloten: Aangesloten",
        "Laadstatus: Wacht op toestemming",
        "Laadstatus: Beëindigd door de auto",
        "Neemt stroom af: Opladen",
        "Fasen: Eén fase",
        "Actief in Zaptec: Ja",
    ),
    "fr": (
        "Recharge permise: Désactivée",
        "Voiture branchée: Branchée",
        "État de la recharge: Retenue jusqu'à permission",
        "État de la recharge: Terminée par la voiture",
        "Courant délivré: En charge",
        "Phases: Monophasé",
        "Active dans Zaptec: Oui",
    ),
    "pl": (
        "Ładowanie dozwolone: wyłączono",
        "Samochód podłączony: podłączono",
        "Stan ładowania: oczekiwanie na zezwolenie",
        "Stan ładowania: zakończone przez samochód",
        "Pobiera prąd: ładowanie",
        "Fazy: jedna faza",
        "Aktywna w Zaptec: tak",
    ),
    "is": (
        "Hleðsla leyfð: Slökkt",
        "Bíll tengdur: Tengdur",
        "Staða hleðslu: Bíður leyfis",
        "Staða hleðslu: Bíllinn lauk hleðslu",
        "Tekur straum: Hleður",
        "Fasar: Einn fasi",
        "Virk hjá Zaptec: Já",
    ),
}
LINES = (
    ("switch", "charging", STATE_OFF),
    ("binary_sensor", "car_connected", STATE_ON),
    ("sensor", "charging_status", "held"),
    ("sensor", "charging_status", "finished_by_car"),
    ("binary_sensor", "charging", STATE_ON),
    ("select", "phase_mode", "one_phase"),
    ("binary_sensor", "charger", STATE_ON),
)


def ours(language: str) -> dict[str, Any]:
    """Return the texts of the integration's entities, by platform."""
    texts = json.loads((TRANSLATIONS / f"{language}.json").read_text("utf-8"))
    entities: dict[str, Any] = texts["entity"]
    return entities


def of_home_assistant(platform: str, language: str) -> dict[str, Any]:
    """Return the states of a platform that Home Assistant has texts for, by device class."""
    file = HOME_ASSISTANT / platform / "translations" / f"{language}.json"
    texts = json.loads(file.read_text("utf-8")).get("entity_component", {})
    return {name: item.get("state", {}) for name, item in texts.items()}


def has_text(platform: str, description: Any, state: str, language: str) -> bool:
    """Return whether a state has a text in a language.

    Home Assistant shows its English text for a device class that it has not translated.
    """
    entity = ours(language)[platform][description.translation_key]
    if state in entity.get("state", {}):
        return True
    device_class = description.device_class or "_"
    english = of_home_assistant(platform, "en")
    kind = device_class if state in english.get(device_class, {}) else "_"
    return state in of_home_assistant(platform, language).get(kind, {})


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_log_says(language: str) -> None:
    """The lines of a session read like sentences in each language."""
    texts = ours(language)
    lines = [
        f"{texts[platform][key]['name']}: {texts[platform][key]['state'][state]}"
        for platform, key, state in LINES
    ]
    assert tuple(lines) == LOG[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_has_an_english_state(language: str) -> None:
    """Each state has a text in each language, also where Home Assistant has none."""
    missing = [
        f"{platform}.{description.key} {state}"
        for kind in (ZaptecChargerDescription, ZaptecInstallationDescription)
        for platform, description in descriptions(kind)
        if platform in ON_OFF
        for state in (STATE_ON, STATE_OFF)
        if not has_text(platform, description, state, language)
    ]
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_states_of_an_entity_differ(language: str) -> None:
    """No two states of an entity have the same text."""
    alike = [
        f"{platform}.{key}: {text}"
        for platform, entities in ours(language).items()
        for key, entity in entities.items()
        for texts in [list(entity.get("state", {}).values())]
        for text in texts
        if texts.count(text) > 1
    ]
    assert alike == []
