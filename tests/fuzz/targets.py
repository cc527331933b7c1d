"""The targets of the fuzzer: each takes bytes and asserts what must hold for any input.

They are used by the tests (with hypothesis, and with the corpus of inputs that once
failed) and by scripts/fuzz.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import json
import math
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from azure.servicebus.amqp import AmqpMessageBodyType

from custom_components.zaptec.api import (
    Charger,
    ChargerFirmware,
    CompletedSession,
    ConnectionDetails,
    Family,
    Hierarchy,
    Installation,
    Kind,
    Observation,
    OperationMode,
    PhaseId,
    Session,
    StateId,
    Subscription,
    ZaptecError,
    observation_type,
    parse_value,
    warning_names,
)
from custom_components.zaptec.api.models import NetworkType
from custom_components.zaptec.api.nbfx import decode
from custom_components.zaptec.api.observations import CommunicationMode
from custom_components.zaptec.api.ocmf import read_meter
from custom_components.zaptec.api.transport import DETAILS_LENGTH_MAX, Response
from custom_components.zaptec.state import ChargerState
from custom_components.zaptec.web_hook_calls import (
    BODY_SIZE_MAX,
    ENERGY_MAX,
    TOKEN_LENGTH_MAX,
    MalformedCallError,
    parse_end,
    parse_start,
)

# Maximum time to handle a message (s). The shortest of several repetitions counts, because
# other work on the machine can only make one longer.
COST_MAX = 0.001
REPETITIONS = 7

CHARGER_ID = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
MOMENT = datetime(2026, 5, 20, 12, 41, 41, tzinfo=UTC)
STATE_IDS = [*map(int, StateId), 4711, 1 << 70, -(1 << 70)]

MODELS: tuple[Callable[[object], object], ...] = (
    Charger.from_json,
    ChargerFirmware.from_json,
    CompletedSession.from_json,
    ConnectionDetails.from_json,
    Hierarchy.from_json,
    Installation.from_json,
    Observation.from_json,
    Session.from_json,
)

_TYPES: dict[Kind, type | tuple[type, ...]] = {
    Kind.BOOLEAN: bool,
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.TIMESTAMP: datetime,
    Kind.COMMUNICATION_MODE: CommunicationMode,
    Kind.NETWORK_TYPE: NetworkType,
    Kind.OPERATION_MODE: OperationMode,
    Kind.PHASE_ID: PhaseId,
}


def is_sound(number: float) -> bool:
    """Return whether a number is finite and can be shown as a state."""
    return math.isfinite(number)


def nbfx(data: bytes) -> None:
    """Decode a body, which must return a text or raise ValueError."""
    try:
        text = decode(data)
    except ValueError:
        return
    assert isinstance(text, str)


def ocmf(data: bytes) -> None:
    """Parse a meter document, which must return a finite number from 0 up, or None."""
    text = data.decode("utf-8", "replace")
    for document in (text, f"OCMF|{text}", f'OCMF|{{"RD":[{text}]}}'):
        reading = read_meter(document)
        assert reading is None or (is_sound(reading) and reading >= 0)


def models(data: bytes) -> None:
    """Parse JSON as each of the models, which must return the model or raise ValueError."""
    try:
        document = json.loads(data)
    except ValueError, RecursionError:
        return
    for read in MODELS:
        try:
            model = read(document)
        except ValueError:
            continue
        # A model with a lone surrogate could not be stored as JSON.
        repr(model).encode("utf-8")


def value(data: bytes) -> None:
    """Apply a text as the value of a StateId."""
    if len(data) < 3:
        return
    state_id = STATE_IDS[data[0] % len(STATE_IDS)]
    family = list(Family)[data[1] % len(Family)]
    moment = MOMENT + timedelta(seconds=data[2] - 128)
    text = data[3:].decode("utf-8", "replace")
    observation = Observation(CHARGER_ID, state_id, moment, text)
    parsed = parse_value(observation, family)
    meaning = observation_type(state_id, family)
    if parsed is not None and meaning and meaning.kind in _TYPES:
        assert isinstance(parsed, _TYPES[meaning.kind])
    if isinstance(parsed, float):
        assert is_sound(parsed)
    if isinstance(parsed, int):
        warning_names(parsed, family)
    if isinstance(parsed, CompletedSession):
        for number in (parsed.energy, parsed.meter_value):
            assert number is None or is_sound(number)

    device_type = {Family.PRO: 1, Family.GO: 4, Family.OTHER: None}[family]
    state = ChargerState(Charger(id=CHARGER_ID, device_type=device_type))
    state.apply(Observation(CHARGER_ID, state_id, MOMENT, "1"))
    held = state.timestamp(state_id)
    state.apply(observation)
    now = state.timestamp(state_id)
    assert held
    assert now
    assert now >= held, "An older observation has undone a newer one"
    state.apply(Observation(CHARGER_ID, state_id, now, None))
    assert state_id not in state


def message(data: bytes) -> None:
    """Decode a message, which must give an observation or count as bad, within the time limit."""
    stream = Subscription(_DETAILS)
    body = SimpleNamespace(
        body_type=AmqpMessageBodyType.DATA, body=[data], sequence_number=None
    )

    def read() -> Observation | None:
        observation = stream.decode(body)
        if observation:
            parse_value(observation, Family.GO)
        return observation

    observation = read()
    assert stream.bad_messages == (observation is None)
    if observation:
        assert observation.timestamp.tzinfo is UTC
        repr(observation).encode("utf-8")
    within_its_time(read)


def answer(data: bytes) -> None:
    """Parse an error response, whose text must be fit for a log."""
    status = 400 + data[0] if data else 400
    error = Response(status, data[1:]).error()
    assert isinstance(error, ZaptecError)
    assert str(error).isprintable()
    assert len(str(error)) <= DETAILS_LENGTH_MAX + 40


def web_hook(data: bytes) -> None:
    """Parse the body of a call to a web hook, within the time limit."""

    def read() -> None:
        for parse in (parse_start, parse_end):
            try:
                call = parse(data)
            except MalformedCallError:
                continue
            assert len(data) <= BODY_SIZE_MAX
            repr(call).encode("utf-8")

    read()
    try:
        token = parse_start(data).request.token
        assert token is None or (0 < len(token) <= TOKEN_LENGTH_MAX)
        assert token is None or token.isprintable()
    except MalformedCallError:
        pass
    try:
        session = parse_end(data)
        assert session.energy is None or 0 <= session.energy <= ENERGY_MAX
        if session.start and session.end:
            assert session.start <= session.end
    except MalformedCallError:
        pass
    within_its_time(read)


def within_its_time(read: Callable[[], Any]) -> None:
    """Assert that a call takes no longer than the time limit of a message."""
    for _ in range(REPETITIONS):
        start = perf_counter()
        read()
        taken = perf_counter() - start
        if taken <= COST_MAX:
            return
    raise AssertionError(f"It took {taken * 1000:.1f} ms")


_DETAILS = ConnectionDetails(
    host="h",
    port=1,
    use_ssl=True,
    user_name="u",
    password="p",
    topic="t",
    subscription="s",
)

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (nbfx, ocmf, models, value, message, answer, web_hook)
}
