"""Web hooks of a simulated installation whose calls go straight to who decides."""

from http import HTTPStatus
import json
from types import MappingProxyType
from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.authorization import Access, Outcome
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control.charging_access import async_get_access
from custom_components.zaptec.persons import CONF_PERSON_KEY, SUBENTRY_PERSON, Persons
from custom_components.zaptec.web_hook_calls import parse_end, parse_start
from custom_components.zaptec.web_hook_settings import WebHookSettings, async_store
from simulator.car import Car
from simulator.charger import Charger
from simulator.installation import Installation
from simulator.simulator import Simulator
from simulator.web_hooks import HookRequest, HookResponse

from .home import Home

KEY = "11" * 32
ANNAS, UNKNOWN = "nfc-04A1A2A3A4A5A6", "nfc-04E1E2E3E4E5E6"
START, END = "https://home.example/start", "https://home.example/end"


class Doors:
    """The web hooks of an account, without the network in between."""

    def __init__(
        self, hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
    ) -> None:
        """Initialize the web hooks, which are not set up yet."""
        self.hass = hass
        self.sim = sim
        self.entry = entry
        sim.web_hooks.transport = self._deliver

    def set_up(self, installation: Installation) -> None:
        """Set up the web hooks of an installation, in the portal too."""
        async_store(self.hass, self.entry, installation.id, WebHookSettings.new())
        installation.set_web_hooks(START, END, "user", "password")

    async def _deliver(self, request: HookRequest) -> HookResponse:
        """Answer a call of the cloud as the web hooks do."""
        access = await async_get_access(self.hass, self.entry.entry_id)
        if request.url == END:
            await access.async_end(parse_end(request.body))
            return HookResponse(HTTPStatus.OK)
        call = parse_start(request.body)
        is_loaded = self.entry.state is ConfigEntryState.LOADED
        decide = access.async_decide if is_loaded else access.async_stored_answer
        answer = await decide(call.installation_id, call.request)
        if answer.outcome is not Outcome.PERMITTED:
            return HookResponse(HTTPStatus.UNAUTHORIZED)
        body = json.dumps({"sessionId": answer.session_id}).encode()
        return HookResponse(HTTPStatus.OK, body, "application/json")

    async def select(self, installation: Installation, access: Access) -> None:
        """Select who may charge."""
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "select", DOMAIN, f"{installation.id}_charging_access"
        )
        await self.hass.services.async_call(
            "select",
            "select_option",
            {"entity_id": entity_id, "option": access.value},
            blocking=True,
        )

    async def authorize(self, charger: Charger, **data: object) -> None:
        """Call the action."""
        await self.hass.services.async_call(
            DOMAIN,
            "authorize_charging",
            {"charger_id": charger.id, **data},
            blocking=True,
        )

    def statuses(self, charger: Charger) -> list[int | None]:
        """Return the statuses of the answers to the start calls of a charger."""
        return [
            call.status
            for call in self.sim.web_hooks.calls
            if call.hook == "start" and call.charger_id == charger.id
        ]


def person_data(
    *cards: str, chargers: tuple[str, ...] = (), key: str
) -> dict[str, object]:
    """Return the data of a person with some cards."""
    persons = Persons(key, {})
    data: dict[str, object] = {"hashes": [persons.card_of(card) for card in cards]}
    return data | ({"chargers": list(chargers)} if chargers else {})


class Site:
    """A home whose web hooks are set up, and what its entities have fired."""

    def __init__(self, home: Home, doors: Doors) -> None:
        """Initialize the site."""
        self.home = home
        self.doors = doors
        self.events: list[tuple[str, str]] = []
        home.hass.bus.async_listen("state_changed", self._note)

    @callback
    def _note(self, event: Event[Any]) -> None:
        state = event.data["new_state"]
        old = event.data["old_state"]
        if (
            state
            and old
            and state.entity_id == self.home.entity_id("event", "authorization")
            and state.state not in (old.state, "unavailable", "unknown")
        ):
            attributes = state.attributes
            self.events.append((attributes["event_type"], attributes["person"]))

    async def plug_in(self) -> None:
        """Plug in a car, whose first request is answered."""
        self.home.charger.plug_in(Car())
        await self.home.travel(12)

    async def select(self, access: Access) -> None:
        """Select who may charge."""
        await self.doors.select(self.home.installation, access)

    async def add_person(self, name: str, *cards: str, **data: Any) -> str:
        """Add a person."""
        entry, hass = self.home.entry, self.home.hass
        hass.config_entries.async_update_entry(
            entry, data={**entry.data, CONF_PERSON_KEY: KEY}
        )
        person = ConfigSubentry(
            data=MappingProxyType(person_data(*cards, key=KEY, **data)),
            subentry_type=SUBENTRY_PERSON,
            title=name,
            unique_id=None,
        )
        hass.config_entries.async_add_subentry(entry, person)
        await hass.async_block_till_done()
        return person.subentry_id

    @property
    def is_charging(self) -> bool:
        """Return whether a session runs."""
        return self.home.charger.session is not None
