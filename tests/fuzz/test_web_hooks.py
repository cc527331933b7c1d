"""No call to a web hook crashes, hangs, or permits a car unless it is entirely right.

`ZAPTEC_WEB_HOOK_CALLS` sets how many calls are made, such as a million.
"""

import asyncio
from base64 import b64decode
import json
import logging
import os
from typing import Any

from homeassistant.components import webhook
from homeassistant.core import HomeAssistant
from homeassistant.util.aiohttp import MockRequest, serialize_response
from hypothesis import HealthCheck, example, given, settings, strategies as st
import pytest

from custom_components.zaptec.api import parse_uuid
from custom_components.zaptec.web_hook_calls import (
    BODY_SIZE_MAX,
    BRACKETS_MAX,
    COMMAS_MAX,
    parse_start,
)
from custom_components.zaptec.web_hook_settings import (
    CallProblem,
    OnError,
    WebHookSettings,
    WebHookWatch,
    async_get_watch,
    async_store,
)

from ..home import Home
from .targets import web_hook
from .test_fuzz import DOCUMENTS, OBJECTS, SOME, as_json
from .web_hook_grammar import Call, Site, calls, variants

# Number of calls, and of those that are made of one that Hypothesis draws.
CALLS = int(os.environ.get("ZAPTEC_WEB_HOOK_CALLS", "6000"))
VARIANTS = len(list(variants(Call("POST", "", {}, b""), 0)))

# Longest real time of a call (s). None takes a thousandth of it, but the machine may be busy.
PATIENCE = 30.0

UUID = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"

pytestmark = pytest.mark.timeout(0 if CALLS > 6000 else 300)


@SOME
@given(st.binary() | DOCUMENTS.map(as_json) | OBJECTS.map(as_json))
def test_bodies(data: bytes) -> None:
    """Any body is parsed as a call, or refused with the documented error."""
    web_hook(data)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * BODY_SIZE_MAX,
        b"[" * BRACKETS_MAX,
        b"[" + b"12345678901234567890," * COMMAS_MAX + b"1]",
        b"{" + b'"":0,' * COMMAS_MAX + b'"":1}',
        b'{"a":' * (BODY_SIZE_MAX // 5),
        b'{"":0,' * (BODY_SIZE_MAX // 6),
        b"[" + b"1," * (BODY_SIZE_MAX // 2 - 2) + b"1]",
        b"9" * BODY_SIZE_MAX,
        b'"' + b"\\ud800" * (BODY_SIZE_MAX // 6 - 1) + b'"',
        b'{"token":"' + b"\\u00e9" * 2700 + b'"}',
        b" " * BODY_SIZE_MAX,
    ],
    ids=range(11),
)
def test_no_body_costs_more_than_a_millisecond(body: bytes) -> None:
    """Even the slowest body is parsed in time, because the event loop is blocked meanwhile."""
    assert len(body) <= BODY_SIZE_MAX
    web_hook(body)


def _is_right(site: Site, call: Call) -> bool:
    """Return whether a car may be permitted, by a reading of its own."""
    sent = call.headers.get("Authorization", call.headers.get("authorization", ""))
    scheme, _, code = sent.partition(" ")
    try:
        credentials = b64decode(code)
        fields = json.loads(call.body.decode("utf-8-sig"))
        ids = {name.lower(): value for name, value in fields.items()}
    except AttributeError, ValueError, RecursionError:
        return False
    return (
        call.method == "POST"
        and call.webhook_id == site.start_id
        and scheme.lower() == "basic"
        and credentials == f"{site.username}:{site.password}".encode()
        and len(call.body) <= BODY_SIZE_MAX
        and parse_uuid(ids.get("chargerid")) == site.charger_id
        and parse_uuid(ids.get("installationid")) == site.installation_id
    )


class Victim:
    """A Home Assistant that is called, and what its answers are checked with."""

    def __init__(self, hass: HomeAssistant, site: Site, watch: WebHookWatch) -> None:
        """Initialize the victim."""
        self._hass = hass
        self._site = site
        self._watch = watch
        self.statuses: dict[int, int] = {}
        # The card and the session of the last call that was permitted.
        self._permitted: tuple[str | None, str] | None = None

    async def take(self, drawn: Call, seed: int) -> None:
        """Check the answers to a call and its variants."""
        for call in variants(drawn, seed):
            async with asyncio.timeout(PATIENCE):
                status, document = await self._answer(call)
            self._check(call, status, document)
            self.statuses[status] = self.statuses.get(status, 0) + 1

    async def _answer(self, call: Call) -> tuple[int, Any]:
        """Return the answer to a call."""
        request = MockRequest(
            call.body, "cloud", call.method, headers=dict(call.headers)
        )
        response = await webhook.async_handle_webhook(
            self._hass, call.webhook_id, request
        )
        relayed = serialize_response(response)
        return relayed["status"], json.loads(relayed["body"])

    def _check(self, call: Call, status: int, document: Any) -> None:
        """Check the answer to a call."""
        assert status in (200, 400, 401, 405)
        assert self._watch.last_problem is not CallProblem.FAILURE
        assert (status == 405) == (call.method != "POST")
        if call.webhook_id == self._site.end_id:
            assert "sessionId" not in document
            return
        assert status != 400
        if status == 200:
            assert _is_right(self._site, call)
            assert parse_uuid(document["sessionId"])
            # A call with the same card is one that is repeated, so it gets the same id.
            card = parse_start(call.body).request.token
            if self._permitted and self._permitted[0] == card:
                assert document["sessionId"] == self._permitted[1]
            self._permitted = card, document["sessionId"]
        else:
            assert "sessionId" not in document


async def test_calls(new_home: Home) -> None:
    """Calls of all kinds are answered while everyone may charge and our errors would permit."""
    hass, installation_id = new_home.hass, new_home.installation.id
    hooks = WebHookSettings.new(OnError.PERMIT)
    async_store(hass, new_home.entry, installation_id, hooks)
    await new_home.start()
    site = Site(
        hooks.start_id,
        hooks.end_id,
        hooks.username,
        hooks.password,
        installation_id,
        new_home.charger.id,
    )
    victim = Victim(hass, site, async_get_watch(hass, installation_id))
    loop = asyncio.get_running_loop()
    body = json.dumps({"chargerId": site.charger_id, "installationId": installation_id})
    right = Call("POST", site.start_id, {"Authorization": site.header}, body.encode())

    @settings(
        max_examples=max(1, CALLS // VARIANTS),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(site), st.integers(0, 1 << 16))
    @example(right, 1)
    def take(call: Call, seed: int) -> None:
        asyncio.run_coroutine_threadsafe(victim.take(call, seed), loop).result()

    # Hypothesis draws the calls in another thread, and the event loop answers them.
    await asyncio.to_thread(take)

    logging.getLogger(__name__).warning("Answers by status: %s", victim.statuses)
    assert victim.statuses.keys() == {200, 400, 401, 405}
    assert sum(victim.statuses.values()) >= CALLS
