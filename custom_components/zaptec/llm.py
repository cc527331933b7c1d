"""Tools for language models: why a car does or does not charge, and the last session.

A model can read only the sensors that are exposed to its assistant. The explanations are
in English, like those of Home Assistant's own tools; the model answers in the language of
the user.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar, override

from homeassistant.components.homeassistant import async_should_expose
from homeassistant.components.llm import LLMTools
from homeassistant.components.sensor import (
    DOMAIN as SENSOR_DOMAIN,
    SensorDeviceClass,
    async_rounded_state,
)
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_UNIT_OF_MEASUREMENT,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er, intent
from homeassistant.helpers.llm import (
    LLM_API_ASSIST,
    LLMContext,
    Tool,
    ToolAnnotations,
    ToolInput,
    ToolResult,
)
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType
import probatio

from .const import DOMAIN

ATTR_NAME = "name"

# Maximum number of chargers in one answer, which has to fit into the model's context.
ANSWERS_MAX = 20

STATUS_KEY = "charging_status"

# The keys of the sensors of the last session, and their names in an answer.
LAST_SESSION_KEYS = {
    "completed_session.Energy": "energy",
    "completed_session_start": "start",
    "completed_session_end": "end",
    "completed_session_duration": "duration",
    "completed_session.AuthenticationCode": "authorized_by",
}

# The meaning of each charging status, and what the user can do, as in docs/entities.md.
# The placeholders are replaced by the names of the entities in the language of the user.
EXPLANATIONS = {
    "offline": (
        "the charger has no connection to the cloud",
        "check the charger's power and its network; it may go on charging meanwhile",
    ),
    "disabled": (
        "Zaptec has taken the charger out of service",
        "enable it in the Zaptec portal",
    ),
    "stand_alone": (
        "the charger decides by itself and ignores the cloud",
        "turn off stand-alone mode in the Zaptec app",
    ),
    "disconnected": ("no car is plugged in", "plug in the car"),
    "charging": ("the car draws power", "nothing"),
    "fault": (
        "a warning of the charger stops charging",
        (
            "look at {warnings}; unplug the car, restart the charger, and ask an "
            "electrician if the warning remains"
        ),
    ),
    "session_ended": (
        "the authorization was withdrawn while the car was plugged in",
        "plug the car in again, or authorize it",
    ),
    "held": (
        "{allowed} is off, so this car waits, and so does each next one",
        "turn on {allowed}",
    ),
    "paused": (
        "this session was paused, in the Zaptec app or by {stop}",
        "turn on {allowed}, or press {resume}",
    ),
    "finished_by_car": (
        "the car is full, or has stopped by itself",
        "look at the car's charge limit and schedule",
    ),
    "waiting_for_authorization": (
        "the charger needs a card or the app",
        "show a card, or authorize in the Zaptec app",
    ),
    "waiting_for_schedule": (
        "a schedule in Zaptec starts charging later",
        "wait, or press {resume} to start now",
    ),
    "charger_limit": (
        "{maximum} is below 6 A or the minimum charging current",
        "raise {maximum}",
    ),
    "no_current": (
        (
            "the installation grants no current: {available} is too low, or other cars "
            "or the house need it"
        ),
        "raise {available}, or wait",
    ),
    "starting": (
        "nothing keeps the car from charging; it has up to a minute to begin",
        "wait",
    ),
    "waiting_for_car": (
        "current is offered, and the car takes none",
        "wake the car, or look at its schedule",
    ),
    STATE_UNKNOWN: ("the charger has not reported enough", "wait a moment"),
    STATE_UNAVAILABLE: (
        "Home Assistant receives no data about the charger from the Zaptec cloud",
        "check the internet connection of Home Assistant",
    ),
}

# The entities whose names the explanations use, by platform and translation key.
_NAMED = {
    "allowed": "switch.charging",
    "available": "number.available_current",
    "maximum": "number.charger_max_current",
    "resume": "button.resume_charging",
    "stop": "button.stop_charging",
    "warnings": "sensor.warnings",
}


@callback
def async_get_tools(
    hass: HomeAssistant, llm_context: LLMContext, api_id: str
) -> LLMTools | None:
    """Return the tools for which at least one sensor is exposed."""
    if api_id != LLM_API_ASSIST or not llm_context.assistant:
        return None
    tools: list[Tool] = [
        kind(names)
        for kind in (ChargingStatusTool, LastSessionTool)
        if (names := _names(hass, llm_context.assistant, kind.keys))
    ]
    return LLMTools(tools=tools) if tools else None


class ZaptecTool(Tool):
    """A tool that reads sensors of chargers."""

    annotations = ToolAnnotations(
        read_only=True, destructive=False, idempotent=True, open_world=False
    )
    integration = DOMAIN
    keys: ClassVar[Collection[str]]

    def __init__(self, names: Collection[str]) -> None:
        """Initialize the tool.

        Args:
            names: The names of the exposed sensors.

        """
        self.parameters = probatio.Schema(
            {
                probatio.Optional(
                    ATTR_NAME,
                    description="Name of a sensor of the charger; omit for all chargers",
                ): probatio.In(sorted(names))
            }
        )

    @override
    async def async_call(
        self, hass: HomeAssistant, tool_input: ToolInput, llm_context: LLMContext
    ) -> ToolResult:
        """Return what the sensors show."""
        name = self.parameters(tool_input.tool_args).get(ATTR_NAME)
        texts = await async_get_translations(
            hass, _language(hass, llm_context), "entity", [DOMAIN]
        )
        found = [
            sensors
            for sensors in _exposed(hass, llm_context.assistant, self.keys)
            if name is None or name in _names_of(hass, sensors)
        ]
        if not found:
            return ToolResult(data={"error": "Charger not found"}, error=True)
        data: JsonObjectType = {
            "chargers": [
                {
                    ATTR_NAME: _names_of(hass, sensors)[0],
                    **self.answer(hass, sensors, texts),
                }
                for sensors in found[:ANSWERS_MAX]
            ]
        }
        if len(found) > ANSWERS_MAX:
            data["left_out"] = len(found) - ANSWERS_MAX
        return ToolResult(data=data)

    @abstractmethod
    def answer(
        self,
        hass: HomeAssistant,
        sensors: Mapping[str, State],
        texts: Mapping[str, str],
    ) -> dict[str, str]:
        """Return what the exposed sensors of a charger show.

        Args:
            hass: Home Assistant.
            sensors: Their states, by key.
            texts: The texts of entities in the language of the user.

        """


class ChargingStatusTool(ZaptecTool):
    """Returns why a car is or is not charging."""

    name = f"{DOMAIN}__get_charging_status"
    title = "Get charging status"
    description = (
        "Get the reason why a car is or is not charging at a Zaptec charger, and what the "
        "user can do. Use this to answer questions like 'Why is the car not charging?'"
    )
    keys = (STATUS_KEY,)

    @override
    def answer(
        self,
        hass: HomeAssistant,
        sensors: Mapping[str, State],
        texts: Mapping[str, str],
    ) -> dict[str, str]:
        """Return the status, what it means, and what the user can do."""
        status = sensors[STATUS_KEY].state
        names = {
            name: _text(texts, f"{entity}.name") for name, entity in _NAMED.items()
        }
        meaning, advice = EXPLANATIONS[status]
        return {
            "status": _text(texts, f"{SENSOR_DOMAIN}.{STATUS_KEY}.state.{status}")
            or status,
            "meaning": meaning.format(**names),
            "what_to_do": advice.format(**names),
        }


class LastSessionTool(ZaptecTool):
    """Returns the energy and the times of the last session."""

    name = f"{DOMAIN}__get_last_session"
    title = "Get last charging session"
    description = (
        "Get the energy and the times of the last completed charging session of a "
        "Zaptec charger. Use this to answer questions like 'How much did the car "
        "charge last time?'"
    )
    keys = tuple(LAST_SESSION_KEYS)

    @override
    def answer(
        self,
        hass: HomeAssistant,
        sensors: Mapping[str, State],
        texts: Mapping[str, str],
    ) -> dict[str, str]:
        """Return what is known of the last session."""
        return {
            LAST_SESSION_KEYS[key]: _in_words(hass, state)
            for key, state in sensors.items()
            if state.state not in (STATE_UNKNOWN, STATE_UNAVAILABLE)
        }


def _in_words(hass: HomeAssistant, state: State) -> str:
    """Return the state of a sensor as text: a local time, or a value with its unit."""
    if state.attributes.get(ATTR_DEVICE_CLASS) == SensorDeviceClass.TIMESTAMP:
        moment = dt_util.parse_datetime(state.state, raise_on_error=True)
        return dt_util.as_local(moment).isoformat(timespec="minutes")
    value = async_rounded_state(hass, state.entity_id, state)
    unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
    return f"{value} {unit}" if unit else value


def _language(hass: HomeAssistant, llm_context: LLMContext) -> str:
    """Return the language of the user; MCP clients do not provide one."""
    language = llm_context.language
    return language if language and language != "*" else hass.config.language


def _text(texts: Mapping[str, str], key: str) -> str:
    """Return a text of an entity, empty if there is none."""
    return texts.get(f"component.{DOMAIN}.entity.{key}", "")


def _names(hass: HomeAssistant, assistant: str, keys: Collection[str]) -> set[str]:
    """Return the names of the exposed sensors with some keys."""
    return {
        name
        for sensors in _exposed(hass, assistant, keys)
        for name in _names_of(hass, sensors)
    }


def _names_of(hass: HomeAssistant, sensors: Mapping[str, State]) -> list[str]:
    """Return the names of the exposed sensors of a charger."""
    registry = er.async_get(hass)
    return [
        name
        for state in sensors.values()
        for name in intent.async_get_entity_aliases(
            hass, registry.async_get(state.entity_id), state=state, allow_empty=False
        )
    ]


def _exposed(
    hass: HomeAssistant, assistant: str, keys: Collection[str]
) -> Iterator[dict[str, State]]:
    """Yield the states of the exposed sensors with some keys, for each charger."""
    registry = er.async_get(hass)
    for entry in hass.config_entries.async_loaded_entries(DOMAIN):
        for charger_id in entry.runtime_data.coordinator.data.chargers:
            sensors: dict[str, State] = {}
            for key in keys:
                entity_id = registry.async_get_entity_id(
                    SENSOR_DOMAIN, DOMAIN, f"{charger_id}_{key}"
                )
                if (
                    entity_id
                    and (state := hass.states.get(entity_id))
                    and async_should_expose(hass, assistant, entity_id)
                ):
                    sensors[key] = state
            if sensors:
                yield sensors
