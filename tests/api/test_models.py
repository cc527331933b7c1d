"""Models are parsed from the cloud's documents, even from incomplete ones."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from custom_components.zaptec.api import (
    AuthenticationType,
    AvailableCurrentMode,
    Charger,
    ChargerFirmware,
    CommitMetadata,
    CompletedSession,
    ConnectionDetails,
    EnergyDetail,
    Family,
    Hierarchy,
    Installation,
    InstallationType,
    MeterReading,
    NetworkType,
    Observation,
    OperationMode,
    Session,
    UserRole,
)

INSTALLATION = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0001"
CIRCUIT = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0002"
CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
SESSION = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0004"

ODD_VALUES: list[Any] = [None, [], {}, "", "odd", -1, 2.5, True, 10**400, float("nan")]


def test_installation() -> None:
    """An installation has currents in amperes and flags as enum values."""
    installation = Installation.from_json(
        {
            "Id": INSTALLATION.upper(),
            "Name": "Oak Street",
            "Address": "Oak Street 1",
            "ContactEmail": "anna@example.com",
            "Latitude": 59.1,
            "Active": True,
            "AvailableCurrent": 25.0,
            "AvailableCurrentPhase1": "25.5",
            "AvailableCurrentPhase2": 24,
            "AvailableCurrentPhase3": 23,
            "AvailableCurrentMode": 0,
            "MaxCurrent": 40.0,
            "ThreeToOnePhaseSwitchCurrent": 8,
            "DefaultThreeToOneSwitchCurrent": 15.0,
            "NetworkType": 4,
            "InstallationType": 1,
            "AuthenticationType": 3,
            "CurrentUserRoles": 3 | 1 << 12,
            "IsRequiredAuthentication": False,
            "MessagingEnabled": True,
            "UpdatedOn": "2026-02-03T04:05:06.54",
            "TimeZoneIanaName": "Europe/Oslo",
        }
    )
    assert installation == Installation(
        id=INSTALLATION,
        name="Oak Street",
        active=True,
        available_current=25.0,
        available_current_phase1=25.5,
        available_current_phase2=24.0,
        available_current_phase3=23.0,
        available_current_mode=AvailableCurrentMode.MANUAL,
        max_current=40.0,
        three_to_one_phase_switch_current=8.0,
        default_three_to_one_switch_current=15.0,
        network_type=NetworkType.TN_3_PHASE,
        installation_type=InstallationType.SMART,
        authentication_type=AuthenticationType.OCPPNATIVE,
        current_user_roles=UserRole.USER | UserRole.OWNER | UserRole(1 << 12),
        is_required_authentication=False,
        messaging_enabled=True,
        updated_on=datetime(2026, 2, 3, 4, 5, 6, 540000, UTC),
        time_zone="Europe/Oslo",
    )
    assert "example" not in repr(installation)


@pytest.mark.parametrize("roles", [None, -1, "odd", 0])
def test_no_roles(roles: object) -> None:
    """Roles that cannot be parsed allow nothing."""
    document = {"Id": INSTALLATION, "CurrentUserRoles": roles}
    assert Installation.from_json(document).current_user_roles is UserRole.NONE


def test_charger() -> None:
    """A charger knows its family and model."""
    charger = Charger.from_json(
        {
            "Id": CHARGER,
            "DeviceId": "ZPR000123",
            "Name": "Garage",
            "DeviceType": 1,
            "InstallationId": INSTALLATION,
            "InstallationName": "Oak Street",
            "CircuitId": CIRCUIT,
            "Active": True,
            "IsOnline": True,
            "OperatingMode": 3,
            "CurrentUserRoles": 2,
            "SignedMeterValueKwh": 1234.5,
            "AuthenticationType": 0,
            "IsAuthorizationRequired": True,
            "Warnings": 1 << 34,
            "Pin": "4711",
        }
    )
    assert charger == Charger(
        id=CHARGER,
        device_id="ZPR000123",
        name="Garage",
        device_type=1,
        installation_id=INSTALLATION,
        installation_name="Oak Street",
        circuit_id=CIRCUIT,
        active=True,
        is_online=True,
        operating_mode=OperationMode.CONNECTED_CHARGING,
        current_user_roles=UserRole.OWNER,
        signed_meter_value_kwh=1234.5,
        authentication_type=AuthenticationType.NATIVE,
        is_authorization_required=True,
        warnings=1 << 34,
    )
    assert charger.family is Family.PRO
    assert "4711" not in repr(charger)


@pytest.mark.parametrize(
    ("device_type", "family"),
    [(1, Family.PRO), (4, Family.GO), (3, Family.OTHER), (None, Family.OTHER)],
)
def test_family(device_type: int | None, family: Family) -> None:
    """The device type decides on the family."""
    assert Charger(id=CHARGER, device_type=device_type).family is family


@pytest.mark.parametrize(
    ("device_id", "model"),
    [
        ("ZCS1", "Zaptec Pro"),
        ("zpr1", "Zaptec Pro"),
        ("ZCH1", "Zaptec Pro"),
        ("ZPG1", "Zaptec Pro"),
        ("ZAP1", "Zaptec Go"),
        ("ZGB1", "Zaptec Go"),
        ("ZAG1", "Zaptec Go"),
        ("GPN1", "Zaptec Go2"),
        ("GPG1", "Zaptec Go2"),
        ("APH1", "Zaptec Sense"),
        ("APG1", "Zaptec Sense"),
        ("APM1", "Zaptec Sense"),
        ("XYZ1", "Zaptec Charger"),
        (None, "Zaptec Charger"),
    ],
)
def test_model(device_id: str | None, model: str) -> None:
    """The serial number begins with the model."""
    assert Charger(id=CHARGER, device_id=device_id).model == model


def test_hierarchy() -> None:
    """Chargers of a hierarchy have their installation and circuit; damaged ones are left out."""
    hierarchy = Hierarchy.from_json(
        {
            "Id": INSTALLATION,
            "Name": "Oak Street",
            "NetworkType": 2,
            "Circuits": [
                {
                    "Id": CIRCUIT,
                    "Name": "Garages",
                    "MaxCurrent": 32,
                    "IsActive": True,
                    "Chargers": [{"Id": CHARGER, "DeviceType": 4}, {"Id": "x"}, 7],
                },
                {"Id": CIRCUIT, "Active": False, "Chargers": None},
                {"Name": "no id"},
            ],
        }
    )
    assert hierarchy.network_type is NetworkType.IT_3_PHASE
    first, second = hierarchy.circuits
    assert (first.name, first.max_current, first.active) == ("Garages", 32.0, True)
    assert first.chargers == (
        Charger(
            id=CHARGER,
            device_type=4,
            installation_id=INSTALLATION,
            circuit_id=CIRCUIT,
        ),
    )
    assert second.active is False
    assert second.chargers == ()


def test_firmware() -> None:
    """A charger that was never started has no firmware versions."""
    assert ChargerFirmware.from_json(
        {
            "ChargerId": CHARGER,
            "CurrentVersion": "2.4.0.0",
            "AvailableVersion": "2.5.0.1",
            "IsUpToDate": False,
            "IsOnline": True,
        }
    ) == ChargerFirmware(
        charger_id=CHARGER,
        current_version="2.4.0.0",
        available_version="2.5.0.1",
        is_up_to_date=False,
        is_online=True,
    )
    assert ChargerFirmware.from_json({"ChargerId": CHARGER}).current_version is None


DETAILS = {
    "Type": 0,
    "Host": "bus.example.com",
    "Port": 5671,
    "UseSSL": True,
    "Username": "listener",
    "Password": "c2VjcmV0",
    "Topic": "topic",
    "Subscription": "default",
}


def test_connection_details_hide_the_key() -> None:
    """The representation of connection details does not contain the key."""
    details = ConnectionDetails.from_json(DETAILS)
    assert details.password == "c2VjcmV0"
    assert "c2VjcmV0" not in repr(details)
    assert details.port == 5671
    assert details.use_ssl


def test_connection_details_default_to_encryption() -> None:
    """Without port and TLS in the details, encryption is used."""
    details = ConnectionDetails.from_json(
        {key: DETAILS[key] for key in DETAILS if key not in ("Port", "UseSSL")}
    )
    assert (details.port, details.use_ssl) == (5671, True)
    assert not ConnectionDetails.from_json({**DETAILS, "UseSSL": False}).use_ssl


@pytest.mark.parametrize(
    "key", ["Host", "Username", "Password", "Topic", "Subscription"]
)
def test_incomplete_connection_details(key: str) -> None:
    """All other fields of the connection details are required."""
    with pytest.raises(ValueError, match=f"{key} is missing"):
        ConnectionDetails.from_json({**DETAILS, key: None})


def observation(**changes: Any) -> dict[str, Any]:
    """Return the JSON of an observation."""
    return {
        "DeviceId": "ZAP000123",
        "DeviceType": 4,
        "ChargerId": CHARGER.upper(),
        "StateId": 553,
        "Timestamp": "2026-05-20T12:41:41.55472Z",
        "ValueAsString": "13.463",
    } | changes


MOMENT = datetime(2026, 5, 20, 12, 41, 41, 554720, UTC)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, "13.463"),
        ({"ValueAsString": None}, None),
        ({"ValueAsString": None, "Value": "7"}, "7"),
        ({"ValueAsString": 7.5}, "7.5"),
        ({"ValueAsString": True}, "1"),
        ({"ValueAsString": None, "Value": False}, "0"),
        ({"ValueAsString": ""}, ""),
    ],
)
def test_observation(changes: dict[str, Any], value: str | None) -> None:
    """The value of an observation is a text or None."""
    assert Observation.from_json(observation(**changes)) == Observation(
        CHARGER, 553, MOMENT, value
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        observation(ChargerId=None),
        observation(ChargerId="garage"),
        observation(StateId="x"),
        observation(StateId=None),
        observation(Timestamp=None),
        observation(Timestamp="now"),
        observation(ValueAsString=["7"]),
    ],
)
def test_what_is_no_observation(document: object) -> None:
    """An observation without charger, StateId or timestamp is refused."""
    with pytest.raises(ValueError):
        Observation.from_json(document)


def test_observation_of_a_state() -> None:
    """Observations in a charger's state may lack the charger's id."""
    document = observation()
    del document["ChargerId"]
    assert Observation.from_json(document, CHARGER).charger_id == CHARGER
    with pytest.raises(ValueError):
        Observation.from_json(document)


def test_completed_session() -> None:
    """A signed completed session contains the meter reading at its end."""
    session = CompletedSession.from_json(
        {
            "SessionId": SESSION,
            "Energy": 27.432,
            "StartDateTime": "2025-08-28T15:02:55.188048Z",
            "EndDateTime": "2025-08-28T16:02:55.188048Z",
            "ReliableClock": True,
            "StoppedByRFID": False,
            "AuthenticationCode": "nfc-01020304",
            "SignedSession": (
                'OCMF|{"RD":[{"RV":10.5,"RI":"1-0:1.8.0","RU":"kWh"},{"RV":37.932}]}'
            ),
        }
    )
    assert session == CompletedSession(
        session_id=SESSION,
        energy=27.432,
        start=datetime(2025, 8, 28, 15, 2, 55, 188048, UTC),
        end=datetime(2025, 8, 28, 16, 2, 55, 188048, UTC),
        reliable_clock=True,
        stopped_by_rfid=False,
        authentication_code="nfc-01020304",
        meter_value=37.932,
    )
    assert "nfc" not in repr(session)
    assert session.readings == ()
    assert CompletedSession.from_json({"SignedSession": ""}).meter_value is None
    assert CompletedSession.from_json({"SignedSession": "odd"}).meter_value is None


def test_session_of_the_history() -> None:
    """Sessions of the history have names in Pascal case, and flags in one number."""
    session = Session.from_json(
        {
            "Id": SESSION,
            "ChargerId": CHARGER,
            "StartDateTime": "2026-01-05T10:00:00",
            "EndDateTime": "2026-01-05T11:00:00",
            "Energy": 7.5,
            "CommitMetadata": 5,
            "UserEmail": "anna@example.com",
            "SignedSession": "OCMF|{}",
            "EnergyDetails": [
                {"Timestamp": "2026-01-05T10:15:00+00:00", "Energy": 2.5},
                {"Timestamp": "2026-01-05T10:30:00+00:00"},
            ],
        }
    )
    assert session.start == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert session.metadata is CommitMetadata.ONLINE | CommitMetadata.RELIABLE_CLOCK
    assert session.energy_details == (
        EnergyDetail(timestamp=datetime(2026, 1, 5, 10, 15, tzinfo=UTC), energy=2.5),
    )
    assert session.signed_session == "OCMF|{}"
    assert "OCMF" not in repr(session)
    assert "example" not in repr(session)


def test_session_of_the_archive() -> None:
    """Sessions of the archive have names in camel case, and a field for each flag."""
    session = Session.from_json(
        {
            "id": SESSION,
            "chargerId": CHARGER,
            "startDateTime": "2026-01-05T10:00:00Z",
            "offline": True,
            "reliableClock": True,
            "stoppedByRfid": True,
            "signed": True,
            "voided": True,
            "aborted": True,
            "ocppNative": True,
            "replacedBySessionId": CIRCUIT,
            "sessionSignature": "OCMF|{}",
        }
    )
    assert session.metadata == CommitMetadata(2 | 4 | 8 | 16 | 32 | 64 | 128)
    assert session.replaced_by == CIRCUIT
    assert session.signed_session == "OCMF|{}"
    assert session.end is None


def test_readings_of_a_completed_session() -> None:
    """The rows of the meter say when the energy was drawn."""
    signed = (
        'OCMF|{"RD":[{"TM":"2026-01-05T10:00:00,000+00:00 R","RV":10.5},'
        '{"TM":"2026-01-05T11:00:00,060+00:00 R","RV":12.25}]}'
    )
    expected = (
        MeterReading(datetime(2026, 1, 5, 10, tzinfo=UTC), 10.5),
        MeterReading(datetime(2026, 1, 5, 11, 0, 0, 60_000, UTC), 12.25),
    )
    completed = CompletedSession.from_json({"SignedSession": signed})
    assert completed.readings == expected
    assert completed.meter_value == 12.25
    session = Session.from_json({"id": SESSION, "sessionSignature": signed})
    assert session.readings == expected
    assert Session.from_json({"id": SESSION}).readings == ()


PRIVATE = {
    "tokenName": "Anna's key ring",
    "authorizedUser": {
        "id": "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0009",
        "email": "anna@example.com",
        "fullName": "Anna Driver",
    },
}


def test_details_of_an_archived_session() -> None:
    """The details are in the order of time; a damaged one is left out."""
    session = Session.from_json(
        {
            "id": SESSION,
            "externalId": "hook-1",
            "chargerFirmwareVersion": "3.2.4.1",
            "recognizedDateTime": "2026-01-07T11:00:05",
            "externallyAbandoned": True,
            "energy": 7.5,
            "energyDetails": [
                {"timestamp": "2026-01-05T10:30:00.060Z", "energy": 5.0},
                {"timestamp": "2026-01-05T10:15:00.060Z", "energy": 2.5},
                {"timestamp": "2026-01-05T10:00:00Z", "energy": 0},
                {"timestamp": "late", "energy": 1.0},
                None,
            ],
        }
        | PRIVATE
    )
    assert [
        (detail.timestamp.minute, detail.energy) for detail in session.energy_details
    ] == [(0, 0.0), (15, 2.5), (30, 5.0)]
    assert session.external_id == "hook-1"
    assert session.firmware == "3.2.4.1"
    assert session.recognized == datetime(2026, 1, 7, 11, 0, 5, tzinfo=UTC)
    assert session.externally_abandoned
    assert session.user_id == "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0009"
    assert session.user_name == "Anna Driver"
    assert session.token_name == "Anna's key ring"


def test_persons_are_not_in_the_representation() -> None:
    """Names of users and cards do not get into logs; mail addresses are not kept."""
    session = Session.from_json({"id": SESSION} | PRIVATE)
    assert "Anna" not in repr(session)
    assert "f0009" not in repr(session)
    values = [getattr(session, field.name) for field in fields(session)]
    assert "example.com" not in str(values)
    old = Session.from_json(
        {
            "Id": SESSION,
            "UserId": "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0009",
            "UserFullName": "Anna Driver",
            "TokenName": "Anna's key ring",
            "CommitEndDateTime": "2026-01-07T11:00:05",
        }
    )
    assert old.user_id == session.user_id
    assert old.user_name == session.user_name
    assert old.token_name == session.token_name
    assert old.recognized == datetime(2026, 1, 7, 11, 0, 5, tzinfo=UTC)


def test_flags_that_are_left_out_are_not_set() -> None:
    """The archive leaves out false flags, so a clock is only reliable if it says so."""
    session = Session.from_json({"id": SESSION, "energy": 1.0})
    assert session.metadata is CommitMetadata.NONE
    assert not session.externally_abandoned
    assert session.user_id is session.user_name is session.token_name is None


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({}, True),
        ({"offline": True, "externallyAbandoned": True}, True),
        ({"voided": True}, False),
        ({"aborted": True}, False),
        ({"replacedBySessionId": CIRCUIT}, False),
        ({"voided": False, "aborted": None, "replacedBySessionId": ""}, True),
    ],
)
def test_which_sessions_count(more: dict[str, Any], counts: bool) -> None:
    """The energy of a void, aborted or replaced session means nothing."""
    assert Session.from_json({"id": SESSION} | more).counts is counts


def test_too_many_details() -> None:
    """Of a session with more details than a charger can report, it is kept that it has."""
    detail = {"timestamp": "2026-01-05T10:15:00Z", "energy": 0.001}
    session = Session.from_json({"id": SESSION, "energyDetails": [detail] * 10_000})
    assert len(session.energy_details) == 10_000
    assert not session.has_too_many_details
    session = Session.from_json({"id": SESSION, "energyDetails": [detail] * 20_161})
    assert session.energy_details == ()
    assert session.has_too_many_details


def test_single_session() -> None:
    """A single session has different names, and no end while it is active."""
    session = Session.from_json(
        {
            "sessionId": SESSION,
            "sessionStart": "2026-01-05T10:00:00Z",
            "sessionEnd": None,
        }
    )
    assert session.id == SESSION
    assert session.start == datetime(2026, 1, 5, 10, tzinfo=UTC)
    with pytest.raises(ValueError):
        Session.from_json({"energy": 1.0})


@pytest.mark.parametrize(
    ("model", "document"),
    [
        (Installation, {"Id": INSTALLATION}),
        (Charger, {"Id": CHARGER}),
        (Hierarchy, {"Id": INSTALLATION}),
        (ChargerFirmware, {"ChargerId": CHARGER}),
        (Session, {"Id": SESSION}),
        (CompletedSession, {}),
    ],
)
def test_everything_but_the_id_may_be_odd(model: Any, document: dict[str, Any]) -> None:
    """A field of an unexpected type counts as missing."""
    assert model.from_json(document)
    keys = "Name Active AvailableCurrent AvailableCurrentMode MaxCurrent NetworkType "
    keys += "InstallationType AuthenticationType CurrentUserRoles UpdatedOn DeviceId "
    keys += (
        "DeviceType InstallationId OperatingMode SignedMeterValueKwh Warnings Energy "
    )
    keys += "Circuits CurrentVersion CommitMetadata EnergyDetails StartDateTime "
    keys += "SignedSession SessionId AuthorizedUser TokenName ExternalId "
    keys += "RecognizedDateTime ExternallyAbandoned ReplacedBySessionId"
    for value in ODD_VALUES:
        odd = model.from_json(dict.fromkeys(keys.split(), value) | document)
        assert all(hasattr(odd, field.name) for field in fields(model))
    for value in ODD_VALUES:
        if not isinstance(value, dict):
            with pytest.raises(ValueError):
                model.from_json(value)
