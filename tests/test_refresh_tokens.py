"""Refresh tokens renew the sign-in, and the user notices nothing of those that fail."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from itertools import pairwise
import json
import logging
from typing import Any

from homeassistant.components.diagnostics import REDACTED
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.zaptec.api import auth
from custom_components.zaptec.diagnostics import async_get_config_entry_diagnostics
from simulator.faults import Fault
from simulator.scenario import DEMO_USER, Scenario
from simulator.simulator import Simulator

from .conftest import OUR_LOGGERS, SecretsInLogs
from .home import Home

# Lifetime of a token, and time without refresh tokens after a failure (s). They are short,
# so that a test passes through many of them.
LIFETIME = 60
PAUSE = 5 * LIFETIME

REFRESH = "grant_type=refresh_token$"


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with one Go, in a cloud that issues refresh tokens."""
    return replace(Scenario.of(1), refresh_tokens=True)


@pytest.fixture(autouse=True)
def _short_lived_tokens(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the lives of tokens, and revoke them all if a refresh token comes twice."""
    sim.rest.tokens.lifetime = LIFETIME
    sim.rest.tokens.detects_reuse = True
    monkeypatch.setattr(auth, "REFRESH_PAUSE", PAUSE)


async def finish(home: Home, action: Coroutine[Any, Any, None]) -> None:
    """Let time pass until an action has ended."""
    task = asyncio.ensure_future(action)
    for _ in range(60):
        if task.done():
            break
        await home.time_machine.pass_by(0.5)
    await task


async def renew(home: Home, times: int = 1) -> None:
    """Let tokens expire, and read the lists each time; the user must not notice it."""
    coordinator = home.entry.runtime_data.coordinator
    for _ in range(times):
        await home.travel(LIFETIME, step=20)
        await finish(home, coordinator.async_refresh())
        assert coordinator.last_update_success
        assert home.state("sensor", "push_status") == "connected"
        assert home.hass.config_entries.flow.async_progress() == []
        assert not ir.async_get(home.hass).issues


def grants(home: Home) -> list[str]:
    """Return the grants of all token requests since the last `clear`."""
    requests = [item for item in home.sim.rest.requests if item.grant]
    for before, after in pairwise(requests):
        assert after.time_monotonic - before.time_monotonic > 1
    assert home.sim.rest.tokens.reused == 0
    return [str(item.grant) for item in requests]


async def test_refresh_tokens_renew_the_token(home: Home) -> None:
    """The password is sent once, and each refresh token is sent once."""
    await renew(home, 10)
    assert grants(home) == ["password", *["refresh_token"] * 10]


@pytest.mark.parametrize(
    "fault",
    [
        400,
        401,
        403,
        404,
        429,
        500,
        502,
        503,
        "html",
        "empty",
        "malformed",
        "redirect",
        "truncated",
        "reset",
        "hang",
    ],
)
async def test_refresh_tokens_that_fail_are_not_noticed(
    home: Home, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The password is used at once and for some time, and only the debug log has a line."""
    home.clear()
    caplog.clear()
    home.sim.rest.fail(REFRESH, fault=fault)
    await renew(home, 7)
    assert grants(home) == [
        "refresh_token",
        *["password"] * 5,
        "refresh_token",
        *["password"] * 2,
    ]
    lines = [item for item in caplog.records if item.name.startswith(OUR_LOGGERS)]
    assert [item for item in lines if item.levelno > logging.DEBUG] == []
    assert caplog.text.count("A refresh token failed") == 2


@pytest.mark.parametrize("fault", [400, 503, "reset", "hang", "truncated"])
async def test_a_refresh_token_that_fails_does_not_hold_a_command_back(
    home: Home, fault: Fault
) -> None:
    """A command is carried out by the password."""
    await home.travel(LIFETIME, step=20)
    home.clear()
    home.sim.rest.fail(REFRESH, fault=fault)
    await finish(home, home.set_value("charger_max_current", 10))
    assert home.charger.max_current == 10
    assert grants(home) == ["refresh_token", "password"]


async def test_refresh_tokens_that_expire_are_not_noticed(home: Home) -> None:
    """If a refresh token has expired before it is used, the password is used."""
    await renew(home)
    home.sim.rest.tokens.refresh_lifetime = LIFETIME / 2
    await renew(home)
    home.clear()
    await renew(home, 7)
    assert grants(home) == [
        "refresh_token",
        *["password"] * 5,
        "refresh_token",
        *["password"] * 2,
    ]


async def test_a_cloud_that_stops_issuing_refresh_tokens_gets_the_password(
    home: Home,
) -> None:
    """After a response without a refresh token, the password is used until there is one."""
    home.clear()
    home.sim.rest.tokens.gives_refresh_tokens = False
    await renew(home, 3)
    home.sim.rest.tokens.gives_refresh_tokens = True
    await renew(home, 3)
    assert grants(home) == [
        "refresh_token",
        "password",
        "password",
        "password",
        "refresh_token",
        "refresh_token",
    ]


async def test_revoked_tokens_are_replaced_by_the_password(home: Home) -> None:
    """If the cloud revokes all tokens, a command signs in by the password."""
    home.clear()
    home.sim.rest.tokens.revoke()
    await finish(home, home.set_value("charger_max_current", 10))
    assert home.charger.max_current == 10
    assert grants(home) == ["password"]


async def test_only_a_refused_password_asks_the_user_to_sign_in(home: Home) -> None:
    """A changed password starts the reauthentication, once its refresh tokens are revoked."""
    await home.travel(LIFETIME, step=20)
    home.clear()
    home.sim.set_password(DEMO_USER, "another")
    await finish(home, home.entry.runtime_data.coordinator.async_refresh())
    (flow,) = home.hass.config_entries.flow.async_progress()
    assert flow["step_id"] == "reauth_confirm"
    assert grants(home) == ["refresh_token", "password"]


async def test_a_reload_checks_the_password(home: Home) -> None:
    """After a reload or a new password, the refresh token is gone and the password is used."""
    await home.travel(5)
    home.clear()
    await home.reload()
    assert grants(home) == ["password"]


async def test_an_outage_of_the_sign_in_gets_one_refresh_token(home: Home) -> None:
    """While neither grant works, refresh tokens are not sent again, and messages go on."""
    await home.travel(LIFETIME, step=20)
    home.clear()
    home.sim.rest.fail("^/oauth/token$", fault=503)
    coordinator = home.entry.runtime_data.coordinator
    for _ in range(3):
        await finish(home, coordinator.async_refresh())
        assert not coordinator.last_update_success
    assert grants(home)[:2] == ["refresh_token", "password"]
    assert grants(home).count("refresh_token") == 1
    assert home.state("sensor", "push_status") == "connected"
    home.sim.rest.heal()
    await finish(home, coordinator.async_refresh())
    assert coordinator.last_update_success
    assert grants(home).count("refresh_token") == 1


async def test_refresh_tokens_are_kept_secret(
    home: Home, secrets_in_logs: SecretsInLogs
) -> None:
    """Diagnostics and the stored entry have no refresh token; a fixture searches the log."""
    home.sim.rest.fail(REFRESH, fault=400, times=1)
    await renew(home, 8)
    assert set(grants(home)) == {"password", "refresh_token"}
    secrets = home.sim.rest.tokens.issued
    assert len(secrets) == 2 * (len(grants(home)) - 1)
    shown = json.dumps(
        [
            await async_get_config_entry_diagnostics(home.hass, home.entry),
            dict(home.entry.data),
            dict(home.entry.options),
        ],
        default=str,
    )
    assert REDACTED in shown
    assert [secret for secret in secrets if secret in shown] == []
    assert secrets_in_logs.secrets() >= secrets
