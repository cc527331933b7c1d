"""Tests that the REST service answers as documented, and enforces the vendor's rules."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
import json
import re
from typing import Any

import aiohttp
import pytest

from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import STATUSES, Fault
from simulator.installation import NetworkType
from simulator.observations import StateId
from simulator.scenario import ChargerScenario, InstallationScenario, Scenario
from simulator.simulator import Simulator

from .conftest import START, Api, by_serial

type SignIn = Callable[[str], Api]


@pytest.fixture
def pro(sim: Simulator) -> Charger:
    """Return the first Pro of the garage."""
    return by_serial(sim, "ZPR000001")


@pytest.fixture
def go(sim: Simulator) -> Charger:
    """Return the Go at home."""
    return by_serial(sim, "ZAP000001")


async def ask_token(
    sim: Simulator, session: aiohttp.ClientSession, **form: str
) -> tuple[int, Any]:
    """Return status and content of a token request."""
    async with session.post(f"{sim.api_url}/oauth/token", data=form) as answer:
        text = await answer.text()
        if answer.content_type == "application/json":
            return answer.status, json.loads(text)
        return answer.status, text


def password_form(name: str = "owner", password: str = "secret") -> dict[str, str]:
    """Return a password grant."""
    return {
        "grant_type": "password",
        "username": f"{name}@example.com",
        "password": password,
    }


# Tokens.


async def test_a_token_opens_the_api(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The password grant returns a bearer token for a day, without a refresh token."""
    status, answer = await ask_token(sim, session, **password_form())
    assert status == 200
    token = answer.pop("access_token")
    assert answer == {"token_type": "bearer", "expires_in": 86_399}
    documents = await Api(sim, session, token).get("chargers")
    assert len(documents["Data"]) == 4


@pytest.mark.parametrize(
    ("name", "password", "description"),
    [
        ("owner", "wrong", "invalid_username_or_password"),
        ("nobody", "secret", "invalid_username_or_password not_found"),
    ],
)
async def test_a_wrong_password_is_an_invalid_grant(
    sim: Simulator,
    session: aiohttp.ClientSession,
    name: str,
    password: str,
    description: str,
) -> None:
    """400 with OAuth's error document, for a wrong password and an unknown account."""
    status, answer = await ask_token(sim, session, **password_form(name, password))
    assert status == 400
    assert answer == {"error": "invalid_grant", "error_description": description}


async def test_other_grants_are_refused(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """Only the grants of passwords and refresh tokens are accepted."""
    status, answer = await ask_token(sim, session, grant_type="client_credentials")
    assert (status, answer["error"]) == (400, "unsupported_grant_type")


async def test_a_refresh_token_comes_with_its_scope_and_works_once(
    sim: Simulator,
) -> None:
    """The scope offline_access returns a refresh token, which can be used once."""
    answer = sim.rest.tokens.issue(password_form() | {"scope": "offline_access"})
    form = {
        "grant_type": "refresh_token",
        "refresh_token": str(answer["refresh_token"]),
    }
    async with aiohttp.ClientSession() as session:
        status, again = await ask_token(sim, session, username="a", **form)
        assert (status, "access_token" in again) == (200, True)
        status, refusal = await ask_token(sim, session, username="b", **form)
    assert status == 400
    assert refusal["error_uri"].endswith("ID2003")


def refresh_form(answer: dict[str, object]) -> dict[str, str]:
    """Return a grant for the refresh token of an answer."""
    return {
        "grant_type": "refresh_token",
        "refresh_token": str(answer["refresh_token"]),
    }


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the service answer any number of token requests a second."""
    monkeypatch.setattr("simulator.tokens._PACE", 0.0)


@pytest.mark.usefixtures("unhurried")
async def test_refresh_tokens_rotate_while_they_are_switched_on(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """Any scope returns a refresh token, and its answer the next one, until that is switched off."""
    sim.rest.tokens.gives_refresh_tokens = True
    answer = sim.rest.tokens.issue(password_form())
    status, second = await ask_token(sim, session, **refresh_form(answer))
    assert status == 200
    assert second["refresh_token"] != answer["refresh_token"]
    assert (await Api(sim, session, second["access_token"]).call("GET", "chargers"))[
        0
    ] == 200
    sim.rest.tokens.gives_refresh_tokens = False
    status, third = await ask_token(sim, session, **refresh_form(second))
    assert (status, "access_token" in third) == (200, True)
    assert "refresh_token" not in third


@pytest.mark.usefixtures("unhurried")
async def test_a_refresh_token_that_has_expired_is_invalid(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """An expired or revoked refresh token gets the same answer as an unknown one."""
    tokens = sim.rest.tokens
    tokens.gives_refresh_tokens = True
    tokens.refresh_lifetime = 0.0
    expired = tokens.issue(password_form())
    tokens.refresh_lifetime = 3600.0
    revoked = tokens.issue(password_form())
    tokens.revoke("owner@example.com")
    for answer in (expired, revoked, {"refresh_token": "unknown"}):
        status, refusal = await ask_token(sim, session, **refresh_form(answer))
        assert (status, refusal["error"]) == (400, "invalid_grant")
        assert refusal["error_uri"].endswith("ID2003")
    assert tokens.reused == 0


@pytest.mark.usefixtures("unhurried")
async def test_a_refresh_token_that_is_used_again_revokes_all_tokens(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """Where the reuse of a refresh token is detected, the account has to sign in again."""
    tokens = sim.rest.tokens
    tokens.gives_refresh_tokens = tokens.detects_reuse = True
    answer = tokens.issue(password_form())
    _, second = await ask_token(sim, session, **refresh_form(answer))
    assert tokens.reused == 0
    status, refusal = await ask_token(sim, session, **refresh_form(answer))
    assert (status, refusal["error"]) == (400, "invalid_grant")
    assert refusal["error_description"] == "refresh token re-use was detected"
    assert tokens.reused == 1
    assert (await Api(sim, session, second["access_token"]).call("GET", "chargers"))[
        0
    ] == 401
    assert (await ask_token(sim, session, **refresh_form(second)))[0] == 400


@pytest.mark.usefixtures("unhurried")
async def test_a_fault_can_concern_one_grant_and_uses_up_its_refresh_token(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """A failed request with a refresh token counts as one whose answer was lost."""
    tokens = sim.rest.tokens
    tokens.gives_refresh_tokens = True
    answer = tokens.issue(password_form())
    sim.rest.fail("grant_type=refresh_token$", fault=503)
    status, page = await ask_token(sim, session, **refresh_form(answer))
    assert status == 503
    assert "nginx" in page
    assert (await ask_token(sim, session, **password_form()))[0] == 200
    assert tokens.reused == 0
    assert (await ask_token(sim, session, **refresh_form(answer)))[0] == 503
    assert tokens.reused == 1
    sim.rest.heal()
    status, refusal = await ask_token(sim, session, **refresh_form(answer))
    assert (status, refusal["error"]) == (400, "invalid_grant")
    assert tokens.reused == 2
    sim.rest.fail("^/oauth/token$", fault=502)
    assert (await ask_token(sim, session, **password_form()))[0] == 502
    assert (await ask_token(sim, session, **refresh_form(answer)))[0] == 502


async def test_a_refresh_token_counts_for_the_limit_of_its_account(
    sim: Simulator, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh token within a second of the sign-in meets the front server, and stays valid."""
    sim.rest.tokens.gives_refresh_tokens = True
    _, answer = await ask_token(sim, session, **password_form())
    assert (await ask_token(sim, session, **refresh_form(answer)))[0] == 503
    monkeypatch.setattr("simulator.tokens._PACE", 0.0)
    assert (await ask_token(sim, session, **refresh_form(answer)))[0] == 200


async def test_more_than_one_token_request_a_second_meets_the_front_server(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The response is nginx's 503 without Retry-After; other accounts are not affected."""
    assert (await ask_token(sim, session, **password_form()))[0] == 200
    status, page = await ask_token(sim, session, **password_form())
    assert status == 503
    assert "nginx/1.29.0" in page
    assert (await ask_token(sim, session, **password_form("service")))[0] == 200


async def test_a_bad_or_expired_or_revoked_token_is_401(
    sim: Simulator, session: aiohttp.ClientSession, sign_in: SignIn
) -> None:
    """The response is the same for bad, expired and revoked tokens."""
    assert (await Api(sim, session, "nonsense").call("GET", "chargers"))[0] == 401
    sim.rest.tokens.lifetime = 0
    assert (await sign_in("owner").call("GET", "chargers"))[0] == 401
    sim.rest.tokens.lifetime = 3600
    service = sign_in("service")
    assert (await service.call("GET", "chargers"))[0] == 200
    sim.set_password("service@example.com", "new")
    assert (await service.call("GET", "chargers"))[0] == 401
    form = password_form("stranger")
    assert (await ask_token(sim, session, **form))[0] == 200
    sim.set_password("stranger@example.com", "new")
    assert sim.accounts["stranger@example.com"].password == "new"


# Lists.


async def test_installations_leave_out_what_they_do_not_have(
    sim: Simulator, owner: Api
) -> None:
    """Documents have no null, and AvailableCurrent only if it was set."""
    answer = await owner.get("installation")
    home, garage = answer["Data"]
    assert answer["Pages"] == 1
    assert "AvailableCurrent" not in home
    assert garage["AvailableCurrent"] == 40
    assert (home["InstallationType"], home["NetworkType"]) == (1, 4)
    assert (home["CurrentUserRoles"], home["AuthenticationType"]) == (3, 0)
    assert None not in home.values()
    detail = await owner.get(f"installation/{garage['Id']}")
    assert detail["TimeZoneIanaName"] == "Europe/Oslo"
    assert set(garage) <= set(detail)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?", home["UpdatedOn"]
    )


async def test_the_hierarchy_is_a_tree(sim: Simulator, owner: Api) -> None:
    """The hierarchy has the circuits of an installation, and their chargers."""
    (garage,) = (item for item in sim.installations.values() if item.name == "Garage")
    tree = await owner.get(f"installation/{garage.id}/hierarchy")
    (circuit,) = tree["Circuits"]
    assert [item["DeviceId"] for item in circuit["Chargers"]] == [
        "ZPR000001",
        "ZPR000002",
        "ZPR000003",
    ]
    assert circuit["MaxCurrent"] == 60


async def test_the_chargers_list_has_the_mode_and_filters(
    sim: Simulator, owner: Api, pro: Charger, go: Charger
) -> None:
    """The list has OperatingMode and IsOnline, and filters by name, serial and installation."""
    pro.plug_in(Car())
    go.set_offline()
    items = {item["DeviceId"]: item for item in (await owner.get("chargers"))["Data"]}
    assert items["ZPR000001"]["OperatingMode"] == 2
    assert items["ZAP000001"]["IsOnline"] is False
    assert items["ZAP000001"]["DeviceType"] == 4
    assert items["ZAP000001"]["MID"] == "ZAP000001"
    go.is_power_meter = True
    (item,) = (await owner.get("chargers", NameFilter="zap000001"))["Data"]
    assert item["DeviceType"] == 5
    for query, expected in (
        ({"NameFilter": "zpr000002"}, ["ZPR000002"]),
        ({"NameFilter": "carp"}, ["ZAP000001"]),
        ({"InstallationId": go.installation.id.upper()}, ["ZAP000001"]),
    ):
        found = (await owner.get("chargers", **query))["Data"]
        assert [item["DeviceId"] for item in found] == expected


async def test_the_charger_detail_has_the_meter(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """SignedMeterValueKwh is the last reading that was reported."""
    detail = await owner.get(f"chargers/{pro.id}")
    assert detail["SignedMeterValueKwh"] == 1234.5
    assert detail["SignedMeterValue"].startswith("OCMF|")
    pro.plug_in(Car())
    sim.clock.advance(12 * 60 + 1)
    at_the_quarter = pro.lifetime_energy
    sim.clock.advance(600)
    detail = await owner.get(f"chargers/{pro.id}")
    assert detail["SignedMeterValueKwh"] == pytest.approx(at_the_quarter, abs=0.01)


async def test_paging(socket_enabled: None, session: aiohttp.ClientSession) -> None:
    """A page has 50 items by default and 100 at most, and the number of pages."""
    async with Simulator(Scenario.of(130)) as sim:
        form = {"grant_type": "password", "username": "demo@example.com"}
        token = sim.rest.tokens.issue(form | {"password": "demo"})["access_token"]
        api = Api(sim, session, str(token))
        for query, sizes in (
            ({}, [50, 50, 30]),
            ({"PageSize": 100}, [100, 30]),
            ({"PageSize": 500}, [100, 30]),
        ):
            pages = [
                await api.get("chargers", PageIndex=index, **query)
                for index in range(len(sizes))
            ]
            assert [page["Pages"] for page in pages] == [len(sizes)] * len(sizes)
            assert [len(page["Data"]) for page in pages] == sizes
            ids = {item["Id"] for page in pages for item in page["Data"]}
            assert len(ids) == 130
        status, answer = await api.call("GET", "chargers", params={"PageSize": "x"})
        assert status == 400
        assert isinstance(answer, dict)
        assert answer["Code"] == 529


# Roles.


async def test_a_stranger_sees_nothing(
    sim: Simulator, sign_in: SignIn, pro: Charger
) -> None:
    """Without a role, lists are empty, and each object is refused as the vendor does."""
    stranger = sign_in("stranger")
    place = pro.installation.id
    assert await stranger.get("chargers") == {"Pages": 0, "Data": []}
    assert await stranger.get("installation") == {"Pages": 0, "Data": []}
    for path in (f"chargers/{pro.id}", f"chargers/{pro.id}/state"):
        assert await stranger.call("GET", path) == (403, None)
    assert (await stranger.post(f"chargers/{pro.id}/sendCommand/102"))[0] == 403
    status, answer = await stranger.call("GET", f"installation/{place}")
    assert (status, answer) == (
        500,
        {"Code": 512, "Details": "Unknown object", "StackTrace": None},
    )
    for path, expected in (
        (f"installation/{place}/hierarchy", 204),
        (f"chargerFirmware/installation/{place}", 403),
    ):
        assert await stranger.call("GET", path) == (expected, None)


async def test_a_user_sees_less_and_changes_nothing(
    sign_in: SignIn, pro: Charger
) -> None:
    """A user gets fewer fields, and neither connection details nor writes."""
    user = sign_in("user")
    place = pro.installation.id
    (item,) = (await user.get("installation", NameFilter="Garage"))["Data"]
    assert item["CurrentUserRoles"] == 1
    assert "AuthenticationType" not in item
    firmware = await user.get(f"chargerFirmware/installation/{place}")
    assert {"IsOnline", "DeviceType"}.isdisjoint(firmware[0])
    assert len(await user.get(f"chargers/{pro.id}/state")) > 50
    for path, expected in (
        (f"installation/{place}/messagingConnectionDetails", 403),
        (f"installation/{place}/hierarchy", 204),
        (f"chargers/{pro.id}", 403),
    ):
        assert (await user.call("GET", path))[0] == expected
    for path in (
        f"installation/{place}/update",
        f"chargers/{pro.id}/update",
        f"chargers/{pro.id}/sendCommand/506",
    ):
        assert (await user.post(path))[0] == 403


async def test_only_service_sets_the_maximum_current(
    sim: Simulator, sign_in: SignIn, pro: Charger
) -> None:
    """MaxCurrent needs the maintainer's role."""
    path = f"installation/{pro.installation.id}/update"
    assert (await sign_in("owner").post(path, maxCurrent=50))[0] == 403
    assert pro.installation.max_current == 60
    assert await sign_in("service").post(path, maxCurrent=50) == (200, None)
    assert pro.installation.max_current == 50


# State.


async def test_state_is_what_was_reported(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """The state has each StateId with its last time and, if any, value, sorted."""
    pro.plug_in(Car())
    sim.clock.advance(120)
    pro.unplug()
    sim.clock.advance(20)
    entries = await owner.get(f"chargers/{pro.id}/state")
    ids = [entry["StateId"] for entry in entries]
    assert ids == sorted(pro.observations)
    assert {entry["ChargerId"] for entry in entries} == {pro.id}
    by_id = {entry["StateId"]: entry for entry in entries}
    for state_id in (-1, 553, 721):
        assert "ValueAsString" not in by_id[state_id]
    for state_id, stored in pro.observations.items():
        entry = by_id[state_id]
        assert entry.get("ValueAsString") == stored.value
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,2}[1-9])?", entry["Timestamp"]
        )
        written = START.fromisoformat(f"{entry['Timestamp']}+00:00")
        assert abs(written - stored.timestamp) <= timedelta(milliseconds=2)


async def test_state_is_cached_for_15_seconds(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """A change shows only when the cache has expired, by the simulated clock."""

    async def mode() -> str:
        entries = await owner.get(f"chargers/{pro.id}/state")
        return next(
            str(entry["ValueAsString"])
            for entry in entries
            if entry["StateId"] == StateId.OPERATION_MODE
        )

    assert await mode() == "1"
    pro.plug_in(Car())
    assert await mode() == "1"
    sim.clock.advance(14.9)
    assert await mode() == "1"
    sim.clock.advance(0.2)
    assert await mode() == "3"


async def test_an_unknown_charger_is_404(sim: Simulator, owner: Api) -> None:
    """An unknown charger is refused with the newer error document."""
    path = "chargers/00000000-0000-0000-0000-000000000001/state"
    assert await owner.call("GET", path) == (
        404,
        {"errorCode": 512, "message": "Charger not found."},
    )


# Writes.


async def test_available_current_is_set_and_used(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """The current is one value or three; an omitted phase gets the whole current."""
    path = f"installation/{pro.installation.id}/update"
    pro.plug_in(Car(max_current=32))
    sim.clock.advance(30)
    before = pro.installation.updated
    assert await owner.post(path, availableCurrent=10.5) == (200, None)
    assert pro.value(708) == "10.5"
    assert pro.installation.updated > before
    assert await owner.post(path, AvailableCurrentPhase1=20, AvailableCurrentPhase2=25)
    assert list(pro.installation.available_current or ()) == [20, 25, 60]
    document = await owner.get(f"installation/{pro.installation.id}")
    assert [document[f"AvailableCurrentPhase{i}"] for i in (1, 2, 3)] == [20, 25, 60]
    assert pro.value(708) == "20"
    assert (await owner.post(path, threeToOnePhaseSwitchCurrent=32))[0] == 200
    sim.clock.advance(2)
    assert pro.value(519) == "1"
    document = await owner.get(f"installation/{pro.installation.id}")
    assert document["ThreeToOnePhaseSwitchCurrent"] == 32


@pytest.mark.parametrize(
    "body",
    [
        {"availableCurrent": 60.1},
        {"availableCurrent": -1},
        {"availableCurrent": "ten"},
        {"availableCurrent": True},
        {"availableCurrent": 10, "availableCurrentPhase1": 10},
        {"availableCurrentPhase3": 61},
        {"threeToOnePhaseSwitchCurrent": 33},
        {"availableCurrent": 10, "threeToOnePhaseSwitchCurrent": 33},
    ],
)
async def test_a_wrong_installation_update_changes_nothing(
    owner: Api, pro: Charger, body: dict[str, Any]
) -> None:
    """An invalid update is refused with 400, Code and Details."""
    path = f"installation/{pro.installation.id}/update"
    status, answer = await owner.post(path, **body)
    assert (status, answer["Code"]) == (400, 529)
    assert answer["Details"]
    assert list(pro.installation.available_current or ()) == [40, 40, 40]
    assert pro.installation.three_to_one_phase_switch_current is None


async def test_a_scheduled_installation_refuses_a_current(
    owner: Api, pro: Charger
) -> None:
    """The owner can set the available current in manual mode only."""
    pro.installation.available_current_mode = 2
    path = f"installation/{pro.installation.id}/update"
    status, answer = await owner.post(path, availableCurrent=10)
    assert (status, answer["Code"]) == (500, 505)
    assert list(pro.installation.available_current or ()) == [40, 40, 40]


async def test_charger_settings_are_reported(owner: Api, pro: Charger) -> None:
    """Each setting is reported as an observation."""
    answer = await owner.post(
        f"chargers/{pro.id}/update",
        maxChargeCurrent=16.5,
        minChargeCurrent=7,
        offlineChargeCurrent=-1,
        offlineChargePhase=1,
        maxChargePhases=1,
        meterValueInterval=300,
    )
    assert answer == (200, None)
    values = {key: pro.value(key) for key in (510, 511, 523, 522, 520, 555)}
    assert values == {510: "16.5", 511: "7", 523: "-1", 522: "1", 520: "1", 555: "300"}


@pytest.mark.parametrize(
    "body",
    [
        {"maxChargeCurrent": 33},
        {"maxChargeCurrent": None},
        {"minChargeCurrent": -1},
        {"offlineChargeCurrent": -0.5},
        {"maxChargePhases": 2},
        {"offlineChargePhase": 3},
        {"meterValueInterval": 0},
        {"maxChargeCurrent": 10, "meterValueInterval": 0},
    ],
)
async def test_a_wrong_charger_update_changes_nothing(
    owner: Api, pro: Charger, body: dict[str, Any]
) -> None:
    """400 with Code and Details; a right field beside a wrong one is not applied."""
    before = dict(pro.observations)
    status, answer = await owner.post(f"chargers/{pro.id}/update", **body)
    assert (status, answer["Code"]) == (400, 529)
    assert pro.observations == before


async def test_a_body_must_be_a_json_object(owner: Api, pro: Charger) -> None:
    """A body that is not a JSON object is refused with 400."""
    for data in (b"[]", b"{"):
        path = f"chargers/{pro.id}/update"
        assert (await owner.call("POST", path, data=data))[0] == 400


async def test_offline_phases_are_the_networks(owner: Api, go: Charger) -> None:
    """The flags of the update become a PhaseId of TN or IT (522)."""
    path = f"chargers/{go.id}/update"
    for network, phase_id in (
        (NetworkType.TN_3_PHASE, "3"),
        (NetworkType.IT_3_PHASE, "5"),
    ):
        go.installation.network_type = network
        assert (await owner.post(path, offlineChargePhase=4))[0] == 200
        assert go.value(522) == phase_id


async def test_a_go_has_no_phase_setting(owner: Api, go: Charger) -> None:
    """The documented endpoint refuses the setting for a Go."""
    status, answer = await owner.post(f"chargers/{go.id}/update", maxChargePhases=1)
    assert (status, answer["Code"]) == (500, 527)


# Commands.


async def test_commands_follow_the_vendors_rules(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """A command is accepted with 200, or refused with 500, Code 528 and the vendor's text."""
    stop, resume = (
        f"chargers/{pro.id}/{item}" for item in ("SendCommand/506", "sendcommand/507")
    )
    status, answer = await owner.post(stop)
    assert status == 500
    assert answer["Code"] == 528
    pro.plug_in(Car())
    sim.clock.advance(30)
    assert await owner.post(resume) == (
        500,
        {
            "Code": 528,
            "Details": "Charging is not Paused nor Scheduled; Resume command cannot be sent",
            "StackTrace": None,
        },
    )
    assert await owner.post(stop) == (200, None)
    sim.clock.advance(6)
    assert pro.value(710) == "5"
    assert (await owner.post(stop))[1]["Code"] == 528
    assert await owner.post(resume) == (200, None)
    sim.clock.advance(10)
    assert pro.value(710) == "3"
    status, answer = await owner.post(f"chargers/{pro.id}/sendCommand/10001")
    assert (status, answer) == (
        500,
        {"Code": 528, "Details": None, "StackTrace": None},
    )
    assert pro.value(721) is None


async def test_unknown_commands_and_unreachable_chargers(
    owner: Api, pro: Charger
) -> None:
    """An unknown command is refused with 519, an offline charger with 520."""
    for command in (501, 104, 708):
        status, answer = await owner.post(f"chargers/{pro.id}/sendCommand/{command}")
        assert (status, answer["Code"]) == (500, 519)
    pro.set_offline()
    status, answer = await owner.post(f"chargers/{pro.id}/sendCommand/102")
    assert (status, answer["Code"]) == (500, 520)


async def test_firmware(sim: Simulator, owner: Api, pro: Charger) -> None:
    """The list shows the current and the available version."""
    path = f"chargerFirmware/installation/{pro.installation.id}"
    first = (await owner.get(path))[0]
    assert first == {
        "ChargerId": pro.id,
        "DeviceId": "ZPR000001",
        "IsOnline": True,
        "CurrentVersion": "3.2.2.0",
        "AvailableVersion": "3.2.4.1",
        "DeviceType": 1,
        "IsUpToDate": False,
    }
    assert (await owner.post(f"chargers/{pro.id}/sendCommand/200"))[0] == 200
    sim.clock.advance(60)
    assert (await owner.get(path))[0]["IsOnline"] is False
    sim.clock.advance(60)
    again = (await owner.get(path))[0]
    assert (again["CurrentVersion"], again["IsUpToDate"]) == ("3.2.4.1", True)


# Messaging, constants, sessions.


async def test_connection_details_lead_to_the_bus(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """The details lead to the installation's topic; without messaging they are refused."""
    path = f"installation/{pro.installation.id}/messagingConnectionDetails"
    details = await owner.get(path)
    topic = f"installation_{pro.installation.id}"
    assert details.pop("Password")
    assert details == {
        "Type": 0,
        "Host": "127.0.0.1",
        "Port": sim.bus.port,
        "UseSSL": False,
        "Username": topic,
        "Topic": topic,
        "Subscription": "default",
    }
    waiting = sim.bus.pending(topic)
    pro.observe(StateId.WARNINGS, 2)
    assert sim.bus.pending(topic) == waiting + 1
    sim.set_bus_key(pro.installation.id, "another")
    assert (await owner.get(path))["Password"] == "another"
    pro.installation.messaging_enabled = False
    status, answer = await owner.call("GET", path)
    assert status == 500
    assert isinstance(answer, dict)


async def test_the_details_of_a_user_group(
    sim: Simulator, owner: Api, sign_in: SignIn
) -> None:
    """Only its owner may read them, once the vendor's support has enabled the subscription."""
    (group,) = sim.user_groups.values()
    path = f"userGroups/{group.id}/messagingConnectionDetails"
    details = await owner.get(path)
    assert details["Topic"] == details["Username"] == f"usergroup_{group.id}"
    sim.set_bus_key(group.id, "another")
    assert (await owner.get(path))["Password"] == "another"
    assert (await sign_in("service").call("GET", path))[0] == 403
    unknown = f"userGroups/{next(iter(sim.installations))}/messagingConnectionDetails"
    assert (await owner.call("GET", unknown))[0] == 500
    group.messaging_enabled = False
    status, answer = await owner.call("GET", path)
    assert status == 500
    assert isinstance(answer, dict)
    assert answer["Code"] == 526


async def test_a_user_group_gets_the_messages_of_its_installations(
    sim: Simulator, go: Charger, pro: Charger
) -> None:
    """Each message is on the installation's topic, and on those of the groups that cover it."""
    (group,) = sim.user_groups.values()
    group_before = sim.bus.pending(group.topic)
    before = sim.bus.pending(pro.installation.topic)
    pro.observe(StateId.WARNINGS, 2)
    go.observe(StateId.WARNINGS, 2)
    assert sim.bus.pending(group.topic) == group_before + 1
    assert sim.bus.pending(pro.installation.topic) == before + 1
    group.installations.add(go.installation.id)
    go.observe(StateId.WARNINGS, 4)
    assert sim.bus.pending(group.topic) == group_before + 2


async def test_constants_need_no_login(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The constants have enumerations and the StateIds of each family."""
    async with session.get(f"{sim.api_url}/api/constants") as answer:
        document = await answer.json()
    assert document["ChargerOperationModes"]["Connected_Charging"] == 3
    assert document["NetworkTypes"] == {
        "Unknown": 0,
        "IT_1_Phase": 1,
        "IT_3_Phase": 2,
        "TN_1_Phase": 3,
        "TN_3_Phase": 4,
    }
    smart, apollo = (document["Schema"][key] for key in ("Smart", "Apollo"))
    assert document["Observations"] == smart["ObservationIds"]
    assert smart["ObservationIds"]["TemperatureInternal6"] == 202
    assert apollo["ObservationIds"]["TemperatureEMeterPhase1"] == 202
    assert len(document) == 32
    assert sim.rest.requests[-1].account is None


async def test_sessions(
    sim: Simulator, sign_in: SignIn, owner: Api, pro: Charger
) -> None:
    """A session is found while it runs, in the history and in the archive."""
    pro.installation.authentication_required = True
    pro.authorize(sim.accounts["user@example.com"])
    pro.plug_in(Car())
    sim.clock.advance(1800)
    session_id = pro.value(721)
    running = await owner.get(f"session/{session_id}")
    assert running["sessionEnd"] is None
    assert running["energy"] == pytest.approx(pro.session_energy, abs=0.2)
    assert (await owner.post(f"session/{session_id}/priority", PrioritizedCurrent=8))[
        0
    ] == 200
    assert pro.allocated_current == 8
    pro.unplug()
    sim.clock.advance(10)
    done = await owner.get(f"session/{session_id}")
    assert done["sessionEnd"].endswith("Z")
    assert done["signedSession"].startswith("OCMF|")
    history = await owner.get("chargehistory", ChargerId=pro.id, DetailLevel=1)
    (item,) = history["Data"]
    assert item["Id"] == session_id
    assert item["CommitMetadata"] == 1 | 4 | 16
    assert item["UserFullName"] == "Demo"
    assert len(item["EnergyDetails"]) == 2
    january = {"From": "2026-01-01", "To": "2026-02-01"}
    page = await owner.get("sessions/archived", ChargerId=pro.id, **january)
    (archived,) = page["sessions"]
    assert archived["energy"] == item["Energy"] == done["energy"]
    assert archived["authorizedUser"]["email"] == "user@example.com"
    stranger = sign_in("stranger")
    assert (await stranger.call("GET", f"session/{session_id}"))[0] == 404
    status, report = await owner.post(
        "chargehistory/installationreport",
        fromDate="2026-01-01T00:00:00",
        endDate="2026-02-01T00:00:00",
        installationId=pro.installation.id,
        groupBy=1,
    )
    assert status == 200
    query = {"installationId": pro.installation.id}
    for other in (sign_in("user"), stranger):
        answer = await other.post("chargehistory/installationreport", **query)
        assert answer[0] == 403
    assert (await owner.post(f"session/{session_id}/priority"))[0] == 404
    (group,) = report["totalUserChargerReportModel"]
    assert group["GroupAsString"] == "Space 1"
    assert group["TotalChargeSessionEnergy"] == item["Energy"]


# Limits, faults, counters.


async def test_more_than_ten_requests_a_second_are_too_many(
    sim: Simulator, sign_in: SignIn, owner: Api
) -> None:
    """The 11th request is refused with 429 for this account only, and is counted."""
    service = sign_in("service")
    assert sim.rest.peak_per_second == 0
    results = await asyncio.gather(*(owner.call("GET", "chargers") for _ in range(14)))
    statuses = [status for status, _ in results]
    assert statuses.count(200) == 10
    assert statuses.count(429) == 4
    assert sim.rest.peak_per_second == 14
    assert (await service.call("GET", "chargers"))[0] == 200
    async with owner.client.get(
        f"{sim.api_url}/api/chargers", headers=owner.headers
    ) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert {item.account for item in sim.rest.requests} == {
        "owner@example.com",
        "service@example.com",
    }
    sim.rest.clear()
    assert (sim.rest.requests, sim.rest.peak_per_second) == ([], 0)


async def test_the_limit_is_a_sliding_second(
    sim: Simulator, owner: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request counts for one second."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    for _ in range(10):
        await owner.get("chargers")
    monkeypatch.setattr(loop, "time", lambda: now + 0.9)
    assert (await owner.call("GET", "chargers"))[0] == 429
    monkeypatch.setattr(loop, "time", lambda: now + 5)
    assert (await owner.call("GET", "chargers"))[0] == 200


@pytest.mark.parametrize("status", STATUSES)
async def test_a_fault_answers_as_the_vendor_would(
    sim: Simulator, owner: Api, pro: Charger, status: int
) -> None:
    """The response has the chosen status and its body, as often as set, on its path only."""
    sim.rest.fail("/STATE$", fault=status, times=2)
    path = f"chargers/{pro.id}/state"
    for _ in range(2):
        code, content = await owner.call("GET", path)
        assert code == status
        if status == 500:
            assert content == {"Code": 500, "Details": None, "StackTrace": None}
        if status in (502, 503, 504):
            assert "nginx" in str(content)
        assert (await owner.call("GET", "chargers"))[0] == 200
    assert (await owner.call("GET", path))[0] == 200
    assert sim.rest.faults == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("reset", aiohttp.ClientError), ("truncated", aiohttp.ClientError)],
)
async def test_faults_that_break_the_connection(
    sim: Simulator, owner: Api, fault: Fault, expected: type[Exception]
) -> None:
    """The client's connection breaks until the service is healed."""
    sim.rest.fail("chargers", method="get", fault=fault)
    with pytest.raises(expected):
        await owner.call("GET", "chargers")
    assert sim.rest.requests[-1].status != 0
    assert sim.rest.faults == [f"GET chargers: {fault}"]
    sim.rest.heal()
    assert (await owner.call("GET", "chargers"))[0] == 200


async def test_faults_of_content(sim: Simulator, owner: Api) -> None:
    """The content is a page, half a document or nothing."""
    sim.rest.fail("chargers", fault="html", times=1)
    status, content = await owner.call("GET", "chargers")
    assert status == 200
    assert "<html>" in str(content)
    sim.rest.fail("chargers", fault="empty", times=1)
    assert await owner.call("GET", "chargers") == (204, None)
    sim.rest.fail("chargers", fault="malformed", times=1)
    with pytest.raises(ValueError):
        await owner.call("GET", "chargers")
    with pytest.raises(ValueError, match="No such fault"):
        sim.rest.fail(".", fault=200)
    with pytest.raises(ValueError, match="regular"):
        sim.rest.fail("(", fault=500)


async def test_a_hanging_request_is_let_go_by_healing(
    sim: Simulator, owner: Api
) -> None:
    """The request gets no response, and the record says so."""
    sim.rest.fail("chargers", fault="hang")
    # A POST: aiohttp itself would repeat a GET.
    request = asyncio.create_task(owner.post("chargers/1/update"))
    while not sim.rest.requests:
        await asyncio.sleep(0)
    assert sim.rest.requests[-1].status == -1
    assert not request.done()
    sim.rest.heal()
    with pytest.raises(aiohttp.ClientError):
        await request


async def test_the_service_can_be_cut_and_restored(sim: Simulator, owner: Api) -> None:
    """Connections are refused after a cut, and accepted again at the same address."""
    url = sim.api_url
    await owner.get("chargers")
    await sim.rest.cut()
    assert not sim.rest.is_listening
    with pytest.raises(aiohttp.ClientConnectionError):
        await owner.call("GET", "chargers")
    await sim.rest.restore()
    assert sim.api_url == url
    assert (await owner.call("GET", "chargers"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "chargers/{id}/authorizecharge"),
        ("POST", "chargers/{id}/localSettings"),
        ("GET", "chargers/{id}/settings"),
        ("GET", "chargers/{id}/live"),
        ("PUT", "installation/{id}"),
    ],
)
async def test_what_is_not_documented_is_not_there(
    sim: Simulator, owner: Api, pro: Charger, method: str, path: str
) -> None:
    """An undocumented path is answered with 404 and recorded for tests."""
    path = path.format(id=pro.id)
    assert (await owner.call(method, path))[0] == 404
    assert sim.rest.forbidden == [f"{method} /api/{path}"]


# Changes while the simulator runs.


async def test_chargers_come_and_go(sim: Simulator, owner: Api, pro: Charger) -> None:
    """A new charger is listed immediately, and a removed one disappears."""
    new = sim.add_charger(pro.installation.id, serial="ZPR000009", name="Space 9")
    ids = [item["Id"] for item in (await owner.get("chargers"))["Data"]]
    assert new.id in ids
    sim.remove_charger(new.id)
    ids = [item["Id"] for item in (await owner.get("chargers"))["Data"]]
    assert new.id not in ids
    assert (await owner.call("GET", f"chargers/{new.id}/state"))[0] == 404


async def test_installations_come_and_go(sim: Simulator, owner: Api) -> None:
    """An installation is added and removed with its topic."""
    place = sim.add_installation(
        InstallationScenario(
            name="Cabin", chargers=(ChargerScenario(serial="GPN000001", name="Cabin"),)
        )
    )
    sim.accounts["owner@example.com"].roles[place.id] = UserRole.OWNER
    found = await owner.get("installation", NameFilter="cabin")
    assert [item["Id"] for item in found["Data"]] == [place.id]
    assert sim.bus.pending(place.topic) > 0
    sim.remove_installation(place.id)
    assert (await owner.get("chargers", NameFilter="cabin"))["Data"] == []


async def test_secrets_stay_out_of_reprs(sim: Simulator) -> None:
    """The representation of objects has no passwords or keys."""
    text = repr(list(sim.accounts.values())) + repr(list(sim.installations.values()))
    assert "secret" not in text
    for place in sim.installations.values():
        assert place.bus_key not in text
