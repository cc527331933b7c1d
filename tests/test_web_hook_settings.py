"""The settings of the web hooks, and the record of their calls."""

from datetime import UTC, datetime, timedelta
import json
from typing import Any
from urllib.parse import parse_qs

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.web_hook_settings import (
    CONF_WEB_HOOKS,
    RETIRED_IDS_MAX,
    CallProblem,
    Door,
    OnError,
    WebHookSettings,
    WebHookWatch,
    async_drop_watch,
    async_get_watch,
    async_store,
    from_entry,
)

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_new_settings_have_secrets_of_their_own() -> None:
    """Each installation has other ids, another user and another password."""
    first, second = WebHookSettings.new(), WebHookSettings.new(OnError.REFUSE)
    secrets = [
        value
        for settings in (first, second)
        for value in (*settings.ids, settings.username, settings.password)
    ]
    assert len(set(secrets)) == len(secrets) == 8
    assert len(first.start_id) == len(first.end_id) == len(first.password) == 64
    assert (first.on_error, second.on_error) == (OnError.PERMIT, OnError.REFUSE)


def test_the_payload_is_a_query_string() -> None:
    """The portal takes user name and password as a query string, with nothing to escape."""
    settings = WebHookSettings.new()
    assert parse_qs(settings.payload, strict_parsing=True) == {
        "username": [settings.username],
        "password": [settings.password],
    }
    assert (settings.username + settings.password).isalnum()


def test_no_secret_is_shown_when_settings_are_printed() -> None:
    """What a log or a traceback shows of the settings has no secret."""
    settings = WebHookSettings.new().renewed()
    for secret in (*settings.ids, settings.username, settings.password):
        assert secret not in repr(settings)


def test_renewed_settings_keep_the_old_ids_known() -> None:
    """Old ids stay registered, up to a limit: Home Assistant logs an id that it doesn't know."""
    settings = first = WebHookSettings.new(OnError.REFUSE)
    for _ in range(RETIRED_IDS_MAX):
        before, settings = settings, settings.renewed()
        assert settings.on_error is OnError.REFUSE
        assert settings.password != before.password
        assert settings.retired_ids[-2:] == (before.start_id, before.end_id)
        assert len(set(settings.ids)) == len(settings.ids)
    assert len(settings.retired_ids) == RETIRED_IDS_MAX
    assert first.start_id not in settings.ids


async def test_settings_are_stored_in_the_data_of_the_entry(
    hass: HomeAssistant,
) -> None:
    """They survive a restart, and nothing of them is left after they are removed."""
    entry = MockConfigEntry(domain=DOMAIN, data={"username": "user"})
    entry.add_to_hass(hass)
    assert from_entry(entry) == {}
    settings = WebHookSettings.new(OnError.REFUSE).renewed()
    other = WebHookSettings.new()
    async_store(hass, entry, "first", settings)
    async_store(hass, entry, "second", other)
    stored = json.loads(json.dumps(dict(entry.data)))
    restarted = MockConfigEntry(domain=DOMAIN, data=stored)
    assert from_entry(restarted) == {"first": settings, "second": other}
    async_store(hass, entry, "first", None)
    assert from_entry(entry) == {"second": other}
    async_store(hass, entry, "second", None)
    assert dict(entry.data) == {"username": "user"}


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "text",
        {},
        WebHookSettings.new().as_stored() | {"password": ""},
        WebHookSettings.new().as_stored() | {"password": None},
        WebHookSettings.new().as_stored() | {"on_error": "other"},
        WebHookSettings.new().as_stored() | {"retired_ids": 1},
    ],
)
def test_settings_that_are_not_readable_are_left_out(
    stored: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged one does not keep the others from working, and is not logged itself."""
    good = WebHookSettings.new()
    entry = MockConfigEntry(
        domain=DOMAIN,
        data={CONF_WEB_HOOKS: {"bad": stored, "good": good.as_stored()}},
    )
    assert from_entry(entry) == {"good": good}
    assert "not readable" in caplog.text
    assert "password" not in caplog.text


def test_calls_are_noted() -> None:
    """The first and the last call are known, and who was asked for."""
    watch = WebHookWatch()
    assert watch.first_call is watch.last_call is None
    watch.note_call(Door.START, NOW, "charger")
    watch.note_call(Door.END, NOW + timedelta(minutes=1))
    assert (watch.first_call, watch.last_call) == (NOW, NOW + timedelta(minutes=1))
    assert watch.last_start == NOW
    assert watch.last_door is Door.END
    assert watch.chargers == {"charger": NOW}
    watch.note_problem(CallProblem.BODY, NOW)
    assert (watch.last_problem, watch.last_problem_at) == (CallProblem.BODY, NOW)


def test_wrong_credentials_are_counted() -> None:
    """They are no call: nothing shows then that the web hooks work."""
    watch = WebHookWatch()
    for second in range(3):
        watch.note_wrong_credentials(NOW + timedelta(seconds=second))
    assert watch.wrong_credentials == 3
    assert watch.last_wrong_credentials == NOW + timedelta(seconds=2)
    assert watch.first_call is None
    watch.forget()
    assert watch.wrong_credentials == 0


def test_listeners_run_at_each_call_until_they_are_removed() -> None:
    """A listener may remove itself while it runs."""
    watch = WebHookWatch()
    heard: list[str] = []

    def once() -> None:
        heard.append("once")
        remove_once()

    remove_once = watch.add_listener(once)
    remove = watch.add_listener(lambda: heard.append("always"))
    watch.note_call(Door.START, NOW, "charger")
    watch.note_wrong_credentials(NOW)
    watch.note_problem(CallProblem.CHARGER, NOW)
    assert sorted(heard) == ["always", "always", "always", "once"]
    remove()
    watch.note_call(Door.START, NOW, "charger")
    assert len(heard) == 4


async def test_each_installation_has_a_watch_of_its_own(hass: HomeAssistant) -> None:
    """It is the same for everyone who asks, until the web hooks are turned off."""
    async_drop_watch(hass, "first")
    first = async_get_watch(hass, "first")
    assert async_get_watch(hass, "first") is first
    assert async_get_watch(hass, "second") is not first
    async_drop_watch(hass, "first")
    assert async_get_watch(hass, "first") is not first
