"""Tests of how the simulated cloud calls web hooks, over real HTTP."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
import json
from pathlib import Path
from typing import Any
import uuid

from aiohttp import web
import pytest

from simulator.accounts import Account, Card
from simulator.authorization import Phase, WebHooks
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import Mode, StateId
from simulator.scenario import Scenario, ScenarioError
from simulator.simulator import Simulator
from simulator.web_hooks import (
    HOOK_FAULTS,
    HookFault,
    HookRequest,
    HookResponse,
    NoAnswerError,
)

from .conftest import START, Api, by_serial

CODE = "04A1B2C3D4E5F6"
REFUSE = 401

type Result = tuple[int, Any]


class Hooks:
    """A server with both hooks and a token service, which a test answers for."""

    def __init__(self) -> None:
        """Initialize the server; it refuses each request at first."""
        self.url = ""
        self.starts: list[dict[str, Any]] = []
        self.ends: list[dict[str, Any]] = []
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, Any]], Result] = lambda _: (REFUSE, {})
        self.end_status = 200
        self.token_status = 200
        self.content_type = "application/json"
        # While it is cleared, requests wait for their answer.
        self.go = asyncio.Event()
        self.go.set()

    def permit(self) -> None:
        """Permit from now on, each charger with an id of its own."""
        ids: dict[str, str] = {}
        self.answer = lambda call: (
            200,
            {"sessionId": ids.setdefault(call["chargerId"], str(uuid.uuid4()))},
        )

    async def start(self, request: web.Request) -> web.Response:
        """Answer the start of a session."""
        assert request.content_type == "application/json"
        call = await request.json()
        self.headers.append(dict(request.headers))
        self.starts.append(call)
        status, document = self.answer(call)
        await self.go.wait()
        text = document if isinstance(document, str) else json.dumps(document)
        return web.Response(text=text, status=status, content_type=self.content_type)

    async def end(self, request: web.Request) -> web.Response:
        """Answer the end of a session."""
        self.headers.append(dict(request.headers))
        self.ends.append(await request.json())
        return web.json_response({}, status=self.end_status)

    async def token(self, request: web.Request) -> web.Response:
        """Answer with a token."""
        assert request.content_type == "application/x-www-form-urlencoded"
        self.forms.append(
            {key: str(item) for key, item in (await request.post()).items()}
        )
        token = {"access_token": "token-of-the-hook", "token_type": "bearer"}
        return web.json_response(token, status=self.token_status)


@pytest.fixture
async def hooks(socket_enabled: None) -> AsyncGenerator[Hooks]:
    """Return a running server."""
    hooks = Hooks()
    app = web.Application()
    app.router.add_post("/start", hooks.start)
    app.router.add_post("/end", hooks.end)
    app.router.add_post("/token", hooks.token)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hooks.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield hooks
    await runner.cleanup()


@pytest.fixture
def charger(sim: Simulator, hooks: Hooks) -> Charger:
    """Return a charger of an installation with web hooks."""
    charger = by_serial(sim, "ZPR000001")
    charger.installation.set_web_hooks(
        f"{hooks.url}/start", f"{hooks.url}/end", "zaptec", "p+ss:w/rd"
    )
    # A busy machine may take its time.
    sim.web_hooks.timeout = None
    return charger


async def test_a_car_is_permitted(
    sim: Simulator, hooks: Hooks, charger: Charger, owner: Api
) -> None:
    """The id from the hook is that of the session (721), in the archive too; it is anonymous."""
    hooks.permit()
    charger.plug_in(Car())
    await sim.advance(30)
    (call,) = hooks.starts
    assert call == {
        "chargerId": charger.id,
        "chargerName": "Space 1",
        "installationId": charger.installation.id,
        "installationName": "Garage",
    }
    code = base64.b64encode(b"zaptec:p+ss:w/rd").decode()
    assert hooks.headers[0]["Authorization"] == f"Basic {code}"
    assert charger.mode == Mode.CHARGING
    assert charger.authorization is Phase.PERMITTED
    session_id = charger.value(StateId.SESSION_IDENTIFIER)
    assert session_id
    assert sim.web_hooks.calls[0].session_id == session_id
    await sim.advance(3600)
    charger.unplug()
    await sim.advance(10)
    (session,) = charger.installation.archive
    assert (session.id, session.external_id) == (session_id, session_id)
    found = await owner.get(
        "sessions/archived",
        InstallationId=charger.installation.id,
        From=f"{START:%Y-%m-%dT%H:%M:%SZ}",
        To=f"{START + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    )
    (item,) = found["sessions"]
    assert (item["id"], item["externalId"]) == (session_id, session_id)
    assert "authorizedUser" not in item
    assert "tokenName" not in item
    assert session.ended
    assert hooks.ends == [
        {
            "sessionId": session_id,
            "sessionStart": f"{session.started:%Y-%m-%dT%H:%M:%SZ}",
            "sessionEnd": f"{session.ended:%Y-%m-%dT%H:%M:%SZ}",
            "energy": round(session.energy, 3),
        }
    ]
    assert sim.web_hooks.unreported == []
    assert sim.web_hooks.problems == []
    assert len(hooks.starts) == 1


async def test_the_next_car_is_asked_for_again(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """A second car without an answer of its own does not charge on the first one's."""
    hooks.permit()
    charger.plug_in(Car())
    await sim.advance(30)
    charger.unplug()
    hooks.answer = lambda _: (REFUSE, {})
    charger.plug_in(Car())
    await sim.advance(30)
    assert charger.session is None
    assert charger.authorization is Phase.ASKING


async def test_it_is_polled_for_five_minutes(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """Each ten seconds without a card, until nothing happens any more; a card asks again."""
    charger.plug_in(Car())
    await sim.advance(299)
    times = [call.time for call in sim.web_hooks.calls]
    assert len(times) == 30
    assert {b - a for a, b in zip(times, times[1:], strict=False)} == {
        timedelta(seconds=10)
    }
    assert charger.authorization is Phase.ASKING
    await sim.advance(2000)
    assert len(hooks.starts) == 30
    assert all("token" not in call for call in hooks.starts)
    assert charger.authorization is Phase.TIMED_OUT
    assert charger.mode == Mode.REQUESTING
    hooks.permit()
    charger.show_card(CODE)
    await sim.advance(10)
    assert hooks.starts[30]["token"] == CODE
    assert charger.mode == Mode.CHARGING
    assert charger.value(StateId.CURRENT_USER) == f"nfc-{CODE}"


async def test_a_later_poll_is_permitted(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """From the permission to charging it takes less than fifteen seconds."""
    charger.plug_in(Car())
    await sim.advance(62)
    hooks.permit()
    await sim.advance(14)
    assert charger.mode == Mode.CHARGING
    assert len(hooks.starts) == 8


async def test_a_refused_card_ends_it(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """401 to a card ends the polls with a red light; the next card is asked for at once."""
    charger.plug_in(Car())
    await sim.advance(25)
    charger.show_card("0000")
    await sim.web_hooks.settle()
    assert [call.get("token") for call in hooks.starts] == [None] * 3 + ["0000"]
    assert charger.authorization is Phase.REFUSED
    assert charger.is_light_red
    await sim.advance(400)
    assert len(hooks.starts) == 4
    hooks.permit()
    charger.show_card(CODE)
    assert not charger.is_light_red
    await sim.advance(10)
    assert charger.mode == Mode.CHARGING
    assert hooks.starts[-1]["token"] == CODE
    with pytest.raises(ValueError, match="No car waits"):
        charger.show_card(CODE)


async def test_a_card_that_is_shown_during_a_call(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """The 401 to the call without it does not refuse the card."""
    hooks.go.clear()
    hooks.answer = lambda call: (
        (200, {"sessionId": str(uuid.uuid4())}) if "token" in call else (REFUSE, {})
    )
    charger.plug_in(Car())
    sim.clock.advance(1)
    while not hooks.starts:
        await asyncio.sleep(0)
    charger.show_card(CODE)
    hooks.go.set()
    await sim.advance(5)
    assert [call.get("token") for call in hooks.starts] == [None, CODE]
    assert charger.session
    assert charger.session.card == Card("", CODE)


async def test_unplugging_ends_it(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """Polls end with the car, and a permission that comes too late is not used."""
    hooks.go.clear()
    hooks.permit()
    charger.plug_in(Car())
    sim.clock.advance(1)
    while not hooks.starts:
        await asyncio.sleep(0)
    charger.unplug()
    hooks.answer = lambda _: (REFUSE, {})
    charger.plug_in(Car())
    hooks.go.set()
    await sim.advance(5)
    assert not charger.is_authorized
    charger.unplug()
    calls = len(hooks.starts)
    await sim.advance(300)
    assert len(hooks.starts) == calls == 2
    assert charger.authorization is Phase.NONE
    assert charger.installation.archive == []
    with pytest.raises(ValueError, match="No car waits"):
        charger.show_card(CODE)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 429, 500, 502, 503])
async def test_another_status_denies(
    sim: Simulator, hooks: Hooks, charger: Charger, status: int
) -> None:
    """One such answer ends it with a red light, until the car is plugged in again."""
    hooks.answer = lambda _: (status, {"message": "no"})
    charger.plug_in(Car())
    await sim.advance(400)
    assert len(hooks.starts) == 1
    assert charger.authorization is Phase.DENIED
    assert charger.is_light_red
    assert sim.web_hooks.problems == []
    charger.unplug()
    assert not charger.is_light_red
    charger.plug_in(Car())
    await sim.advance(5)
    assert len(hooks.starts) == 2


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (200, {}),
        (200, []),
        (200, "{"),
        (200, {"sessionId": None}),
        (200, {"sessionId": "1"}),
        (200, {"sessionId": "{123e4567-e89b-12d3-a456-426655440000}"}),
        (204, ""),
        (302, {}),
    ],
)
async def test_an_undocumented_answer_denies_and_is_noted(
    sim: Simulator, hooks: Hooks, charger: Charger, status: int, document: Any
) -> None:
    """A permission without a UUID is none, and neither is another status of success."""
    hooks.answer = lambda _: (status, document)
    charger.plug_in(Car())
    await sim.advance(20)
    assert charger.authorization is Phase.DENIED
    assert len(sim.web_hooks.problems) == 1


async def test_an_id_is_good_for_one_session(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """The same id for another plug-in, or another charger, is noted and denied."""
    session_id = str(uuid.uuid4())
    hooks.answer = lambda _: (200, {"sessionId": session_id.upper()})
    charger.plug_in(Car())
    await sim.advance(20)
    assert charger.session
    assert charger.session.id == session_id
    other = by_serial(sim, "ZPR000002")
    other.plug_in(Car())
    charger.unplug()
    charger.plug_in(Car())
    await sim.advance(20)
    assert charger.authorization is other.authorization is Phase.DENIED
    assert sim.web_hooks.problems == ["start: the sessionId was given before"] * 2


async def test_the_content_type_is_noted(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """Answers should be application/json; another type is noted, but permits."""
    hooks.permit()
    hooks.content_type = "text/plain"
    charger.plug_in(Car())
    await sim.advance(20)
    assert charger.mode == Mode.CHARGING
    assert len(sim.web_hooks.problems) == 1


@pytest.mark.parametrize(
    ("kind", "required", "calls", "mode"),
    [
        (0, False, 0, Mode.CHARGING),
        (0, True, 0, Mode.REQUESTING),
        (1, True, 1, Mode.CHARGING),
        (1, False, 1, Mode.CHARGING),
        (2, False, 0, Mode.CHARGING),
        (3, False, 0, Mode.CHARGING),
    ],
)
async def test_only_the_type_web_hooks_calls(
    sim: Simulator,
    hooks: Hooks,
    charger: Charger,
    kind: int,
    required: bool,
    calls: int,
    mode: Mode,
) -> None:
    """With another type no hook is called, although its fields are filled in."""
    hooks.permit()
    charger.installation.authentication_required = required
    charger.installation.set_authentication_type(kind)
    reported = kind != 1 and required
    assert charger.value(StateId.AUTHENTICATION_REQUIRED) == str(int(reported))
    neighbour = by_serial(sim, "ZAP000001")
    for item in (charger, neighbour):
        item.plug_in(Car())
    await sim.advance(60)
    assert neighbour.mode == Mode.CHARGING
    assert charger.mode == mode
    for item in (charger, neighbour):
        item.unplug()
    await sim.advance(60)
    assert len(hooks.starts) == calls
    assert len(hooks.ends) == calls


async def test_without_a_start_url_the_cloud_authorizes(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """The end of such a session is reported all the same, with the cloud's own id."""
    installation = charger.installation
    installation.configure(WebHooks(end_url=f"{hooks.url}/end"))
    charger.plug_in(Car())
    await sim.advance(60)
    assert charger.mode == Mode.CHARGING
    charger.unplug()
    await sim.advance(20)
    assert hooks.starts == []
    assert [item["sessionId"] for item in hooks.ends] == [installation.archive[0].id]
    assert "Authorization" not in hooks.headers[0]
    installation.authentication_required = True
    installation.set_authentication_type(1)
    assert charger.value(StateId.AUTHENTICATION_REQUIRED) == "1"
    charger.plug_in(Car())
    await sim.advance(60)
    assert charger.session is None


async def test_the_end_is_reported_until_that_succeeds(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """Errors of the hook, of a relay and of the network are each followed by another try."""
    hooks.permit()
    hooks.end_status = 503
    charger.plug_in(Car())
    await sim.advance(600)
    charger.unplug()
    await sim.advance(130)
    assert len(hooks.ends) == 3
    (session_id,) = sim.web_hooks.unreported
    sim.web_hooks.faults.add(502, "end", times=1)
    sim.web_hooks.faults.add("unreachable", "end", times=1)
    sim.web_hooks.faults.add("lost", "end", times=1)
    hooks.end_status = 200
    await sim.advance(180)
    assert sim.web_hooks.unreported == [session_id]
    await sim.advance(60)
    assert sim.web_hooks.unreported == []
    # The one whose answer was lost had arrived, too.
    assert [item["sessionId"] for item in hooks.ends] == [session_id] * 5
    assert len({json.dumps(item) for item in hooks.ends}) == 1
    await sim.advance(3600)
    assert len(hooks.ends) == 5


async def test_the_end_is_not_reported_for_ever(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """After a time-out, and once the hook was removed, the cloud does not try again."""
    sim.web_hooks.retry_timeout, sim.web_hooks.retry_interval = 3600, 600
    hooks.permit()
    hooks.end_status = 500
    charger.plug_in(Car())
    await sim.advance(60)
    charger.unplug()
    await sim.advance(86_400)
    assert len(hooks.ends) == 7
    assert sim.web_hooks.unreported == []
    hooks.permit()
    charger.plug_in(Car())
    await sim.advance(60)
    charger.unplug()
    await sim.advance(60)
    assert len(hooks.ends) == 8
    charger.installation.set_authentication_type(0)
    await sim.advance(3600)
    assert len(hooks.ends) == 8
    assert sim.web_hooks.unreported == []


async def test_an_oauth_token_is_fetched_before_each_call(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """The payload is posted as it is, and the token comes as bearer."""
    payload = "grant_type=password&username=zaptec&password=a%2Bb"
    charger.installation.configure(
        WebHooks(
            f"{hooks.url}/start", f"{hooks.url}/end", f"{hooks.url}/token", payload
        )
    )
    hooks.permit()
    hooks.token_status = 500
    charger.plug_in(Car())
    await sim.advance(15)
    assert hooks.starts == []
    hooks.token_status = 200
    await sim.advance(15)
    assert charger.mode == Mode.CHARGING
    charger.unplug()
    await sim.advance(20)
    assert len(hooks.ends) == 1
    form = {"grant_type": "password", "username": "zaptec", "password": "a+b"}
    assert hooks.forms == [form] * 4
    assert [item["Authorization"] for item in hooks.headers] == [
        "Bearer token-of-the-hook"
    ] * 2


async def test_a_call_without_an_answer_is_repeated(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """A server that restarts within the five minutes is called again, with the card as well."""
    hooks.permit()
    sim.web_hooks.faults.add("unreachable", times=3)
    charger.plug_in(Car())
    await sim.advance(5)
    charger.show_card(CODE)
    await sim.web_hooks.settle()
    assert charger.authorization is Phase.ASKING
    await sim.advance(30)
    assert charger.mode == Mode.CHARGING
    assert [call["token"] for call in hooks.starts] == [CODE]
    assert [call.status for call in sim.web_hooks.calls] == [None, None, None, 200]
    charger.unplug()
    sim.web_hooks.unanswered_denies = True
    sim.web_hooks.faults.add("unreachable", times=1)
    charger.plug_in(Car())
    await sim.advance(20)
    assert charger.authorization is Phase.DENIED


@pytest.mark.parametrize(
    ("fault", "is_delivered", "arrived", "phase"),
    [
        ("unreachable", False, 0, Phase.ASKING),
        ("lost", False, 1, Phase.ASKING),
        ("timeout", False, 1, Phase.ASKING),
        ("doubled", False, 2, Phase.PERMITTED),
        (502, False, 0, Phase.DENIED),
        (504, True, 1, Phase.DENIED),
        (401, True, 1, Phase.ASKING),
    ],
)
async def test_faults(
    sim: Simulator,
    hooks: Hooks,
    charger: Charger,
    fault: HookFault,
    is_delivered: bool,
    arrived: int,
    phase: Phase,
) -> None:
    """Each fault says whether the call arrives, and what the cloud makes of it."""
    hooks.permit()
    sim.web_hooks.faults.add(fault, "start", is_delivered=is_delivered)
    assert sim.web_hooks.faults.active == [f"start calls: {fault}"]
    charger.plug_in(Car())
    await sim.advance(2)
    assert len(hooks.starts) == arrived
    assert charger.authorization is phase
    sim.web_hooks.faults.heal()
    if phase is Phase.ASKING:
        # The cloud waits for ten seconds before it takes a call as not answered.
        await sim.advance(11)
        assert charger.authorization is Phase.PERMITTED
        assert len(hooks.starts) == arrived + 1


def test_impossible_faults(world: Simulator) -> None:
    """A fault that does not exist is refused."""
    faults = world.web_hooks.faults
    for fault in (200, 600, "broken"):
        with pytest.raises(ValueError, match="No such fault"):
            faults.add(fault)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one of"):
        faults.add(502, "middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        faults.add(502, times=0)
    assert faults.active == []
    assert "lost" in HOOK_FAULTS


async def test_a_server_that_is_down(
    sim: Simulator, hooks: Hooks, charger: Charger, unused_tcp_port: int
) -> None:
    """Nothing listens, a name or an address is wrong: there is no answer, and no exception."""
    for url in (
        f"http://127.0.0.1:{unused_tcp_port}/start",
        "no address",
        "http://",
        "ftp://127.0.0.1/start",
    ):
        charger.installation.set_web_hooks(url, url, "zaptec", "secret")
        charger.plug_in(Car())
        await sim.advance(12)
        assert charger.authorization is Phase.ASKING
        charger.unplug()
    assert {call.status for call in sim.web_hooks.calls} == {None}


async def test_a_slow_server_times_out(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """A call that takes too long is given up, and repeated."""
    sim.web_hooks.timeout = 0.05
    hooks.go.clear()
    charger.plug_in(Car())
    await sim.advance(12)
    assert [call.status for call in sim.web_hooks.calls] == [None, None]
    hooks.go.set()


@pytest.mark.parametrize(
    ("case", "absent", "expected"),
    [
        ("camel", "null", {"token": None, "chargerName": "Space 1"}),
        ("pascal", "empty", {"Token": "", "ChargerName": "Space 1"}),
        ("lower", "empty", {"token": "", "chargername": "Space 1"}),
    ],
)
async def test_how_fields_are_written(
    sim: Simulator,
    hooks: Hooks,
    charger: Charger,
    case: Any,
    absent: Any,
    expected: dict[str, Any],
) -> None:
    """The vendor documents neither the case of the names nor an absent token on the wire."""
    sim.web_hooks.case, sim.web_hooks.absent_code = case, absent
    charger.plug_in(Car())
    await sim.advance(2)
    (call,) = hooks.starts
    assert len(call) == 5
    assert expected.items() <= call.items()


async def test_another_transport(sim: Simulator, charger: Charger) -> None:
    """A test may take the place of HTTP; it sees what would be sent."""
    seen: list[HookRequest] = []

    async def relay(request: HookRequest) -> HookResponse:
        seen.append(request)
        if len(seen) == 1:
            raise NoAnswerError
        body = json.dumps({"sessionId": str(uuid.uuid4())}).encode()
        return HookResponse(200, body, "application/json")

    sim.web_hooks.transport = relay
    charger.plug_in(Car())
    await sim.advance(20)
    assert charger.mode == Mode.CHARGING
    assert [item.url for item in seen] == [charger.installation.web_hooks.start_url] * 2
    assert json.loads(seen[0].body)["chargerId"] == charger.id
    assert seen[0].headers["Content-Type"].startswith("application/json")
    assert "zaptec" not in repr(seen[0])


async def test_commands_act_on_the_session(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """A pause does not end the authorization; ending the session asks for another one."""
    charger.installation.authentication_required = True
    hooks.answer = lambda _: (200, {"sessionId": str(uuid.uuid4())})
    charger.plug_in(Car())
    await sim.advance(60)
    charger.stop_charging()
    await sim.advance(60)
    charger.resume_charging()
    await sim.advance(60)
    assert charger.mode == Mode.CHARGING
    assert len(hooks.starts) == 1
    charger.end_session()
    await sim.advance(60)
    assert charger.mode == Mode.CHARGING
    assert len(hooks.starts) == 2
    assert [item["sessionId"] for item in hooks.ends] == [
        session.id for session in charger.installation.archive
    ]
    with pytest.raises(ValueError, match="A webhook authorizes"):
        charger.authorize()


async def test_an_offline_charger_asks_when_it_is_back(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """It cannot be asked for meanwhile; a stand-alone one asks nobody."""
    hooks.permit()
    charger.set_offline()
    charger.plug_in(Car())
    await sim.advance(60)
    assert hooks.starts == []
    with pytest.raises(ValueError, match="offline"):
        charger.show_card(CODE)
    charger.set_online()
    await sim.advance(30)
    assert charger.mode == Mode.CHARGING
    charger.unplug()
    hooks.answer = lambda _: (REFUSE, {})
    charger.plug_in(Car())
    await sim.advance(15)
    charger.set_offline()
    calls = len(hooks.starts)
    await sim.advance(60)
    assert len(hooks.starts) == calls
    charger.set_online()
    await sim.advance(2)
    assert len(hooks.starts) == calls + 1
    charger.unplug()
    charger.set_stand_alone(True)
    charger.plug_in(Car())
    await sim.advance(30)
    assert charger.mode == Mode.CHARGING
    assert len(hooks.starts) == calls + 1


async def test_switching_back_while_a_car_waits(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """With the cloud's own authorization again, a waiting car charges."""
    charger.plug_in(Car())
    await sim.advance(25)
    charger.installation.set_authentication_type(0)
    await sim.advance(20)
    assert charger.mode == Mode.CHARGING
    assert len(hooks.starts) == 3


async def test_a_removed_charger_asks_no_more(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """An answer that comes after the removal starts nothing."""
    hooks.go.clear()
    charger.plug_in(Car())
    sim.clock.advance(1)
    sim.remove_charger(charger.id)
    hooks.go.set()
    await sim.advance(60)
    assert len(hooks.starts) == 1


async def test_the_model_shows_the_fields(
    sim: Simulator, hooks: Hooks, charger: Charger, sign_in: Callable[[str], Api]
) -> None:
    """Who manages the installation sees the fields, another user does not."""
    path = f"installation/{charger.installation.id}"
    owner = sign_in("owner")
    shown = await owner.get(path)
    assert shown["AuthenticationType"] == 1
    assert shown["WebhooksSessionStartUrl"] == f"{hooks.url}/start"
    assert shown["WebhooksSessionEndUrl"] == f"{hooks.url}/end"
    assert shown["WebhooksAuthPayload"] == "username=zaptec&password=p%2Bss%3Aw%2Frd"
    assert "WebhooksAuthUrl" not in shown
    assert not any("ebhook" in key for key in await sign_in("user").get(path))
    home = by_serial(sim, "ZAP000001").installation
    document = await owner.get(f"installation/{home.id}")
    assert not any("ebhook" in key for key in document)


async def test_many_cars_at_once(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """Each charger's call has its own answer."""
    hooks.permit()
    installation = charger.installation
    chargers = [
        sim.add_charger(installation.id, serial=f"ZPR1{number:05}", name=f"{number}")
        for number in range(40)
    ]
    for item in chargers:
        item.plug_in(Car())
    await sim.advance(5)
    ids = [item.value(StateId.SESSION_IDENTIFIER) for item in chargers]
    assert None not in ids
    assert len(set(ids)) == 40
    assert sim.web_hooks.problems == []


async def test_the_running_clock_calls_too(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """While the clock follows real time, nothing has to be advanced."""
    hooks.permit()
    sim.clock.speed = 100
    charger.plug_in(Car())
    while charger.mode != Mode.CHARGING:
        await asyncio.sleep(0.01)
    sim.clock.speed = 0


async def test_what_fails_at_a_charger_is_raised(
    sim: Simulator, hooks: Hooks, charger: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the simulation is not lost in a task."""

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    hooks.permit()
    monkeypatch.setattr(charger._authorization, "_permit", fail)
    charger.plug_in(Car())
    with pytest.raises(RuntimeError, match="broken"):
        await sim.advance(5)


def test_a_card_without_web_hooks(pro: Charger) -> None:
    """The cloud knows the cards of the drivers; another one turns the light red."""
    card = Card("Key ring", CODE)
    driver = Account("ada@example.com", "", "1", "Ada Driver", cards=(card,))
    pro.installation.drivers.append(driver)
    pro.installation.authentication_required = True
    pro.plug_in(Car())
    pro.clock.advance(5)
    pro.show_card("0000")
    assert pro.is_light_red
    assert not pro.is_authorized
    pro.show_card(CODE)
    pro.clock.advance(30)
    assert pro.session
    assert (pro.session.user, pro.session.card) == (driver, card)
    pro.unplug()
    assert not pro.is_light_red


async def test_autoplay_shows_cards(
    sim: Simulator, hooks: Hooks, charger: Charger
) -> None:
    """Guests that come by themselves hold their card to the charger, or just wait."""
    hooks.permit()
    card = Card("Key ring", CODE)
    charger.installation.authentication_required = True
    charger.installation.drivers.append(
        Account("ada@example.com", "", "1", "Ada Driver", cards=(card,))
    )
    sim.autoplay.start()
    await sim.advance(600)
    codes = [call.get("token") for call in hooks.starts]
    assert len(codes) > 2
    assert set(codes) == {CODE}
    charger.installation.drivers.clear()
    hooks.starts.clear()
    await sim.advance(1200)
    assert {call.get("token") for call in hooks.starts} == {None}


def test_a_scenario_with_web_hooks(tmp_path: Path) -> None:
    """The fields of the portal; empty ones are the type alone."""
    file = tmp_path / "scenario.toml"
    file.write_text(
        """
        accounts = []
        [[installations]]
        name = "Garage"
        [installations.web_hooks]
        start_url = "https://example.com/start"
        auth_payload = "username=zaptec&password=hidden"
        [[installations]]
        name = "Guests"
        web_hooks = {}
        [[installations.chargers]]
        serial = "ZPR000001"
        name = "Guest 1"
        [[installations]]
        name = "Home"
        """
    )
    scenario = Scenario.load(file)
    assert "hidden" not in repr(scenario)
    garage, guests, home = Simulator(scenario).installations.values()
    assert (garage.authentication_type, garage.uses_web_hooks) == (1, True)
    assert not garage.reports_sessions
    assert (guests.authentication_type, guests.uses_web_hooks) == (1, False)
    assert (home.authentication_type, home.uses_web_hooks) == (0, False)
    file.write_text(file.read_text().replace("start_url", "url"))
    with pytest.raises(ScenarioError, match="Unknown field: url"):
        Scenario.load(file)
