"""Texts: translated ones where Home Assistant does not translate, and names as they are."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN


@callback
def text(hass: HomeAssistant, key: str, **placeholders: str) -> str:
    """Return a text of the section "common", in the language of Home Assistant.

    It is English if there is no translation, and empty while Home Assistant is loading
    another language.
    """
    texts = async_get_cached_translations(hass, hass.config.language, "common", DOMAIN)
    return texts.get(f"component.{DOMAIN}.common.{key}", "").format(**placeholders)


def without_markup(name: str) -> str:
    """Return a name with the special characters of Markdown escaped."""
    return "".join(
        f"\\{char}" if char in "\\`*_{}[]()<>#!|~" else char for char in name
    )
