"""What the vendor's portal shows and changes of an installation without a message on the bus."""

from dataclasses import asdict, fields, replace
from typing import Any

from .authorization import WebHooks
from .charger import Charger
from .installation import Installation

# Valid modes of an installation: see `Installation`, and AvailableCurrentMode in
# GET /api/constants.
_MODES = {"authentication_type": (0, 1, 2, 3), "available_current_mode": (0, 1, 2)}
_FLAGS = ("authentication_required", "messaging_enabled")
_LONGEST_FIELD = 2048


def shown(installation: Installation[Charger]) -> dict[str, object]:
    """Return the page *Authentication* of an installation; secrets are shown, as there."""
    return {
        "authentication_type": installation.authentication_type,
        "authentication_required": installation.authentication_required,
        "web_hooks": asdict(installation.web_hooks),
    }


def change(installation: Installation[Charger], body: dict[str, Any]) -> None:
    """Change what a body names of an installation; nothing if any of it is invalid.

    Raises:
        KeyError: There is no such setting.
        TypeError: A value is of another type.
        ValueError: A value is not possible.
    """
    settings = {key: _checked(installation, key, body[key]) for key in body}
    for key, value in settings.items():
        setattr(installation, key, value)
    # The type decides what the chargers report.
    installation.set_authentication_type(installation.authentication_type)


def _checked(installation: Installation[Charger], key: str, value: Any) -> object:
    """Return the new value of a setting."""
    if key == "web_hooks":
        return _web_hooks(installation.web_hooks, value)
    if key in _FLAGS:
        if not isinstance(value, bool):
            raise TypeError(f"{key} is true or false")
        return value
    if isinstance(value, bool) or value not in _MODES[key]:
        raise ValueError(f"{key} is one of {_MODES[key]}")
    return int(value)


def _web_hooks(present: WebHooks, values: Any) -> WebHooks:
    """Return the fields of web hooks with some of them changed."""
    if not isinstance(values, dict):
        raise TypeError("web_hooks is an object")
    if unknown := set(values) - {item.name for item in fields(WebHooks)}:
        raise KeyError(", ".join(sorted(unknown)))
    for key, value in values.items():
        if not isinstance(value, str) or len(value) > _LONGEST_FIELD:
            raise TypeError(f"{key} is a text of up to {_LONGEST_FIELD} characters")
    return replace(present, **{key: value.strip() for key, value in values.items()})
