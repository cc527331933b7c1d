"""Texts that Home Assistant does not translate by itself."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .const import DOMAIN


@callback
def text(hass: HomeAssistant, key: str, **placeholders: str) -> str:
    """Return a text of the section "common", in the language of Home Assistant.

    Where that has no translation, it is English. It is empty for the moment that Home
    Assistant takes to load another language.
    """
    texts = async_get_cached_translations(hass, hass.config.language, "common", DOMAIN)
    return texts.get(f"component.{DOMAIN}.common.{key}", "").format(**placeholders)
