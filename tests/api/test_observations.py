"""The table of observations, and the values parsed with it."""

from datetime import UTC, datetime
import json
import logging

import pytest

from custom_components.zaptec.api import (
    OBSERVATIONS,
    CommunicationMode,
    CompletedSession,
    Family,
    Kind,
    NetworkType,
    Observation,
    ObservationType,
    OperationMode,
    PhaseId,
    StateId,
    Value,
    observation_type,
    parse_value,
    warning_names,
)

CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
MOMENT = datetime(2026, 5, 20, tzinfo=UTC)


def value_of(
    state_id: int, text: str | None, family: Family = Family.GO
) -> Value | None:
    """Return the value of an observation."""
    return parse_value(Observation(CHARGER, state_id, MOMENT, text), family)


def test_every_state_id_has_a_meaning_in_both_families() -> None:
    """The table holds the 192 StateIds of the vendor's constants, twice."""
    assert len(StateId) == 192
    for family in (Family.PRO, Family.GO):
        assert {key for key, key_family in OBSERVATIONS if key_family is family} == set(
            StateId
        )


@pytest.mark.parametrize(
    ("state_id", "pro", "go"),
    [
        (202, "temperature_internal6", "temperature_emeter_phase1"),
        (205, "temperature_power_board", "temperature_emeter_phase3"),
        (813, "mcu_to_variscite_packet_errors", "mcu_to_esp_packet_errors"),
        (814, "variscite_to_mcu_packet_errors", "esp_to_mcu_packet_errors"),
        (820, "uptime_variscite", "uptime_esp"),
        (970, "production_test_station_number", "factory_test_stage"),
    ],
)
def test_meaning_depends_on_the_family(state_id: int, pro: str, go: str) -> None:
    """Six StateIds have two meanings, so they are unknown for devices of other families."""
    meanings = [observation_type(state_id, family) for family in Family]
    assert [meaning and meaning.name for meaning in meanings] == [pro, go, None]


def test_meaning() -> None:
    """A StateId has a name, a kind, and for some kinds a unit."""
    assert observation_type(513, Family.PRO) == ObservationType(
        "total_charge_power", Kind.NUMBER, "W"
    )
    assert observation_type(-1000, Family.GO) == ObservationType("waiting_reasons")
    assert observation_type(123456, Family.GO) is None


METER = 'OCMF|{"RD":[{"RV":12345,"RI":"1-0:1.8.0","RU":"Wh"}]}'


@pytest.mark.parametrize(
    ("state_id", "text", "expected"),
    [
        (StateId.IS_ONLINE, "1", True),
        (StateId.IS_ONLINE, "false", False),
        (StateId.VOLTAGE_PHASE1, "215.570", 215.57),
        (StateId.CURRENT_PHASE1, "0.0215", 0.0215),
        (StateId.CHARGER_MAX_CURRENT, "32", 32.0),
        (StateId.TOTAL_CHARGE_POWER_SESSION, "13.463", 13.463),
        (StateId.MAX_PHASES, "3", 3),
        (StateId.WARNINGS, "72057594037927936", 1 << 56),
        (StateId.SIGNED_METER_VALUE_INTERVAL, "900.000", 900),
        (StateId.CHARGER_OPERATION_MODE, "3", OperationMode.CONNECTED_CHARGING),
        (StateId.CHARGER_OPERATION_MODE, "4", OperationMode.UNKNOWN),
        (StateId.NETWORK_TYPE, "2", NetworkType.IT_3_PHASE),
        (StateId.SET_PHASES, "9", PhaseId.IT_ALL),
        (StateId.COMMUNICATION_MODE, "Wifi", CommunicationMode.WIFI),
        (StateId.COMMUNICATION_MODE, "LTE", CommunicationMode.LTE),
        (StateId.NEXT_SCHEDULE_EVENT, "2026-05-20T00:00:00Z", MOMENT),
        (StateId.CAPABILITIES, '{"ProductVariant":"Go2"}', {"ProductVariant": "Go2"}),
        (StateId.SIGNED_METER_VALUE, METER, 12.345),
        (StateId.SESSION_IDENTIFIER, "abc", "abc"),
        (StateId.SOFTWARE_VERSION, "2.4.0.0", "2.4.0.0"),
        (
            StateId.COMPLETED_SESSION,
            json.dumps({"Energy": 8.7, "SignedSession": METER}),
            CompletedSession(energy=8.7, meter_value=12.345),
        ),
        (99999, "whatever", "whatever"),
    ],
)
def test_value(state_id: int, text: str, expected: Value) -> None:
    """A value has the type that the table says."""
    value = value_of(state_id, text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("text", [None, ""])
def test_no_value(text: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """An observation without a value gives None, without a warning."""
    caplog.set_level(logging.DEBUG)
    assert value_of(StateId.SESSION_IDENTIFIER, text) is None
    assert value_of(StateId.VOLTAGE_PHASE1, text) is None
    assert not caplog.messages


@pytest.mark.parametrize(
    ("state_id", "text"),
    [
        (StateId.IS_ONLINE, "maybe"),
        (StateId.VOLTAGE_PHASE1, "NaN"),
        (StateId.WARNINGS, "1.5"),
        (StateId.SET_PHASES, "7"),
        (StateId.COMMUNICATION_MODE, "pigeon"),
        (StateId.NEXT_SCHEDULE_EVENT, "soon"),
        (StateId.CAPABILITIES, "[]"),
        (StateId.CAPABILITIES, "{"),
        (StateId.CAPABILITIES, "[" * 200_000),
        (StateId.SIGNED_METER_VALUE, "OCMF|{}"),
        (StateId.COMPLETED_SESSION, "7"),
    ],
)
def test_bad_value(
    state_id: StateId, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid value gives None, and is logged once without being quoted."""
    caplog.set_level(logging.DEBUG)
    assert value_of(state_id, text) is None
    assert value_of(state_id, text) is None
    report = f"A value of StateId {int(state_id)} can't be understood"
    assert caplog.messages.count(report) == 1


@pytest.mark.parametrize(
    ("value", "family", "names"),
    [
        (0, Family.PRO, ()),
        (1, Family.PRO, ("humidity",)),
        (128, Family.PRO, ("relay_welded",)),
        (128, Family.GO, ("low_level_12v",)),
        (1 << 49, Family.GO, ("relay_welded",)),
        (1 << 55 | 1, Family.GO, ("humidity", "motor_shorted")),
        (1 << 56, Family.GO, ("mid_storage_error_go_go2",)),
        (1 << 34, Family.PRO, ("illegal_phase",)),
        (1 << 40 | 1 << 41 | 2, Family.PRO, ("temperature", "unknown_warning")),
        (4, Family.OTHER, ("unknown_warning",)),
        (-(1 << 63), Family.GO, ("unknown_warning",)),
    ],
)
def test_warnings(value: int, family: Family, names: tuple[str, ...]) -> None:
    """Each bit of the warnings has a name in its family."""
    assert warning_names(value, family) == names
