"""The web hooks by which the Zaptec cloud asks who may charge, as they are on the wire."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import timedelta
import gzip
import json
import logging
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

from aiohttp import StreamReader
from aiohttp.test_utils import make_mocked_request
from homeassistant.components import webhook as ha_webhook
from homeassistant.components.http.ban import KEY_BAN_MANAGER, KEY_FAILED_LOGIN_ATTEMPTS
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from multidict import CIMultiDict
import pytest
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    WebSocketGenerator,
)

from custom_components.zaptec import webhook
from custom_components.zaptec.authorization import Answer, Outcome
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control.charging_access import ChargingAccess
from custom_components.zaptec.web_hook_calls import BODY_SIZE_MAX
from custom_components.zaptec.web_hook_settings import (
    CallProblem,
    Door,
    OnError,
    WebHookSettings,
    WebHookWatch,
    async_get_watch,
    async_store,
)

from .conftest import CARD
from .home import Home
from .web_hook_callers import (
    Caller,
    Client,
    Way,
    authorization,
    over_http,
    over_the_web_socket,
    through_the_cloud,
)


async def store(
    home: Home, settings: WebHookSettings | None, installation_id: str | None = None
) -> None:
    """Store web hooks, and wait until the account is loaded again, if it is."""
    installation_id = installation_id or home.installation.id
    async_store(home.hass, home.entry, installation_id, settings)
    await home.hass.async_block_till_done()
    await home.wait_until_live()


OTHER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def on_error() -> OnError:
    """Return what is answered when our own part fails."""
    return OnError.PERMIT


@pytest.fixture
def settings(on_error: OnError) -> WebHookSettings:
    """Return the web hooks of the installation."""
    return WebHookSettings.new(on_error)


@pytest.fixture
async def web_home(new_home: Home, settings: WebHookSettings) -> Home:
    """Return a home whose web hooks are set up, and whose account is live."""
    async_store(new_home.hass, new_home.entry, new_home.installation.id, settings)
    await new_home.start()
    return new_home


@pytest.fixture
async def client(web_home: Home, hass_client_no_auth: ClientSessionGenerator) -> Client:
    """Return a program that has no account in Home Assistant."""
    return await hass_client_no_auth()


@pytest.fixture
def watch(web_home: Home) -> WebHookWatch:
    """Return which calls came to the web hooks."""
    return async_get_watch(web_home.hass, web_home.installation.id)


@pytest.fixture(params=list(Way))
async def caller(
    request: pytest.FixtureRequest,
    web_home: Home,
    settings: WebHookSettings,
    hass_client_no_auth: ClientSessionGenerator,
    hass_ws_client: WebSocketGenerator,
) -> Caller:
    """Return a caller, for each of the ways."""
    match request.param:
        case Way.HTTP:
            call = over_http(await hass_client_no_auth())
        case Way.CLOUD:
            call = through_the_cloud(web_home.hass)
        case _:
            call = over_the_web_socket(await hass_ws_client(web_home.hass))
    return Caller(call, settings, web_home.installation.id)


@pytest.fixture
def http(client: Client, web_home: Home, settings: WebHookSettings) -> Caller:
    """Return a caller over HTTP."""
    return Caller(over_http(client), settings, web_home.installation.id)


@pytest.fixture
def relay(web_home: Home, settings: WebHookSettings) -> Caller:
    """Return a caller through the cloud's relay."""
    return Caller(through_the_cloud(web_home.hass), settings, web_home.installation.id)


async def test_a_car_is_permitted(
    caller: Caller, web_home: Home, watch: WebHookWatch
) -> None:
    """The answer is a UUID of ours as JSON, the same one for a repeated call."""
    reply = await caller.start(web_home.charger.id)

    assert reply.status == 200
    assert reply.content_type == "application/json"
    assert str(UUID(reply.session_id)) == reply.session_id
    assert await caller.start(web_home.charger.id) == reply
    assert watch.last_door is Door.START
    assert watch.chargers.keys() == {web_home.charger.id}
    assert watch.last_problem is None


async def test_a_session_has_ended(
    caller: Caller, web_home: Home, watch: WebHookWatch
) -> None:
    """What is understood is answered with 200, also again, and for a session of others."""
    session_id = (await caller.start(web_home.charger.id)).session_id
    assert session_id
    for ended in (session_id, session_id, OTHER):
        reply = await caller.end(ended)
        assert (reply.status, reply.document) == (200, {})
    assert watch.last_door is Door.END


@pytest.mark.parametrize(
    "fields",
    [
        {"installationId": OTHER},
        {"chargerId": OTHER},
        {"chargerId": "1"},
        {"installationId": None},
    ],
    ids=str,
)
async def test_an_unknown_charger(
    relay: Caller, web_home: Home, watch: WebHookWatch, fields: dict[str, Any]
) -> None:
    """Whatever is not about a charger of the installation is asked for again, and never permitted."""
    reply = await relay.start(web_home.charger.id, **fields)

    assert reply.status == 401
    assert watch.last_problem in (CallProblem.CHARGER, CallProblem.BODY)
    assert watch.last_call is None
    assert watch.chargers == {}


def _basic(text: str) -> dict[str, str]:
    """Return a header with some credentials."""
    return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}


def _wrong_headers(settings: WebHookSettings) -> dict[str, dict[str, str]]:
    """Return headers that do not have the right credentials."""
    user, password = settings.username, settings.password
    right = authorization(settings)["Authorization"]
    return {
        "none": {},
        "empty": {"Authorization": ""},
        "scheme only": {"Authorization": "Basic"},
        "other scheme": {"Authorization": right.replace("Basic", "Bearer")},
        "bearer": {"Authorization": f"Bearer {password}"},
        "not base64": {"Authorization": f"Basic {user}:{password}"},
        "not ASCII": {"Authorization": "Basic \u00e4\u00f6"},
        "wrong password": _basic(f"{user}:{password}x"),
        "beginning": _basic(f"{user}:{password[:-1]}"),
        "no password": _basic(f"{user}:"),
        "wrong user": _basic(f"x{user}:{password}"),
        "swapped": _basic(f"{password}:{user}"),
        "no colon": _basic(f"{user}{password}"),
        "two": {"Authorization": f"{right}, {right}"},
        "long": _basic(f"{user}:{password}" * 200),
        "other header": {"X-Authorization": right},
    }


@pytest.mark.parametrize("kind", _wrong_headers(WebHookSettings.new()))
async def test_wrong_credentials(
    http: Caller,
    relay: Caller,
    web_home: Home,
    settings: WebHookSettings,
    watch: WebHookWatch,
    kind: str,
) -> None:
    """Without the right credentials, nothing is permitted or stored, but counted."""
    headers = _wrong_headers(settings)[kind]
    for caller in (http, relay):
        for webhook_id in (settings.start_id, settings.end_id):
            body = {
                "chargerId": web_home.charger.id,
                "installationId": web_home.installation.id,
                "sessionId": OTHER,
            }
            reply = await caller.call(webhook_id, body, headers)
            assert reply.status == 401
            assert reply.session_id is None
    assert watch.wrong_credentials == 4
    assert watch.last_call is None
    assert watch.last_problem is None


async def test_several_headers(
    client: Client, web_home: Home, settings: WebHookSettings
) -> None:
    """Of two headers, a program in between might have checked the other one."""
    right = authorization(settings)["Authorization"]
    async with client.post(
        ha_webhook.async_generate_path(settings.start_id),
        data=b"{}",
        headers=[("Authorization", "Basic eA=="), ("Authorization", right)],
    ) as answer:
        assert answer.status == 401
        assert "password" in (await answer.json())["message"]


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic "])
async def test_the_scheme_in_any_case(
    http: Caller, web_home: Home, settings: WebHookSettings, scheme: str
) -> None:
    """The name of the scheme has no case (RFC 9110), and may be followed by several spaces."""
    right = authorization(settings)["Authorization"]
    reply = await http.call(
        settings.end_id,
        {"sessionId": OTHER},
        {"Authorization": right.replace("Basic", scheme)},
    )
    assert reply.status == 200


async def test_the_credentials_of_the_other_installation(
    web_home: Home, relay: Caller, settings: WebHookSettings
) -> None:
    """Each installation has credentials of its own."""
    other = WebHookSettings.new()
    await store(web_home, other, OTHER)

    reply = await relay.call(
        settings.start_id,
        {"chargerId": web_home.charger.id, "installationId": web_home.installation.id},
        authorization(other),
    )
    assert reply.status == 401


async def test_credentials_are_compared_as_digests(
    monkeypatch: pytest.MonkeyPatch, settings: WebHookSettings
) -> None:
    """Texts of the same length are compared in constant time, whatever was sent."""
    compared: list[tuple[bytes, bytes]] = []
    compare = webhook.hmac.compare_digest

    def note(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(webhook.hmac, "compare_digest", note)
    credentials = webhook.Credentials(settings.username, settings.password)
    wrong = _wrong_headers(settings)
    for headers in wrong.values():
        assert not credentials.are_in(CIMultiDict(headers))
    assert credentials.are_in(CIMultiDict(authorization(settings)))

    assert len(compared) == len(wrong) + 1
    assert {len(text) for pair in compared for text in pair} == {32}


async def test_credentials_are_checked_before_the_body_is_read(
    web_home: Home, settings: WebHookSettings, client: Client
) -> None:
    """A stranger's body is not waited for: the answer comes before it."""
    path = ha_webhook.async_generate_path(settings.start_id)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode()
    )
    async with asyncio.timeout(30):
        assert b" 401 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_wrong_methods(
    caller: Caller,
    web_home: Home,
    settings: WebHookSettings,
    method: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only POST is answered otherwise than with 405, and Home Assistant does not log the id."""
    for webhook_id in settings.ids:
        reply = await caller.call(webhook_id, {}, method=method)
        assert reply.status == 405
    logged = [
        record.getMessage()
        for record in caplog.records
        if record.levelno > logging.DEBUG and record.name != "aiohttp.access"
    ]
    assert not [text for text in logged if settings.start_id in text]


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "TRACE", "XYZ"])
async def test_methods_that_home_assistant_refuses(
    client: Client, settings: WebHookSettings, method: str
) -> None:
    """Home Assistant answers other methods by itself, and not with success."""
    path = ha_webhook.async_generate_path(settings.start_id)
    async with client.request(method, path) as answer:
        assert 400 <= answer.status < 500


MALFORMED = {
    "empty": b"",
    "text": b"chargerId=1",
    "list": b"[]",
    "no fields": b"{}",
    "half": b'{"chargerId": "',
    "deep": b"[" * BODY_SIZE_MAX,
    "too large": b" " * (BODY_SIZE_MAX + 1),
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_malformed_bodies(
    caller: Caller, settings: WebHookSettings, watch: WebHookWatch, kind: str
) -> None:
    """What is not understood permits nothing; the cloud asks again, or logs the reason."""
    reply = await caller.call(settings.start_id, MALFORMED[kind])
    assert reply.status == 401
    assert watch.last_problem is CallProblem.BODY
    reply = await caller.call(settings.end_id, MALFORMED[kind])
    assert reply.status == 400
    assert reply.document["message"]
    assert watch.last_call is None


async def test_huge_bodies(
    http: Caller, relay: Caller, settings: WebHookSettings, watch: WebHookWatch
) -> None:
    """No more than the limit is read of a body that is much larger."""
    for caller in (http, relay):
        reply = await caller.call(settings.start_id, b"x" * 5_000_000)
        assert reply.status == 401
    assert watch.last_problem is CallProblem.BODY


async def test_the_largest_body(http: Caller, web_home: Home) -> None:
    """A body of the maximum size is read, in whatever pieces it arrives."""
    base = len(
        json.dumps(
            {
                "chargerId": web_home.charger.id,
                "chargerName": "Space 1",
                "installationId": web_home.installation.id,
                "installationName": "Home",
                "x": "",
            }
        )
    )
    for size, status in ((BODY_SIZE_MAX, 200), (BODY_SIZE_MAX + 1, 401)):
        reply = await http.start(web_home.charger.id, x="y" * (size - base))
        assert reply.status == status


async def test_a_compressed_body(
    client: Client, web_home: Home, settings: WebHookSettings
) -> None:
    """A small body that becomes large is not unpacked beyond the limit."""
    path = ha_webhook.async_generate_path(settings.start_id)
    for body in (gzip.compress(b" " * 10_000_000), b"not compressed"):
        async with client.post(
            path,
            data=body,
            headers=authorization(settings) | {"Content-Encoding": "gzip"},
        ) as answer:
            # What does not even look compressed is refused before it reaches us.
            assert answer.status in (400, 401)


@pytest.mark.parametrize("on_error", list(OnError))
async def test_a_slow_body(
    monkeypatch: pytest.MonkeyPatch,
    client: Client,
    settings: WebHookSettings,
    watch: WebHookWatch,
    on_error: OnError,
) -> None:
    """A body that never ends is not waited for, and is no error of our own that may permit."""
    monkeypatch.setattr(webhook, "BODY_TIME", 0.05)
    path = ha_webhook.async_generate_path(settings.start_id)
    [header] = authorization(settings).items()
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\n{': '.join(header)}\r\n"
        f"Content-Length: 100\r\n\r\n{{".encode()
    )
    async with asyncio.timeout(30):
        assert b" 401 " in await reader.readline()
    writer.close()
    assert watch.last_problem is CallProblem.BODY


@pytest.mark.parametrize("on_error", list(OnError))
async def test_a_body_that_breaks_off(
    web_home: Home,
    settings: WebHookSettings,
    watch: WebHookWatch,
    on_error: OnError,
) -> None:
    """A connection that ends within the body is no error of our own that may permit."""
    content = StreamReader(Mock(), 1024)
    content.feed_data(b"{")
    content.set_exception(ConnectionResetError("Connection lost"))
    request = make_mocked_request(
        "POST", "/", headers=authorization(settings), payload=content
    )
    response = await ha_webhook.async_handle_webhook(
        web_home.hass, settings.start_id, request
    )
    assert response.status == 401
    assert watch.last_problem is CallProblem.BODY


@pytest.fixture
async def banning(hass: HomeAssistant, tmp_path: Path) -> None:
    """Let Home Assistant ban addresses after three failed logins."""
    config = {"http": {"ip_ban_enabled": True, "login_attempts_threshold": 3}}
    assert await async_setup_component(hass, "http", config)
    assert await async_setup_component(hass, "api", {})
    # The folder of Home Assistant's configuration is the same for all tests.
    hass.http.app[KEY_BAN_MANAGER].path = str(tmp_path / "ip_bans.yaml")


@pytest.mark.usefixtures("banning")
async def test_the_cloud_is_never_banned(
    http: Caller,
    client: Client,
    web_home: Home,
    settings: WebHookSettings,
    watch: WebHookWatch,
) -> None:
    """Neither the 30 calls of a waiting car nor a stranger's calls count as failed logins.

    In the end, three failed logins of another kind show that Home Assistant does ban.
    """
    for _ in range(30):
        assert (await http.start(OTHER)).status == 401
        assert (await http.call(settings.start_id, {}, {})).status == 401
        assert (await http.call(settings.end_id, b"{")).status == 400
        assert (await http.call(settings.start_id, {}, method="GET")).status == 405
    app = web_home.hass.http.app
    assert app[KEY_FAILED_LOGIN_ATTEMPTS] == {}
    assert app[KEY_BAN_MANAGER].ip_bans_lookup == {}
    assert (await http.start(web_home.charger.id)).status == 200

    for _ in range(3):
        await client.get("/api/", headers={"Authorization": "Bearer x"})
    assert (await client.get("/api/")).status == 403


async def _hang(*_args: object) -> Answer:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def _fail(*_args: object) -> Answer:
    """Fail with an exception whose text has the code of a card."""
    raise OSError(f"{CARD} could not be stored")


async def _permit_without_id(*_args: object) -> Answer:
    """Permit without the id of a session."""
    return Answer(Outcome.PERMITTED, None)


async def _permit_with_other_text(*_args: object) -> Answer:
    """Permit with an id that is no UUID."""
    return Answer(Outcome.PERMITTED, "yes")


FAILURES = (_hang, _fail, _permit_without_id, _permit_with_other_text)


@pytest.mark.parametrize("on_error", list(OnError))
@pytest.mark.parametrize("failure", FAILURES)
async def test_our_own_part_fails(
    monkeypatch: pytest.MonkeyPatch,
    relay: Caller,
    web_home: Home,
    watch: WebHookWatch,
    caplog: pytest.LogCaptureFixture,
    on_error: OnError,
    failure: Callable[..., Awaitable[Answer]],
) -> None:
    """The user has chosen what happens then: no charging, or charging with an id as always."""
    monkeypatch.setattr(ChargingAccess, "async_decide", failure)
    monkeypatch.setattr(webhook, "DECISION_TIME", 0.05)

    first, second = [await relay.start(web_home.charger.id) for _ in range(2)]
    assert first == second
    if on_error is OnError.PERMIT:
        assert first.status == 200
        assert str(UUID(first.session_id)) == first.session_id
    else:
        assert first.status == 401
    assert (await relay.start(OTHER)).status == 401
    assert watch.last_problem is CallProblem.FAILURE
    assert watch.last_call is None
    assert caplog.text.count("Answering a webhook failed with") == 1


async def test_failures_are_logged_again_after_a_success(
    monkeypatch: pytest.MonkeyPatch,
    relay: Caller,
    web_home: Home,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A car that waits does not fill the log, but a new failure is seen."""
    for expected in (1, 2):
        with monkeypatch.context() as patches:
            patches.setattr(ChargingAccess, "async_decide", _fail)
            for _ in range(3):
                await relay.start(web_home.charger.id)
        assert caplog.text.count("Answering a webhook failed with") == expected
        await relay.start(web_home.charger.id)


@pytest.mark.parametrize("failure", FAILURES[:2])
async def test_a_session_that_cannot_be_stored(
    monkeypatch: pytest.MonkeyPatch,
    relay: Caller,
    watch: WebHookWatch,
    failure: Callable[..., Awaitable[Answer]],
) -> None:
    """The answer reports no success, so the cloud reports the session again."""
    with monkeypatch.context() as patches:
        patches.setattr(ChargingAccess, "async_end", failure)
        patches.setattr(webhook, "DECISION_TIME", 0.05)
        assert (await relay.end(OTHER)).status == 401
    assert watch.last_problem is CallProblem.FAILURE
    assert (await relay.end(OTHER)).status == 200


async def test_an_error_in_the_answer_itself(
    monkeypatch: pytest.MonkeyPatch, caller: Caller, web_home: Home
) -> None:
    """Home Assistant would answer 200 for an exception, so none leaves the handler."""

    def fail(*_args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(webhook, "async_get_watch", fail)
    assert (await caller.start(web_home.charger.id)).status == 401
    assert (await caller.end(OTHER)).status == 401


def test_ids_while_the_decision_fails() -> None:
    """A call that is repeated gets the same id, but not the call for another car."""
    fallbacks = webhook._Fallbacks()
    now = dt_util.utcnow()
    first = fallbacks.session_id("a", now)
    assert fallbacks.session_id("b", now) != first
    for _ in range(5):
        now += timedelta(seconds=20)
        assert fallbacks.session_id("a", now) == first
    fallbacks.end(OTHER)
    assert fallbacks.session_id("a", now) == first
    fallbacks.end(first)
    second = fallbacks.session_id("a", now)
    assert second != first
    assert fallbacks.session_id("a", now + webhook.FALLBACK_TIME) != second


def test_ids_are_bounded_while_the_decision_fails() -> None:
    """The ids do not fill the memory."""
    fallbacks = webhook._Fallbacks()
    now = dt_util.utcnow()
    for number in range(2 * webhook._FALLBACKS_MAX):
        fallbacks.session_id(str(number), now)
    assert len(fallbacks._sessions) == webhook._FALLBACKS_MAX


async def test_new_secrets(
    web_home: Home, relay: Caller, settings: WebHookSettings, watch: WebHookWatch
) -> None:
    """After a renewal, the former ids are still ours and permit nothing, whatever is sent."""
    renewed = settings.renewed()
    await store(web_home, renewed)

    for headers in (authorization(settings), authorization(renewed)):
        for webhook_id in (settings.start_id, settings.end_id):
            body = {
                "chargerId": web_home.charger.id,
                "installationId": web_home.installation.id,
                "sessionId": OTHER,
            }
            assert (await relay.call(webhook_id, body, headers)).status == 401
    assert watch.wrong_credentials == 4
    new = Caller(through_the_cloud(web_home.hass), renewed, web_home.installation.id)
    assert (await new.start(web_home.charger.id)).status == 200
    # So the portal has the new ones, and nothing is wrong any more.
    assert watch.wrong_credentials == 0


def _registered(hass: HomeAssistant) -> set[str]:
    """Return the ids that Home Assistant answers for us."""
    return {
        webhook_id
        for webhook_id, item in hass.data.get(ha_webhook._HANDLERS, {}).items()
        if item.domain == DOMAIN
    }


async def test_which_ids_are_registered(
    web_home: Home, settings: WebHookSettings
) -> None:
    """They follow the settings: set up, renewed, turned off, and the account removed."""
    hass, entry = web_home.hass, web_home.entry
    assert _registered(hass) == set(settings.ids)
    await store(web_home, other := WebHookSettings.new(), OTHER)
    assert _registered(hass) == {*settings.ids, *other.ids}
    await store(web_home, other := other.renewed(), OTHER)
    assert _registered(hass) == {*settings.ids, *other.ids}
    assert len(_registered(hass)) == 6
    await store(web_home, None, OTHER)
    assert _registered(hass) == set(settings.ids)
    await hass.config_entries.async_unload(entry.entry_id)
    assert _registered(hass) == set(settings.ids)
    await hass.config_entries.async_remove(entry.entry_id)
    assert _registered(hass) == set()


async def test_ids_are_registered_before_accounts_are_set_up(
    new_home: Home, settings: WebHookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that comes while Home Assistant starts is never one of an unknown id."""
    hass = new_home.hass
    async_store(hass, new_home.entry, new_home.installation.id, settings)
    seen: list[set[str]] = []

    async def note(*_args: object) -> bool:
        seen.append(_registered(hass))
        return False

    monkeypatch.setattr("custom_components.zaptec.async_setup_entry", note)
    await hass.config_entries.async_setup(new_home.entry.entry_id)
    assert seen == [set(settings.ids)]


async def test_nothing_is_registered_without_web_hooks(home: Home) -> None:
    """Users who do not set web hooks up have no door."""
    assert _registered(home.hass) == set()


async def test_no_secrets_in_logs(
    http: Caller,
    web_home: Home,
    settings: WebHookSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither ids, nor passwords, nor codes of cards are logged by us at any level."""
    token = f"nfc-{uuid4().hex[:14].upper()}"
    await http.start(web_home.charger.id, token)
    await http.start(OTHER, token)
    await http.start(web_home.charger.id, token, chargerid=OTHER)
    await http.call(settings.start_id, {"token": [token]})
    await http.call(settings.start_id, {}, _basic(f"x:{token}"))
    await http.end(OTHER)

    secrets = {token, settings.username, settings.password, *settings.ids}
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components.zaptec")
    ]
    assert any("unknown charger" in text for text in ours)
    assert not [text for text in ours if any(secret in text for secret in secrets)]
    others = [
        record.getMessage()
        for record in caplog.records
        if record.levelno > logging.DEBUG and record.name != "aiohttp.access"
    ]
    assert not [text for text in others if any(secret in text for secret in secrets)]
