"""Home Assistant decides who may charge: the mode, the entities, and what is kept."""

import asyncio
from datetime import timedelta
from functools import partial
import json
from typing import Any
from unittest.mock import patch

from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.file import WriteError
import pytest

from custom_components.zaptec.authorization import (
    Access,
    Answer,
    EndedSession,
    Outcome,
    Request,
)
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control import charging_access
from custom_components.zaptec.control.charging_access import async_get_access
from custom_components.zaptec.persons import SUBENTRY_PERSON
from custom_components.zaptec.web_hook_settings import (
    CONF_WEB_HOOKS,
    OnError,
    async_store,
)

from .access import ANNAS, UNKNOWN, Site
from .time_machine import wait_until

OTHER = "00000000-0000-4000-8000-00000000dead"


async def test_everyone(site: Site) -> None:
    """After the set-up, everyone may charge as before."""
    await site.plug_in()
    assert site.is_charging
    assert site.events == [("permitted", "unknown")]


async def test_nobody(site: Site) -> None:
    """No car is permitted, and the button says why."""
    await site.select(Access.NOBODY)
    await site.plug_in()
    assert not site.is_charging
    assert site.events == [("refused", "unknown")]
    with pytest.raises(ServiceValidationError, match="No one may charge"):
        await site.home.press("authorize_charging")


async def test_known_persons(site: Site) -> None:
    """A known card permits the car that waited for it, and an unknown one does not."""
    await site.add_person("Anna", ANNAS)
    await site.select(Access.KNOWN_PERSONS)
    await site.plug_in()
    assert not site.is_charging
    await site.home.wait_for("binary_sensor", "authorization_pending", "on")
    site.home.charger.show_card(UNKNOWN)
    await site.home.travel(5)
    assert not site.is_charging
    site.home.charger.show_card(ANNAS)
    await site.home.travel(5, step=1)
    assert site.is_charging
    await site.home.wait_for("binary_sensor", "authorization_pending", "off")
    assert site.events == [
        ("requested", "unknown"),
        ("refused", "unknown"),
        ("permitted", "Anna"),
    ]


async def test_a_person_may_charge_elsewhere_only(site: Site) -> None:
    """A person with a list of chargers is refused at the others."""
    await site.add_person("Anna", ANNAS, chargers=(OTHER,))
    await site.select(Access.KNOWN_PERSONS)
    await site.plug_in()
    site.home.charger.show_card(ANNAS)
    await site.home.travel(5)
    assert not site.is_charging
    assert site.events[-1] == ("refused", "Anna")


async def test_ask_and_press_the_button(site: Site) -> None:
    """The poll after the button was pressed is permitted."""
    await site.select(Access.ASK)
    await site.plug_in()
    assert not site.is_charging
    await site.home.wait_for("binary_sensor", "authorization_pending", "on")
    await site.home.press("authorize_charging")
    await site.home.wait_for("binary_sensor", "authorization_pending", "off")
    await site.home.travel(11, step=1)
    assert site.is_charging
    assert site.events == [("requested", "unknown"), ("permitted", "unknown")]
    assert site.doors.statuses(site.home.charger)[-1] == 200


async def test_ask_and_refuse(site: Site) -> None:
    """A refused car is not permitted by a later poll, until the user decides otherwise."""
    await site.select(Access.ASK)
    await site.plug_in()
    await site.doors.authorize(site.home.charger, refuse=True)
    await site.home.travel(30)
    assert not site.is_charging
    assert site.events == [("requested", "unknown"), ("refused", "unknown")]


async def test_ask_for_a_person(site: Site) -> None:
    """The action can say whose session it is; a name that nobody has is an error."""
    person_id = await site.add_person("Anna", ANNAS)
    await site.select(Access.ASK)
    await site.plug_in()
    with pytest.raises(ServiceValidationError, match="No person has this name"):
        await site.doors.authorize(site.home.charger, person="Ben")
    await site.doors.authorize(site.home.charger, person=" anna ")
    await site.home.travel(11)
    assert site.events[-1] == ("permitted", "Anna")
    runtime = site.home.entry.runtime_data
    assert site.home.charger.session
    identity = runtime.access.identity_of(site.home.charger.session.id)
    assert runtime.access.persons.person_of(identity) == person_id


async def test_an_automation_decides_about_a_card_at_once(
    hass: HomeAssistant, site: Site
) -> None:
    """The cloud does not ask again after a card, so the answer waits for automations."""
    await site.add_person("Anna", ANNAS)
    await site.select(Access.ASK)

    @callback
    def decide(event: Event[Any]) -> None:
        state = event.data["new_state"]
        if state and state.attributes.get("person") == "Anna":
            if state.attributes["event_type"] == "requested":
                hass.async_create_task(site.doors.authorize(site.home.charger))

    hass.bus.async_listen("state_changed", decide)
    await site.plug_in()
    site.home.charger.show_card(ANNAS)
    await site.home.travel(2, step=1)
    assert site.doors.statuses(site.home.charger)[-1] == 200
    assert site.is_charging


async def test_nothing_waits(site: Site) -> None:
    """Without a car that waits, there is nothing to decide."""
    await site.select(Access.ASK)
    for refuse in (False, True):
        with pytest.raises(ServiceValidationError, match="No car waits"):
            await site.doors.authorize(site.home.charger, refuse=refuse)
    with pytest.raises(ServiceValidationError, match="No car waits"):
        await site.home.press("authorize_charging")


async def test_an_installation_as_the_target(site: Site) -> None:
    """A car is at a charger, so an installation is no target."""
    with pytest.raises(ServiceValidationError, match="installation was selected"):
        await site.home.hass.services.async_call(
            DOMAIN,
            "authorize_charging",
            {"charger_id": site.home.installation.id},
            blocking=True,
        )


async def test_a_car_leaves(site: Site) -> None:
    """The decision about a car that has left is not one about the next car."""
    await site.select(Access.ASK)
    await site.plug_in()
    await site.doors.authorize(site.home.charger)
    site.home.charger.unplug()
    await site.home.travel(10)
    await site.plug_in()
    assert not site.is_charging


async def test_the_cloud_has_stopped_asking(site: Site) -> None:
    """After five minutes no car waits any more."""
    await site.select(Access.ASK)
    await site.plug_in()
    await site.home.wait_for("binary_sensor", "authorization_pending", "on")
    await site.home.travel(320, step=10)
    await site.home.wait_for("binary_sensor", "authorization_pending", "off")


async def test_a_reload_while_a_car_waits(site: Site) -> None:
    """A reload loses neither the request nor the decision, and gives the same id."""
    await site.select(Access.ASK)
    await site.plug_in()
    await site.home.stop()
    await site.home.travel(20)
    assert set(site.doors.statuses(site.home.charger)) == {401}
    await site.home.start()
    await site.home.wait_for("binary_sensor", "authorization_pending", "on")
    await site.doors.authorize(site.home.charger)
    # The decision is answered although the account is not loaded again yet.
    await site.home.stop()
    await site.home.travel(12)
    assert site.is_charging
    session_id = site.home.charger.session and site.home.charger.session.id
    access = await async_get_access(site.home.hass, site.home.entry.entry_id)
    request = Request(site.home.charger.id, None)
    installation_id = site.home.installation.id
    answer = await access.async_stored_answer(installation_id, request)
    assert answer.session_id == session_id
    await site.home.start()
    assert (
        await access.async_decide(installation_id, request)
    ).session_id == session_id


async def test_what_is_stored(
    hass: HomeAssistant, site: Site, hass_storage: dict[str, Any]
) -> None:
    """The decision is on the disk before it is answered, and has no code of a card."""
    await site.select(Access.ASK)
    request = Request(site.home.charger.id, UNKNOWN)
    access = site.home.entry.runtime_data.access
    installation_id = site.home.installation.id
    await access.async_decide(installation_id, request)
    await site.doors.authorize(site.home.charger)
    answer = await access.async_decide(installation_id, request)
    key = f"{DOMAIN}.access.{site.home.entry.entry_id}"
    stored = json.dumps(hass_storage[key]["data"])
    assert answer.session_id
    assert answer.session_id in stored
    assert UNKNOWN.lower()[4:] not in stored.lower()
    # After a restart, another object has the same answer.
    hass.data[f"{DOMAIN}_charging_access"].clear()
    again = await async_get_access(hass, site.home.entry.entry_id)
    assert again is not access
    assert await again.async_stored_answer(installation_id, request) == answer


async def test_what_is_unknown(site: Site) -> None:
    """A charger or an installation of someone else is refused, and nothing is kept."""
    access = site.home.entry.runtime_data.access
    charger_id, installation_id = site.home.charger.id, site.home.installation.id
    for asked in (
        (installation_id, OTHER),
        (OTHER, charger_id),
        (installation_id, "../../x"),
        (installation_id, ""),
    ):
        answer = await access.async_decide(asked[0], Request(asked[1], None))
        assert answer == Answer(Outcome.REFUSED)
    upper = Request(charger_id.upper(), None)
    answer = await access.async_decide(installation_id, upper)
    assert answer.outcome is Outcome.PERMITTED
    await access.async_end(EndedSession(OTHER, None, None, 1.0))
    assert access.persons.permitted(0, None) == access.identity_of(OTHER)


async def test_turned_off(hass: HomeAssistant, site: Site) -> None:
    """With the web hooks, their entities are removed; the mode starts over later."""
    await site.select(Access.NOBODY)
    keys = {"charging_access", "authorization", "authorization_pending"}
    keys.add("authorize_charging")
    registry = er.async_get(hass)

    def found() -> set[str]:
        entities = er.async_entries_for_config_entry(registry, site.home.entry.entry_id)
        return {
            key
            for item in entities
            for key in keys
            if item.unique_id.endswith(f"_{key}")
        }

    assert found() == keys
    async_store(hass, site.home.entry, site.home.installation.id, None)
    await hass.async_block_till_done()
    await site.home.wait_until_live()
    assert found() == set()
    with pytest.raises(ServiceValidationError, match="does not decide here"):
        await site.doors.authorize(site.home.charger)
    site.doors.set_up(site.home.installation)
    await hass.async_block_till_done()
    await site.home.wait_until_live()
    await site.home.wait_for("select", "charging_access", "everyone")


async def test_removed(
    hass: HomeAssistant, site: Site, hass_storage: dict[str, Any]
) -> None:
    """Nothing that was decided stays behind when the account is removed."""
    await site.plug_in()
    prefix = f"{DOMAIN}.access."
    assert any(key.startswith(prefix) for key in hass_storage)
    await hass.config_entries.async_remove(site.home.entry.entry_id)
    await hass.async_block_till_done()
    assert not any(key.startswith(prefix) for key in hass_storage)


@pytest.mark.parametrize(
    "damage",
    [
        {"installations": {}},
        {"installations": []},
        {"installations": {"": None}},
        {"sessions": [[1], None], "cards": {"x": "y"}},
    ],
)
async def test_damaged_store(
    hass: HomeAssistant,
    site: Site,
    hass_storage: dict[str, Any],
    damage: dict[str, Any],
) -> None:
    """Who may charge is not kept in the store, so no damage of it lets anyone charge."""
    await site.select(Access.NOBODY)
    key = f"{DOMAIN}.access.{site.home.entry.entry_id}"
    await wait_until(lambda: key in hass_storage)
    hass_storage[key]["data"] |= damage
    assert await access_after_restart(site) is Access.NOBODY


async def access_after_restart(site: Site) -> Access | None:
    """Return who may charge according to what is stored."""
    hass, entry = site.home.hass, site.home.entry
    hass.data[f"{DOMAIN}_charging_access"].clear()
    access = await async_get_access(hass, entry.entry_id)
    return access.access_of(site.home.installation.id)


async def test_a_damaged_plug_in(
    hass: HomeAssistant, site: Site, hass_storage: dict[str, Any]
) -> None:
    """The cars at the other chargers keep their decision."""
    await site.plug_in()
    assert site.home.charger.session
    key = f"{DOMAIN}.access.{site.home.entry.entry_id}"
    stored = hass_storage[key]["data"]["installations"][site.home.installation.id]
    stored["plug_ins"] = {OTHER: {"begun": "x"}, **stored["plug_ins"]}
    await access_after_restart(site)
    access = await async_get_access(hass, site.home.entry.entry_id)
    request = Request(site.home.charger.id, None)
    answer = await access.async_stored_answer(site.home.installation.id, request)
    assert answer.session_id == site.home.charger.session.id


@pytest.mark.parametrize("suffix", ["", ".sessions"])
async def test_a_store_of_a_later_version(
    hass: HomeAssistant,
    site: Site,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    suffix: str,
) -> None:
    """After a downgrade, the integration starts, and nobody may charge who could not."""
    await site.select(Access.NOBODY)
    key = f"{DOMAIN}.access.{site.home.entry.entry_id}{suffix}"
    hass_storage[key] = {"version": 99, "minor_version": 1, "key": key, "data": {}}
    assert await access_after_restart(site) is Access.NOBODY
    assert f"Ignoring {key}" in caplog.text
    await site.plug_in()
    assert not site.is_charging


@pytest.mark.parametrize(
    ("on_error", "access"),
    [(OnError.PERMIT, Access.EVERYONE), (OnError.REFUSE, Access.NOBODY)],
)
@pytest.mark.parametrize("stored", [{}, {"access": "friends"}, {"access": None}])
async def test_a_mode_that_cannot_be_read(
    hass: HomeAssistant,
    site: Site,
    caplog: pytest.LogCaptureFixture,
    on_error: OnError,
    access: Access,
    stored: dict[str, Any],
) -> None:
    """What the user has chosen for errors counts, and the log says so."""
    change_settings(site, {"on_error": on_error.value}, stored)
    assert await access_after_restart(site) is access
    assert f'cannot be read, so "{access}" counts' in caplog.text
    await site.select(Access.ASK)
    assert await access_after_restart(site) is Access.ASK


async def test_the_mode_moves_to_the_entry(
    hass: HomeAssistant, site: Site, hass_storage: dict[str, Any]
) -> None:
    """It was kept beside the requests before."""
    change_settings(site, {}, {})
    key = f"{DOMAIN}.access.{site.home.entry.entry_id}"
    await site.plug_in()
    stored = hass_storage[key]["data"]["installations"][site.home.installation.id]
    stored["access"] = "nobody"
    assert await access_after_restart(site) is Access.NOBODY
    del hass_storage[key]
    assert await access_after_restart(site) is Access.NOBODY


def change_settings(site: Site, change: dict[str, Any], access: dict[str, Any]) -> None:
    """Change the stored settings, with a mode as it may have been stored."""
    entry, installation_id = site.home.entry, site.home.installation.id
    settings = {**entry.data[CONF_WEB_HOOKS][installation_id], **change}
    settings.pop("access")
    site.home.hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            CONF_WEB_HOOKS: {installation_id: {**settings, **access}},
        },
    )


async def test_an_unknown_card_can_be_chosen(hass: HomeAssistant, site: Site) -> None:
    """A card that was refused is offered in the form of a new person, and permits then."""
    await site.select(Access.KNOWN_PERSONS)
    await site.plug_in()
    site.home.charger.show_card(UNKNOWN)
    await site.home.travel(2)
    flow = await hass.config_entries.subentries.async_init(
        (site.home.entry.entry_id, SUBENTRY_PERSON), context={"source": "user"}
    )
    fields = {str(key): value for key, value in flow["data_schema"].schema.items()}
    options = fields["seen"].config["options"]
    assert [option["label"] for option in options] == [
        f"Card not known, ending E5E6, last shown {dt_util.now():%Y-%m-%d}"
    ]
    chargers = [option["value"] for option in fields["chargers"].config["options"]]
    assert chargers == [site.home.charger.id]
    await hass.config_entries.subentries.async_configure(
        flow["flow_id"],
        {"name": "Cleo", "seen": [options[0]["value"]], "chargers": chargers},
    )
    await hass.async_block_till_done()
    site.home.charger.show_card(UNKNOWN)
    await site.home.travel(5, step=1)
    assert site.is_charging
    assert site.events[-1] == ("permitted", "Cleo")


async def test_a_session_that_has_ended_is_kept_for_the_history(site: Site) -> None:
    """The end of a session is stored before it is answered, and a second one is ignored."""
    await site.plug_in()
    access = site.home.entry.runtime_data.access
    assert site.home.charger.session
    session_id = site.home.charger.session.id
    now = dt_util.utcnow()
    ended = EndedSession(session_id, now - timedelta(hours=1), now, 2.0)
    await access.async_end(ended)
    revision = access._store._stored
    await access.async_end(EndedSession(session_id, None, None, 9.0))
    assert access._store._stored == revision


async def hang(*_: object) -> None:
    """Write until cancelled."""
    await asyncio.Event().wait()


async def fail(*_: object) -> None:
    """Write to a disk that is full."""
    raise WriteError("No space left on device")


@pytest.mark.parametrize("access", [Access.ASK, Access.KNOWN_PERSONS, Access.NOBODY])
async def test_what_is_not_permitted_is_answered_at_once(
    site: Site, access: Access
) -> None:
    """Neither the answer nor the event waits for the disk, as the cloud asks again."""
    await site.select(access)
    request = Request(site.home.charger.id, None)
    decide = site.home.entry.runtime_data.access.async_decide
    with patch.object(Store, "_async_write_data", hang):
        answer = await decide(site.home.installation.id, request)
        assert answer.outcome is not Outcome.PERMITTED
        await wait_until(lambda: len(site.events) == 1)


async def test_an_automation_decides_before_it_is_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk does not make the driver show the card again."""
    await site.add_person("Anna", ANNAS)
    await site.select(Access.ASK)
    access = site.home.entry.runtime_data.access
    monkeypatch.setattr(charging_access, "CARD_WAIT", 60)
    write, is_free = Store._async_write_data, asyncio.Event()

    async def write_later(store: Store[Any], data: dict[str, Any]) -> None:
        await is_free.wait()
        await write(store, data)

    with patch.object(Store, "_async_write_data", write_later):
        request = Request(site.home.charger.id, ANNAS)
        answering = asyncio.ensure_future(
            access.async_decide(site.home.installation.id, request)
        )
        await wait_until(lambda: ("requested", "Anna") in site.events)
        deciding = asyncio.ensure_future(site.doors.authorize(site.home.charger))
        installation = site.home.installation.id
        authorizer = access._authorizers.of(installation)
        await wait_until(
            lambda: (
                authorizer.as_dict()["plug_ins"][site.home.charger.id]["session_id"]
                is not None
            )
        )
        assert not answering.done()
        is_free.set()
        assert (await answering).outcome is Outcome.PERMITTED
        await deciding


async def test_a_full_disk(site: Site) -> None:
    """A permission or an end that could not be stored is an error, until it is stored."""
    access = site.home.entry.runtime_data.access
    request = Request(site.home.charger.id, None)
    decide = partial(access.async_decide, site.home.installation.id, request)
    with patch.object(Store, "_async_write_data", fail):
        for _ in range(2):
            with pytest.raises(WriteError):
                await decide()
    assert site.events == []
    answer = await decide()
    assert answer.session_id
    # What could not be sent before is sent then.
    await wait_until(lambda: site.events == [("permitted", "unknown")])
    ended = EndedSession(answer.session_id, None, None, 5.0)
    with patch.object(Store, "_async_write_data", fail):
        for _ in range(2):
            with pytest.raises(WriteError):
                await access.async_end(ended)
    await access.async_end(ended)


async def test_who_may_not_charge_here_is_unknown(site: Site) -> None:
    """In "ask", a person with a list of chargers is unknown at the others."""
    await site.add_person("Anna", ANNAS, chargers=(OTHER,))
    await site.select(Access.ASK)
    await site.plug_in()
    site.home.charger.show_card(ANNAS)
    await site.home.travel(2, step=1)
    await wait_until(lambda: len(site.events) == 2)
    assert site.events == [("requested", "unknown")] * 2
