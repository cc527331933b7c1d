"""The client's methods request the documented endpoints."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
import json
import logging
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from custom_components.zaptec import api
from custom_components.zaptec.api import (
    Command,
    NetworkType,
    Priority,
    ReportGroup,
    ZaptecClient,
    ZaptecPermissionError,
    ZaptecResponseError,
    client as client_module,
)
from custom_components.zaptec.api.requester import Requester

from .conftest import Cloud

INSTALLATION = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0001"
CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
SESSION = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0004"


def item(number: int, **more: Any) -> dict[str, Any]:
    """Return an item of a list."""
    return {"Id": f"0b6ff0f2-9b3f-4df4-8a6b-{number:012}"} | more


async def collect[ItemT](items: AsyncIterator[ItemT]) -> list[ItemT]:
    """Return all items that an iterator yields."""
    return [item async for item in items]


async def test_lists_are_paged(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """All pages are read, and items that are on two pages are returned once."""
    cloud.answer("GET", "/api/chargers", {"Pages": 3, "Data": [item(1), item(2)]})
    cloud.answer("GET", "/api/chargers", {"Pages": 3, "Data": [item(2), item(3)]})
    cloud.answer("GET", "/api/chargers", {"Pages": 3, "Data": [item(4)]})
    chargers = await zaptec.chargers()
    assert [charger.id[-1] for charger in chargers] == ["1", "2", "3", "4"]
    assert [dict(request.query) for request in cloud.requests[1:]] == [
        {"PageSize": "100", "PageIndex": str(index)} for index in range(3)
    ]


@pytest.mark.parametrize("pages", [None, "many", 0, 1, -1])
async def test_odd_number_of_pages(
    zaptec: ZaptecClient, cloud: Cloud, pages: object
) -> None:
    """If the number of pages is missing or invalid, there is one page."""
    cloud.answer("GET", "/api/installation", {"Pages": pages, "Data": [item(1)]})
    assert len(await zaptec.installations()) == 1
    assert cloud.counts["/api/installation"] == 1


async def test_pages_end(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty page is the last one, and the number of pages is limited."""
    cloud.answer("GET", "/api/chargers", {"Pages": 99, "Data": [item(1)]})
    cloud.answer("GET", "/api/chargers", {"Pages": 99, "Data": []})
    assert len(await zaptec.chargers()) == 1
    assert cloud.counts["/api/chargers"] == 2

    monkeypatch.setattr(client_module, "PAGES_MAX", 5)
    cloud.answer("GET", "/api/installation", {"Pages": 99, "Data": [item(1)]})
    await zaptec.installations()
    assert cloud.counts["/api/installation"] == 5


async def test_damaged_items_are_skipped(
    zaptec: ZaptecClient, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged item is skipped, and does not hide the others."""
    caplog.set_level(logging.DEBUG)
    items = [item(1), None, 7, {"Name": "no id"}, {"Id": "../x"}, item(2)]
    cloud.answer("GET", "/api/chargers", {"Pages": 1, "Data": items})
    assert len(await zaptec.chargers()) == 2
    assert caplog.text.count("Skipping an item") == 3


@pytest.mark.parametrize("document", [[], {}, {"Data": {}}, "text", 7, None])
async def test_what_is_no_list(
    zaptec: ZaptecClient, cloud: Cloud, document: object
) -> None:
    """A response that is not a list raises an error, and is not taken for an empty account."""
    cloud.answer("GET", "/api/chargers", document)
    with pytest.raises(ZaptecResponseError):
        await zaptec.chargers()


async def test_single_objects(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """Each kind of object is read from its own path."""
    base = f"/api/installation/{INSTALLATION}"
    cloud.answer("GET", base, {"Id": INSTALLATION, "Name": "Oak Street"})
    cloud.answer("GET", f"{base}/hierarchy", {"Id": INSTALLATION, "NetworkType": 4})
    cloud.answer("GET", f"/api/chargers/{CHARGER}", {"Id": CHARGER, "Name": "Garage"})
    cloud.answer("GET", f"/api/session/{SESSION}", {"sessionId": SESSION, "energy": 1})
    cloud.answer(
        "GET",
        f"{base}/messagingConnectionDetails",
        {
            "Host": "bus.example.com",
            "Username": "listener",
            "Password": "c2VjcmV0",
            "Topic": "topic",
            "Subscription": "default",
        },
    )
    assert (await zaptec.installation(INSTALLATION.upper())).name == "Oak Street"
    assert (await zaptec.hierarchy(INSTALLATION)).network_type is (
        NetworkType.TN_3_PHASE
    )
    assert (await zaptec.charger(CHARGER)).name == "Garage"
    assert (await zaptec.session(SESSION)).energy == 1
    assert (await zaptec.connection_details(INSTALLATION)).topic == "topic"


async def test_details_that_are_none(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """If there are no connection details, the error has a reason."""
    path = f"/api/installation/{INSTALLATION}/messagingConnectionDetails"
    cloud.answer("GET", path, status=204, text="")
    cloud.answer("GET", path, {"Host": "bus.example.com"})
    with pytest.raises(ZaptecPermissionError):
        await zaptec.connection_details(INSTALLATION)
    with pytest.raises(ZaptecResponseError, match="Username is missing"):
        await zaptec.connection_details(INSTALLATION)


async def test_state(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A state is a list of observations, from which damaged ones are left out."""
    path = f"/api/chargers/{CHARGER}/state"
    moment = "2026-05-20T12:41:41.5"
    cloud.answer(
        "GET",
        path,
        [
            {"ChargerId": CHARGER, "StateId": -1, "Timestamp": moment},
            {"StateId": 710, "Timestamp": moment, "ValueAsString": "3"},
            {"StateId": 553},
            None,
        ],
    )
    pulse, mode = await zaptec.charger_state(CHARGER.upper())
    assert (pulse.state_id, pulse.value) == (-1, None)
    assert (mode.charger_id, mode.state_id, mode.value) == (CHARGER, 710, "3")
    cloud.handle("GET", path)
    cloud.answer("GET", path, {})
    with pytest.raises(ZaptecResponseError):
        await zaptec.charger_state(CHARGER)


async def test_firmware(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The firmware list is a bare array."""
    path = f"/api/chargerFirmware/installation/{INSTALLATION}"
    cloud.answer("GET", path, [{"ChargerId": CHARGER, "CurrentVersion": "1.0"}, {}])
    (firmware,) = await zaptec.firmware(INSTALLATION)
    assert firmware.current_version == "1.0"


@pytest.mark.parametrize("command", Command)
async def test_commands(zaptec: ZaptecClient, cloud: Cloud, command: Command) -> None:
    """A command is sent in the path, without a body."""
    path = f"/api/chargers/{CHARGER}/sendCommand/{int(command)}"
    cloud.answer("POST", path, text="")
    await zaptec.send_command(CHARGER, command)
    assert cloud.bodies[path] == [b""]


async def test_only_documented_commands(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A command that is not documented is never sent."""
    with pytest.raises(ValueError):
        await zaptec.send_command(CHARGER, 501)
    assert not cloud.requests


async def test_update_charger(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """An update contains only the given settings."""
    path = f"/api/chargers/{CHARGER}/update"
    cloud.answer("POST", path, text="")
    await zaptec.update_charger(CHARGER, max_charge_current=0)
    await zaptec.update_charger(
        CHARGER,
        max_charge_current=16.5,
        min_charge_current=6,
        max_charge_phases=3,
        offline_charge_current=-1,
        offline_charge_phase=7,
        meter_value_interval=900,
    )
    assert [json.loads(body) for body in cloud.bodies[path]] == [
        {"maxChargeCurrent": 0},
        {
            "maxChargeCurrent": 16.5,
            "minChargeCurrent": 6,
            "maxChargePhases": 3,
            "offlineChargeCurrent": -1,
            "offlineChargePhase": 7,
            "meterValueInterval": 900,
        },
    ]
    assert cloud.requests[-1].content_type == "application/json"


async def test_update_installation(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The current is written for all three phases, or as one value."""
    path = f"/api/installation/{INSTALLATION}/update"
    cloud.answer("POST", path, text="")
    await zaptec.update_installation(INSTALLATION, available_current=10.5)
    await zaptec.update_installation(
        INSTALLATION,
        available_current_phases=(10, 11, 12.5),
        max_current=40,
        three_to_one_phase_switch_current=0,
        min_power_offline_mode=False,
    )
    assert [json.loads(body) for body in cloud.bodies[path]] == [
        {"availableCurrent": 10.5},
        {
            "availableCurrentPhase1": 10,
            "availableCurrentPhase2": 11,
            "availableCurrentPhase3": 12.5,
            "maxCurrent": 40,
            "threeToOnePhaseSwitchCurrent": 0,
            "minPowerOfflineMode": False,
        },
    ]


async def test_updates_without_sense(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """Invalid combinations of settings are not sent."""
    with pytest.raises(ValueError):
        await zaptec.update_charger(CHARGER)
    with pytest.raises(ValueError):
        await zaptec.update_charger(CHARGER, max_charge_current=float("nan"))
    with pytest.raises(ValueError):
        await zaptec.update_installation(
            INSTALLATION, available_current=1, available_current_phases=(1, 1, 1)
        )
    assert not cloud.requests


async def test_constants_take_no_login(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The constants need no sign-in."""
    cloud.answer("GET", "/api/constants", {"Version": "6.5.8"})
    assert await zaptec.constants() == {"Version": "6.5.8"}
    assert cloud.counts == {"/api/constants": 1}
    assert "Authorization" not in cloud.requests[0].headers


async def test_priority_of_a_session(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """Prioritizing a session sends its phases and current."""
    path = f"/api/session/{SESSION}/priority"
    cloud.answer("POST", path, text="")
    await zaptec.prioritize_session(SESSION, phases=3, current=16.0)
    assert json.loads(cloud.bodies[path][0]) == {
        "PrioritizedPhases": 3,
        "PrioritizedCurrent": 16.0,
    }


START = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
END = datetime(2026, 2, 1, tzinfo=UTC)
PERIOD: dict[str, Any] = {"installation_id": INSTALLATION, "start": START, "end": END}


async def test_archive(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The archive is read cursor by cursor."""
    path = "/api/sessions/archived"
    cloud.answer(
        "GET", path, {"sessions": [{"id": SESSION}, 7], "cursor": "a", "hasMore": True}
    )
    cloud.answer(
        "GET", path, {"sessions": [{"id": CHARGER}], "cursor": None, "hasMore": False}
    )
    sessions = await collect(
        zaptec.archived_sessions(charger_id=CHARGER, start=START, end=END)
    )
    assert [session.id for session in sessions] == [SESSION, CHARGER]
    first = {
        "PageSize": "100",
        "ChargerId": CHARGER,
        "From": "2026-01-01T00:00:00Z",
        "To": "2026-02-01T00:00:00Z",
    }
    assert [dict(request.query) for request in cloud.requests[1:]] == [
        first,
        first | {"Cursor": "a"},
    ]


@pytest.mark.parametrize("cursor", ["same", None])
async def test_archive_without_progress(
    zaptec: ZaptecClient, cloud: Cloud, cursor: str | None
) -> None:
    """A cursor that stays the same ends the reading, which is not complete then."""
    page: dict[str, Any] = {"sessions": [], "cursor": cursor, "hasMore": True}
    cloud.answer("GET", "/api/sessions/archived", page)
    with pytest.raises(ZaptecResponseError):
        await collect(zaptec.archived_sessions(**PERIOD))
    assert cloud.counts["/api/sessions/archived"] == (2 if cursor else 1)


async def test_endless_archive(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of pages is limited; an incomplete archive is not taken for a whole one."""
    monkeypatch.setattr(client_module, "PAGES_MAX", 3)
    for cursor in "abcd":
        cloud.answer(
            "GET",
            "/api/sessions/archived",
            {"sessions": [], "cursor": cursor, "hasMore": True},
        )
    with pytest.raises(ZaptecResponseError):
        await collect(zaptec.archived_sessions(**PERIOD))
    assert cloud.counts["/api/sessions/archived"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"installation_id": None},
        {"charger_id": CHARGER},
        {"end": START},
        {"end": START - timedelta(days=1)},
        {"end": START + timedelta(milliseconds=900)},
    ],
)
async def test_archive_of_what(
    zaptec: ZaptecClient, cloud: Cloud, wrong: dict[str, Any]
) -> None:
    """Only what the cloud accepts is requested: one place, and a period in whole seconds."""
    with pytest.raises(ValueError):
        await collect(zaptec.archived_sessions(**PERIOD | wrong))
    assert cloud.requests == []


@pytest.mark.parametrize(
    "document", [[], None, 7, {}, {"sessions": None}, {"sessions": {}}]
)
async def test_what_is_no_archive(
    zaptec: ZaptecClient, cloud: Cloud, document: object
) -> None:
    """A response without sessions raises an error, and is not taken for an empty archive."""
    cloud.answer("GET", "/api/sessions/archived", document)
    with pytest.raises(ZaptecResponseError):
        await collect(zaptec.archived_sessions(**PERIOD))


async def test_archive_is_requested_page_by_page(
    zaptec: ZaptecClient, cloud: Cloud
) -> None:
    """The next page is not requested before it is needed."""
    path = "/api/sessions/archived"
    cloud.answer(
        "GET", path, {"sessions": [{"id": SESSION}], "cursor": "a", "hasMore": True}
    )
    cloud.answer("GET", path, {"sessions": [], "cursor": None, "hasMore": False})
    sessions = zaptec.archived_sessions(**PERIOD)
    assert (await anext(sessions)).id == SESSION
    assert cloud.counts[path] == 1
    with pytest.raises(StopAsyncIteration):
        await anext(sessions)
    assert cloud.counts[path] == 2


@pytest.mark.parametrize("more", [{}, {"priority": Priority.COMMAND}])
async def test_priority_of_the_archive(
    zaptec: ZaptecClient,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
) -> None:
    """The archive waits behind everything else, unless the user waits for it."""
    cloud.answer("GET", "/api/sessions/archived", {"sessions": []})
    priorities: list[Priority] = []
    request = Requester.request

    async def spy(self: Requester, *args: Any, **options: Any) -> Any:
        priorities.append(options["priority"])
        return await request(self, *args, **options)

    monkeypatch.setattr(Requester, "request", spy)
    await collect(zaptec.archived_sessions(**PERIOD, **more))
    assert priorities == [more.get("priority", Priority.BACKGROUND)]


async def test_charge_history(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """The history is read page by page."""
    path = "/api/chargehistory"
    cloud.answer("GET", path, {"Pages": 2, "Data": [{"Id": SESSION, "Energy": 7.5}]})
    cloud.answer("GET", path, {"Pages": 2, "Data": [{"Id": CHARGER}]})
    sessions = await collect(
        zaptec.charge_history(installation_id=INSTALLATION, start=START, details=True)
    )
    assert [session.energy for session in sessions] == [7.5, None]
    assert dict(cloud.requests[1].query) == {
        "InstallationId": INSTALLATION,
        "From": "2026-01-01T00:00:00Z",
        "DetailLevel": "1",
        "PageSize": "100",
        "PageIndex": "0",
    }


async def test_report(zaptec: ZaptecClient, cloud: Cloud) -> None:
    """A report is requested with POST, but is repeated like a read, because it changes nothing."""
    path = "/api/chargehistory/installationreport"
    cloud.answer("POST", path, status=502, text="")
    cloud.answer("POST", path, {"totalEnergy": 5})
    assert await zaptec.installation_report(
        INSTALLATION, start=START, end=END, group_by=ReportGroup.USER
    ) == {"totalEnergy": 5}
    assert json.loads(cloud.bodies[path][-1]) == {
        "installationId": INSTALLATION,
        "fromDate": "2026-01-01T00:00:00",
        "endDate": "2026-02-01T00:00:00",
        "groupBy": 0,
    }
    with pytest.raises(ValueError):
        await zaptec.installation_report("odd", start=START, end=END)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:8000/", True),
        ("http://localhost:8000", True),
        ("https://127.0.0.1:8000", False),
        ("https://api.zaptec.com", False),
    ],
)
async def test_plain_messages(
    session: aiohttp.ClientSession, url: str, allowed: bool
) -> None:
    """Unencrypted messages are only allowed on loopback."""
    zaptec = ZaptecClient(session, "anna", "secret", base_url=url)
    assert zaptec.allows_plain_bus is allowed
    assert zaptec.base_url == url.rstrip("/")
    assert "secret" not in repr(zaptec)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.zaptec.com",
        "http://127.0.0.1.example.com",
        "http://192.168.1.5",
        "http:",
        "ftp://127.0.0.1",
        "api.zaptec.com",
        "",
    ],
)
async def test_a_password_is_sent_encrypted(
    session: aiohttp.ClientSession, url: str
) -> None:
    """A custom API address must use HTTPS, because the password is sent to it."""
    with pytest.raises(ValueError, match="TLS"):
        ZaptecClient(session, "anna", "secret", base_url=url)


async def test_another_source_of_tokens(
    session: aiohttp.ClientSession, cloud: Cloud, hasty: None
) -> None:
    """Another token source can replace the password grant."""

    class Fixed:
        async def token(self, priority: Priority = Priority.COMMAND) -> str:
            return "fixed"

        def invalidate(self, token: str) -> None:
            raise AssertionError

    cloud.answer("GET", f"/api/chargers/{CHARGER}", {"Id": CHARGER})
    zaptec = ZaptecClient(session, "anna", "", base_url=cloud.url, token_source=Fixed())
    await zaptec.charger(CHARGER)
    (request,) = cloud.requests
    assert request.headers["Authorization"] == "Bearer fixed"


def test_public_names() -> None:
    """All names in `__all__` exist, and are sorted."""
    assert all(hasattr(api, name) for name in api.__all__)
    assert len(set(api.__all__)) == len(api.__all__)


def test_independence_of_home_assistant() -> None:
    """The API imports nothing of Home Assistant, so it could be a package of its own."""
    program = (
        "import sys, importlib.util, pathlib\n"
        f"path = pathlib.Path({str(api.__file__)!r})\n"
        "spec = importlib.util.spec_from_file_location(\n"
        "    'zaptec_api', path, submodule_search_locations=[str(path.parent)]\n"
        ")\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['zaptec_api'] = module\n"
        "spec.loader.exec_module(module)\n"
        "assert not [n for n in sys.modules if n.startswith(('homeassistant', 'custom'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
