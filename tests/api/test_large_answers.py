"""Large responses are read without blocking the event loop."""

import asyncio
from datetime import UTC, datetime
import json
import threading
import time
from typing import Any

import pytest

from custom_components.zaptec.api import (
    CompletedSession,
    Family,
    Observation,
    StateId,
    ZaptecClient,
    client,
    observations,
    parse_value,
    transport,
)

from .conftest import Cloud

pytestmark = pytest.mark.serial

CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
STATE = f"/api/chargers/{CHARGER}/state"

# Maximum iteration of the event loop (s of processor time). Parsing alone takes longer.
TURN_MAX = 0.05


def meter(rows: int) -> str:
    """Return a signed meter value with a number of readings, the last one of 1234.5 kWh."""
    readings = [
        {
            "TM": "2026-11-26T20:00:00,000+00:00 S",
            "TX": "T",
            "RV": 1000 + index / 1000,
            "RI": "1-0:1.8.0",
            "RU": "kWh",
            "RT": "AC",
            "ST": "G",
        }
        for index in range(rows - 1)
    ]
    readings.append({**readings[0], "RV": 1234.5})
    return f"OCMF|{json.dumps({'FV': '1.0', 'RD': readings})}|{{}}"


def document(state_id: int, value: str) -> list[dict[str, Any]]:
    """Return the state of a charger."""
    return [
        {"StateId": 710, "Timestamp": "2026-11-26T20:00:00Z", "ValueAsString": "1"},
        {
            "StateId": state_id,
            "Timestamp": "2026-11-26T20:00:00Z",
            "ValueAsString": value,
        },
    ]


LARGE = {
    "meter value": (StateId.SIGNED_METER_VALUE, meter(11_500)),
    "completed session": (
        StateId.COMPLETED_SESSION,
        json.dumps(
            {"SessionId": CHARGER, "Energy": 7.5, "SignedSession": meter(10_000)}
        ),
    ),
    "any text": (StateId.SECURITY_LOG, "x" * 1_600_000),
}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the durations of the loop's iterations (s of processor time)."""
    taken: list[float] = []
    run = asyncio.Handle._run

    def watch(handle: asyncio.Handle) -> None:
        began_at = time.thread_time()
        run(handle)
        taken.append(time.thread_time() - began_at)

    monkeypatch.setattr(asyncio.Handle, "_run", watch)
    return taken


@pytest.mark.parametrize("name", LARGE)
async def test_a_large_state_does_not_hold_up_the_loop(
    zaptec: ZaptecClient,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    turns: list[float],
    name: str,
) -> None:
    """A large state, such as the 1.5 MiB session of a car parked for months, does not block."""
    state_id, value = LARGE[name]
    text = json.dumps(document(state_id, value))
    assert len(text) > 1.5 * 1024 * 1024
    cloud.answer("GET", STATE, text=text)
    threads: list[bool] = []
    loads = json.loads

    def watch(body: bytes) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return loads(body)

    monkeypatch.setattr(transport.json, "loads", watch)
    await zaptec.authenticate()
    threads.clear()
    turns.clear()
    mode, large = await zaptec.charger_state(CHARGER)
    assert threads
    assert not any(threads)
    began_at = time.thread_time()
    parsed = parse_value(large, Family.PRO)
    turns.append(time.thread_time() - began_at)
    assert max(turns) < TURN_MAX
    assert parse_value(mode, Family.GO) == 1
    match state_id:
        case StateId.SIGNED_METER_VALUE:
            assert parsed == 1234.5
        case StateId.COMPLETED_SESSION:
            assert isinstance(parsed, CompletedSession)
            assert parsed.energy == 7.5
            assert parsed.meter_value == 1234.5
        case _:
            assert parsed == value


async def test_a_page_of_the_archive_does_not_hold_up_the_loop(
    zaptec: ZaptecClient,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    turns: list[float],
) -> None:
    """A page of a hundred long sessions is parsed in a thread, and only taken in the loop."""
    detail = {"timestamp": "2026-11-26T20:00:00.06Z", "energy": 0.125}
    session = {
        "id": CHARGER,
        "energy": 37.5,
        "energyDetails": [detail] * 300,
        "sessionSignature": meter(200),
    }
    text = json.dumps({"sessions": [session] * 100, "hasMore": False})
    assert 4 * 1024 * 1024 < len(text) < transport.RESPONSE_SIZE_MAX
    cloud.answer("GET", "/api/sessions/archived", text=text)
    threads: list[bool] = []
    parse_items = client.parse_items

    def watch(*arguments: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return parse_items(*arguments)

    monkeypatch.setattr(client, "parse_items", watch)
    await zaptec.authenticate()
    turns.clear()
    found = [
        item
        async for item in zaptec.archived_sessions(
            charger_id=CHARGER,
            start=datetime(2026, 1, 1, tzinfo=UTC),
            end=datetime(2026, 12, 1, tzinfo=UTC),
        )
    ]
    # The iteration of the loop in which the page arrived has to end to be counted.
    await asyncio.sleep(0)
    assert max(turns) < TURN_MAX
    assert threads == [False]
    assert len(found) == 100
    assert len(found[0].energy_details) == 300


async def test_a_small_state_is_parsed_at_once(
    zaptec: ZaptecClient, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small state is parsed in the event loop, because a thread would take longer."""

    async def to_thread(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    cloud.answer("GET", STATE, document(StateId.SIGNED_METER_VALUE, meter(20)))
    _, observation = await zaptec.charger_state(CHARGER)
    assert observation.parsed is None
    assert parse_value(observation, Family.GO) == 1234.5


@pytest.mark.parametrize("family", Family)
def test_what_is_parsed_beforehand_is_what_is_parsed_later(family: Family) -> None:
    """Parsing in advance gives the same values as parsing later, for any family and any text."""
    for state_id in (*(int(item) for item in StateId), 99999):
        for text in (meter(200), "x" * 20_000, f"[{'1,' * 20_000}1]"):
            observation = Observation.from_json(document(state_id, text)[1], CHARGER)
            prepared = observations.parse_large(observation)
            assert prepared == observation
            assert parse_value(prepared, family) == parse_value(observation, family)
