"""Tests of the control page and its API, which serve this machine only."""

import json
import math
from pathlib import Path
import re
from typing import Any

import aiohttp
import pytest

from simulator.accounts import Account, Card
from simulator.authorization import Phase, WebHooks
from simulator.car import Car
from simulator.charging import Recording
from simulator.control import FAULTS
from simulator.installation import NetworkType
from simulator.observations import Mode, StateId
from simulator.simulator import Simulator
from simulator.web_hooks import HOOK_FAULTS, HOOKS, HookRequest, HookResponse

from .conftest import by_serial


class Page:
    """The control API as the page uses it."""

    def __init__(self, sim: Simulator, client: aiohttp.ClientSession) -> None:
        """Initialize the page of a simulator."""
        self._sim = sim
        self._client = client

    async def call(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return status and document."""
        async with self._client.request(
            method, f"{self._sim.control_url}/api/{path}", **options
        ) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, /, **body: Any) -> tuple[int, dict[str, Any]]:
        """Return status and document of an action."""
        return await self.call("POST", path, json=body)


@pytest.fixture
def page(sim: Simulator, session: aiohttp.ClientSession) -> Page:
    """Return the control API."""
    return Page(sim, session)


async def test_the_page_needs_nothing_from_elsewhere(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The page is one HTML document without addresses of other servers."""
    async with session.get(sim.control_url) as answer:
        text = await answer.text()
        assert answer.content_type == "text/html"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<title>Zaptec simulator</title>" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "src=" not in text


async def test_the_state_shows_all_and_no_secret(sim: Simulator, page: Page) -> None:
    """The state has installations, chargers and counters, but no passwords or keys."""
    charger = by_serial(sim, "ZPR000001")
    charger.plug_in(Car())
    sim.clock.advance(60)
    status, state = await page.call("GET", "state")
    assert status == 200
    assert [item["name"] for item in state["installations"]] == ["Home", "Garage"]
    shown = state["installations"][1]["chargers"][0]
    assert (shown["serial"], shown["mode"]) == ("ZPR000001", 3)
    assert shown["power"] == charger.power
    assert shown["car"]["phases"] == 3
    assert state["fault_choices"] == list(FAULTS)
    assert "secret" not in str(state)
    assert charger.installation.bus_key not in str(state)


async def test_a_car_is_driven_by_the_page(sim: Simulator, page: Page) -> None:
    """The page plugs in and unplugs a car, and controls its request and the connection."""
    charger = by_serial(sim, "ZAP000001")
    path = f"chargers/{charger.id}"
    status, shown = await page.post(
        f"{path}/plug", phases=1, capacity_kwh=5, max_current=10
    )
    assert (status, shown["mode"]) == (200, 2)
    assert charger.car == Car(capacity_kwh=5, max_current=10, phases=1)
    sim.clock.advance(30)
    assert charger.mode == Mode.CHARGING
    _, shown = await page.post(f"{path}/car", wants=False)
    assert shown["mode"] == Mode.FINISHED
    await page.post(f"{path}/car", wants=True)
    sim.clock.advance(30)
    _, shown = await page.post(f"{path}/online", online=False)
    assert (shown["online"], shown["mode"]) == (False, Mode.CHARGING)
    _, shown = await page.post(f"{path}/online", online=True)
    assert shown["online"] is True
    status, shown = await page.post(f"{path}/unplug")
    assert (status, shown["car"]) == (200, None)
    assert (await page.post(f"{path}/authorize"))[1]["authorized"] is True


async def test_the_history_is_controlled(sim: Simulator, page: Page) -> None:
    """Drivers with cards charge, sessions are recorded wrongly, and the archive is late."""
    charger = by_serial(sim, "ZPR000001")
    driver = Account(
        user_name="ada@example.com",
        password="",
        id="00000000-0000-4000-8000-0000000000c1",
        full_name="Ada Driver",
        cards=(Card("Key ring", "04A1"), Card("Spare", "04A2")),
    )
    charger.installation.drivers.append(driver)
    _, state = await page.call("GET", "state")
    assert [item["drivers"] for item in state["installations"]] == [[], ["Ada Driver"]]
    path = f"chargers/{charger.id}"
    await page.post(f"{path}/plug")
    await page.post(f"{path}/authorize", driver="Ada Driver")
    await page.post(f"{path}/record", measured_share=0.5, lost_reports=1)
    assert charger.recording == Recording(lost_reports=1.0, measured_share=0.5)
    sim.clock.advance(3600)
    await page.post(f"{path}/unplug")
    sim.clock.advance(10)
    (wrong,) = charger.installation.archive
    assert (wrong.user, wrong.card) == (driver, driver.cards[0])
    assert (await page.post("archive/correct", session_id=wrong.id))[0] == 200
    assert len(charger.installation.archive) == 2
    await page.post("archive", delay=900, distortion="future", times=2)
    assert sim.archive.delay == 900
    await page.post("archive", distortion="doubled")
    assert sim.archive.distortions.active == ["future", "doubled"]
    await page.post("rest/heal")
    assert sim.archive.delay == 0
    for name, body in (
        (f"{path}/authorize", {"driver": "Eve"}),
        (f"{path}/record", {"speed": 1}),
        (f"{path}/record", {"lost_reports": None}),
        ("archive", {"distortion": "lost"}),
        ("archive", {"delay": -1}),
        ("archive/correct", {"session_id": wrong.id}),
        ("archive/correct", {}),
    ):
        status, answer = await page.post(name, **body)
        assert status == 400, name
        assert answer["error"]


async def test_impossible_requests_are_explained(sim: Simulator, page: Page) -> None:
    """Impossible requests are answered with 400 or 404 and one sentence."""
    path = f"chargers/{by_serial(sim, 'ZAP000001').id}"
    for status, name, body in (
        (400, f"{path}/unplug", {}),
        (400, f"{path}/plug", {"phases": 2}),
        (400, f"{path}/car", {}),
        (400, f"{path}/online", {"online": "yes"}),
        (400, f"{path}/schedule", {"seconds": 0}),
        (400, f"{path}/schedule", {}),
        (404, f"{path}/fly", {}),
        (404, "chargers/none/plug", {}),
        (400, "rest/fail", {"fault": "no such"}),
        (400, "rest/fail", {}),
        (400, "password", {"user_name": "nobody", "password": "x"}),
        (400, "password", {"user_name": "owner@example.com", "password": ""}),
        (400, "clock", {"speed": -1}),
        (400, "clock", {"advance": -1}),
    ):
        answer = await page.post(name, **body)
        assert answer[0] == status, name
        assert answer[1]["error"]
    status, refusal = await page.call("POST", "bus/cut", json=[1])
    assert status == 400
    assert refusal["error"]


async def test_a_port_of_the_bus_is_blocked(sim: Simulator, page: Page) -> None:
    """A firewall may close either port, and the state shows how."""
    status, state = await page.post("bus/block", port="direct", how="dropped")
    assert (status, state["bus"]["direct"]) == (200, "dropped")
    assert state["bus"]["web_socket"] is None
    assert sim.bus.direct.blocked == "dropped"
    for name in ("web_socket", "direct"):
        status, state = await page.post("bus/block", port=name, how=None)
        assert (status, state["bus"][name]) == (200, None)
    assert (await page.post("bus/block", port="web_socket", how="badly"))[0] == 400
    assert (await page.post("bus/block", port="other", how=None))[0] == 400


async def test_the_bus_is_cut_and_restored(sim: Simulator, page: Page) -> None:
    """The state shows whether the bus listens."""
    port = sim.bus.port
    status, state = await page.post("bus/cut")
    assert (status, state["bus"]["listening"]) == (200, False)
    status, state = await page.post("bus/restore")
    assert (status, state["bus"]["listening"]) == (200, True)
    assert sim.bus.port == port
    assert (await page.post("bus/drop"))[0] == 200


async def test_rest_is_broken_and_healed(
    sim: Simulator, page: Page, session: aiohttp.ClientSession
) -> None:
    """Faults are set by status or name, and one action ends them and a cut."""
    url = f"{sim.api_url}/api/constants"
    _, state = await page.post("rest/fail", fault="503", path="constants", times=1)
    assert state["rest"]["faults"] == ["any constants: 503 (1 times)"]
    async with session.get(url) as answer:
        assert answer.status == 503
    async with session.get(url) as answer:
        assert answer.status == 200
    await page.post("rest/fail", fault="html", path="")
    async with session.get(url) as answer:
        assert answer.content_type == "text/html"
    _, state = await page.post("rest/cut")
    assert state["rest"]["listening"] is False
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(url)
    _, state = await page.post("rest/restore")
    assert state["rest"]["listening"] is True
    await page.post("rest/cut")
    _, state = await page.post("rest/heal")
    assert (state["rest"]["listening"], state["rest"]["faults"]) == (True, [])
    async with session.get(url) as answer:
        assert answer.content_type == "application/json"
    assert state["rest"]["requests"] == 3
    _, state = await page.post("rest/clear")
    assert state["rest"]["requests"] == 0


async def test_the_page_sets_what_later_tokens_are_like(
    sim: Simulator, page: Page
) -> None:
    """Each setting of the tokens can be changed alone, and a wrong one changes nothing."""
    tokens = sim.rest.tokens
    await page.post("tokens", lifetime=600)
    await page.post("tokens", refresh_tokens=True)
    assert (tokens.lifetime, tokens.gives_refresh_tokens) == (600, True)
    assert (tokens.refresh_lifetime, tokens.detects_reuse) == (math.inf, False)
    await page.post("tokens", refresh_lifetime=30, detects_reuse=True)
    assert (tokens.refresh_lifetime, tokens.detects_reuse) == (30.0, True)
    assert (tokens.lifetime, tokens.gives_refresh_tokens) == (600, True)
    status, _ = await page.post("tokens", refresh_tokens="no")
    assert (status, tokens.gives_refresh_tokens) == (400, True)


async def test_accounts_and_clock(sim: Simulator, page: Page) -> None:
    """The page changes a password, revokes tokens, and controls clock and autoplay."""
    form = {"grant_type": "password", "username": "owner@example.com"}
    token = sim.rest.tokens.issue(form | {"password": "secret"})["access_token"]
    header = f"Bearer {token}"
    assert sim.rest.tokens.account(header)
    await page.post("tokens/revoke", user_name="service@example.com")
    assert sim.rest.tokens.account(header)
    await page.post("tokens/revoke")
    assert sim.rest.tokens.account(header) is None
    await page.post("password", user_name="owner@example.com", password="new")
    assert sim.accounts["owner@example.com"].password == "new"
    before = sim.clock.now()
    await page.post("clock", advance=90)
    assert (sim.clock.now() - before).total_seconds() == 90
    _, state = await page.post("autoplay", on=True)
    assert state["autoplay"] is True
    _, state = await page.post("autoplay", on=False)
    assert state["autoplay"] is False
    _, state = await page.post("clock", speed=2.5)
    assert state["speed"] == 2.5


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("chargers/{charger}/plug", {}),
        ("chargers/{charger}/authorize", {}),
        ("chargers/{charger}/online", {"online": False}),
        ("installations/{installation}", {"authentication_type": 2}),
    ],
)
async def test_autoplay_pauses_once_the_user_acts_on_the_page(
    sim: Simulator, page: Page, action: str, body: dict[str, Any]
) -> None:
    """The page shows the pause, and can end it; a refused action causes none."""
    charger = by_serial(sim, "ZAP000001")
    ids = {"charger": charger.id, "installation": charger.installation.id}
    await page.post("autoplay", on=True)
    await page.post(f"chargers/{charger.id}/unplug")
    await page.post("clock", advance=1)
    await page.post("bus/drop")
    _, state = await page.call("GET", "state")
    assert (state["autoplay"], state["autoplay_paused"]) == (True, False)
    assert (await page.post(action.format(**ids), **body))[0] == 200
    _, state = await page.call("GET", "state")
    assert (state["autoplay"], state["autoplay_paused"]) == (False, True)
    _, state = await page.post("autoplay", on=True)
    assert (state["autoplay"], state["autoplay_paused"]) == (True, False)


async def test_autoplay_pauses_once_a_client_writes(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """Signing in, reading and a refused command do not pause the play."""
    charger = by_serial(sim, "ZAP000001")
    form = {"grant_type": "password", "username": "owner@example.com"}
    token = sim.rest.tokens.issue(form | {"password": "secret"})["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{sim.api_url}/api/chargers/{charger.id}"
    sim.autoplay.start()
    async with session.get(f"{url}/state", headers=headers) as answer:
        assert answer.status == 200
    async with session.post(f"{url}/sendCommand/99", headers=headers) as answer:
        assert answer.status != 200
    assert sim.autoplay.is_playing
    update = {"maxChargeCurrent": 10}
    async with session.post(f"{url}/update", headers=headers, json=update) as answer:
        assert answer.status == 200
    assert sim.autoplay.is_paused


def test_the_page_speaks_as_home_assistant_does() -> None:
    """The page names states of a charger and types of a grid as the integration's sensors do."""
    root = Path(__file__).parents[2]
    page = (root / "simulator" / "control.html").read_text("utf-8")
    texts = root / "custom_components" / "zaptec" / "translations" / "en.json"
    sensors = json.loads(texts.read_text("utf-8"))["entity"]["sensor"]
    modes = sensors["charger_operation_mode"]["state"]
    grids = sensors["network_type"]["state"]
    for word in (*modes.values(), *grids.values()):
        assert word == "Unknown" or f'"{word}"' in page
    for network in NetworkType:
        assert f'{network.name}: "{grids[network.name.lower()]}"' in page
    for sensor in (
        "charger_operation_mode",
        "total_charge_power",
        "signed_meter_value",
    ):
        assert f'["{sensors[sensor]["name"]}"' in page
    types = sensors["authentication_type"]["state"]
    names = [types[key] for key in ("native", "webhooks", "ocpp", "ocppnative")]
    assert f"const TYPES = {json.dumps(names)};" in page


def test_the_page_names_what_web_hooks_can_be() -> None:
    """Each fault, each hook, and each way in which an authorization ends has a name."""
    page = (Path(__file__).parents[2] / "simulator" / "control.html").read_text("utf-8")
    for key in (*HOOK_FAULTS, *HOOKS):
        assert re.search(rf'\b{key}: "', page), key
    for phase in Phase:
        if phase not in (Phase.NONE, Phase.PERMITTED):
            assert re.search(rf'\b{phase}: "', page), phase


def test_no_two_buttons_of_the_page_are_alike() -> None:
    """Each button has a name that is clear without its heading, for screen readers."""
    page = Path(__file__).parents[2] / "simulator" / "control.html"
    labels = re.findall(r"<button[^>]*>([^<…]+)</button>", page.read_text("utf-8"))
    labels += re.findall(r'action\(charger, "([^"]+)"', page.read_text("utf-8"))
    assert len(labels) > 15
    assert len(set(labels)) == len(labels)
    cuts = [label for label in labels if label.startswith("Cut")]
    assert cuts == ["Cut the live messages", "Cut all requests"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_foreign_page_can_do_nothing(
    sim: Simulator, page: Page, headers: dict[str, str]
) -> None:
    """A page of another site can neither read nor write, whatever its name resolves to."""
    assert (await page.call("GET", "state", headers=headers))[0] == 403
    options: dict[str, Any] = {"headers": headers, "json": {}}
    assert (await page.call("POST", "rest/cut", **options))[0] == 403
    assert sim.rest.is_listening


async def test_a_form_of_a_foreign_page_can_do_nothing(
    sim: Simulator, page: Page
) -> None:
    """Actions must be JSON, which a page cannot send to another site without permission."""
    assert (await page.call("POST", "rest/cut", data={"a": "b"}))[0] == 415
    assert sim.rest.is_listening


async def test_its_own_origin_is_welcome(sim: Simulator, page: Page) -> None:
    """Requests with the page's own origin are served, by each name of this machine."""
    port = sim.control_url.rsplit(":", 1)[1]
    for name in ("127.0.0.1", "localhost"):
        headers = {"Origin": f"http://{name}:{port}", "Host": f"{name}:{port}"}
        assert (await page.call("GET", "state", headers=headers))[0] == 200


async def test_what_the_portal_sets(sim: Simulator, page: Page) -> None:
    """Modes of an installation can be set as in the portal, and its messages disturbed."""
    charger = by_serial(sim, "ZPR000001")
    installation = charger.installation
    status, _ = await page.post(
        f"installations/{installation.id}",
        authentication_type=2,
        available_current_mode=1,
        authentication_required=True,
        messaging_enabled=False,
    )
    assert status == 200
    assert installation.authentication_required
    assert charger.value(StateId.AUTHENTICATION_REQUIRED) == "1"
    assert installation.authentication_type == 2
    assert installation.available_current_mode == 1
    assert not installation.messaging_enabled
    await page.post(f"chargers/{charger.id}/stand_alone", on=True)
    assert charger.is_stand_alone
    await page.post(f"chargers/{charger.id}/schedule", seconds=60, text="22:00")
    assert charger.value(StateId.NEXT_SCHEDULE_EVENT) == "22:00"

    delivered = sim.bus.pending(installation.topic)
    assert (await page.post("bus/interfere", how="elsewhere"))[0] == 200
    charger.observe(513, 1.0)
    assert sim.bus.pending(installation.topic) == delivered
    assert (await page.post("bus/interfere", how=None))[0] == 200
    charger.observe(513, 2.0)
    assert sim.bus.pending(installation.topic) == delivered + 1


async def test_a_user_group_on_the_page(sim: Simulator, page: Page) -> None:
    """The page shows a group's id, and disables, refuses and disturbs its subscription."""
    (group,) = sim.user_groups.values()
    charger = by_serial(sim, "ZPR000001")
    path = f"user_groups/{group.id}"
    _, state = await page.call("GET", "state")
    (shown,) = state["user_groups"]
    assert shown["id"] == group.id
    assert shown["installations"] == [charger.installation.id]
    assert group.bus_key not in str(state)

    await page.post("bus/interfere", how="elsewhere", of=group.id)
    pending = sim.bus.pending(group.topic)
    others = sim.bus.pending(charger.installation.topic)
    charger.observe(513, 1.0)
    assert sim.bus.pending(group.topic) == pending
    assert sim.bus.pending(charger.installation.topic) == others + 1

    home = by_serial(sim, "ZAP000001").installation
    _, state = await page.post(
        path, messaging_enabled=False, installations=[home.id], refuses=True
    )
    assert group.installations == {home.id}
    assert not group.messaging_enabled
    assert state["user_groups"][0]["refuses"] is True
    _, state = await page.post(path, refuses=False)
    assert state["user_groups"][0]["refuses"] is False

    for body in (
        {"installations": ["nowhere"]},
        {"messaging_enabled": 1},
        {"colour": 1},
    ):
        status, document = await page.post(path, **body)
        assert status == 400
        assert document["error"]
    assert (await page.post("user_groups/nowhere"))[0] == 404
    assert (await page.post("bus/interfere", how="lost", of="nowhere"))[0] == 400


async def test_web_hooks_on_the_page(sim: Simulator, page: Page) -> None:
    """The portal's form keeps what it is not given; cards are shown; calls fail on demand."""
    seen: list[dict[str, Any]] = []

    async def refuse(request: HookRequest) -> HookResponse:
        seen.append(json.loads(request.body))
        return HookResponse(401)

    sim.web_hooks.transport = refuse
    charger = by_serial(sim, "ZPR000001")
    path = f"installations/{charger.installation.id}"
    fields = {
        "start_url": " https://hook.example/start ",
        "end_url": "https://hook.example/end",
        "auth_payload": "username=zaptec&password=of-the-hook",
    }
    _, state = await page.post(path, authentication_type=1, web_hooks=fields)
    assert [item["web_hooks"] for item in state["installations"]] == [False, True]
    await page.post(path, web_hooks={"end_url": ""})
    status, shown = await page.call("GET", path)
    assert status == 200
    assert shown["authentication_type"] == 1
    assert shown["web_hooks"] == {
        "start_url": "https://hook.example/start",
        "end_url": "",
        "auth_url": "",
        "auth_payload": "username=zaptec&password=of-the-hook",
    }
    card = f"chargers/{charger.id}/card"
    assert (await page.post(card, code="04AFFE"))[0] == 400
    await page.post(f"chargers/{charger.id}/plug")
    _, answer = await page.post(f"chargers/{charger.id}/authorize")
    assert answer["error"] == "A webhook authorizes at Space 1"
    assert (await page.post(card, code="04AFFE"))[0] == 200
    await sim.web_hooks.settle()
    assert [item["token"] for item in seen] == ["04AFFE"]
    _, state = await page.post("web_hooks/fail", fault="502", hook="start", times=2)
    shown = state["installations"][1]["chargers"][0]
    assert (shown["authorization"], shown["red"]) == ("refused", True)
    hooks = state["web_hooks"]
    assert hooks["faults"] == ["start calls: 502 (2 times)"]
    (call,) = hooks["recent"]
    assert (call["status"], call["has_code"]) == (401, True)
    assert "04AFFE" not in str(state)
    assert "hook.example" not in str(state)
    assert "of-the-hook" not in str(state)
    await page.post(card, code="04AFFE")
    await sim.web_hooks.settle()
    assert len(seen) == 1
    assert charger.authorization == "denied"
    _, state = await page.post("web_hooks/heal")
    assert state["web_hooks"]["faults"] == []


async def test_web_hooks_that_the_page_refuses(sim: Simulator, page: Page) -> None:
    """An invalid field, card or fault is explained, and nothing changes."""
    charger = by_serial(sim, "ZPR000001")
    path = f"installations/{charger.installation.id}"
    await page.post(f"chargers/{charger.id}/plug")
    for name, body in (
        (path, {"authentication_type": 1, "web_hooks": {"colour": ""}}),
        (path, {"authentication_type": 1, "web_hooks": {"start_url": 1}}),
        (path, {"authentication_type": 1, "web_hooks": {"start_url": "x" * 2049}}),
        (path, {"authentication_type": 1, "web_hooks": "none"}),
        (path, {"authentication_type": True}),
        (f"chargers/{charger.id}/card", {}),
        (f"chargers/{charger.id}/card", {"code": ""}),
        (f"chargers/{charger.id}/card", {"code": "0" * 257}),
        ("web_hooks/fail", {"fault": "broken"}),
        ("web_hooks/fail", {"fault": 502, "hook": "middle"}),
        ("web_hooks/fail", {"fault": 502, "times": 0}),
        ("web_hooks/fail", {}),
    ):
        status, answer = await page.post(name, **body)
        assert status == 400, name
        assert answer["error"]
    assert charger.installation.authentication_type == 0
    assert charger.installation.web_hooks == WebHooks()
    assert (await page.call("GET", "installations/nowhere"))[0] == 404


async def test_what_the_portal_refuses(sim: Simulator, page: Page) -> None:
    """An invalid value is explained, and nothing changes."""
    installation = by_serial(sim, "ZPR000001").installation
    path = f"installations/{installation.id}"
    for body in (
        {"authentication_type": 9},
        {"available_current_mode": "x"},
        {"messaging_enabled": 1},
        {"authentication_required": "yes"},
        {"colour": 1},
    ):
        status, document = await page.post(path, **body)
        assert status == 400
        assert document["error"]
    assert (await page.post("installations/nowhere"))[0] == 404
    assert (await page.post("bus/interfere", how="badly"))[0] == 400
    assert installation.authentication_type == 0
    assert not installation.authentication_required
    assert installation.messaging_enabled
