"""The documents that the REST service answers with.

Fields without a value are left out, as the vendor does.
"""

from datetime import UTC, datetime, timedelta

from .accounts import Account, UserRole
from .authorization import WebHooks
from .charger import Charger
from .installation import Installation
from .observations import Family, StateId
from .session import Session
from .telemetry import StoredObservation

type Document = dict[str, object]

# Private values of the owner, which must not appear in logs or diagnostics.
ADDRESS = "Ladeveien 117"
CITY = "Stavanger"
PIN = "739150264819"
POSITION = "58.9701334417"

_CATEGORIES = {
    0: ("5c624162-e595-4167-a8bb-8b33a1487b62", "Community_Installation_Category"),
    1: ("d72d6374-7f73-4df5-8056-60635b177421", "Private_Installation_Category"),
}
_AVAILABLE_FEATURES = {0: 183, 1: 471}


def rest_time(time: datetime) -> str:
    """Write a time as the REST models do: UTC, no zone, thousandths without trailing zeros.

    The vendor's database keeps three-hundredths of a second, so a time here can differ by some
    milliseconds from the same time on the Service Bus.
    """
    time = time.astimezone(UTC)
    milliseconds = round(round(time.microsecond * 3 / 10_000) * 10 / 3)
    whole = time.replace(microsecond=0) + timedelta(milliseconds=milliseconds)
    text = f"{whole:%Y-%m-%dT%H:%M:%S}"
    if whole.microsecond:
        text += f".{whole.microsecond // 1000:03d}".rstrip("0")
    return text


def session_time(time: datetime | None) -> str | None:
    """Write a time as the newer session models do: UTC, a fraction only if there is one."""
    if time is None:
        return None
    time = time.astimezone(UTC)
    fraction = f".{time.microsecond:06d}".rstrip("0") if time.microsecond else ""
    return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def without_nulls(document: Document) -> Document:
    """Leave out what has no value."""
    return {key: value for key, value in document.items() if value is not None}


def installation(
    item: Installation[Charger], account: Account, *, detail: bool
) -> Document:
    """Return an InstallationModel; an account with only the role of a user sees less."""
    category_id, category = _CATEGORIES[item.installation_type]
    manages = account.manages(item.id)
    phases = item.available_current or (None, None, None)
    document: Document = {
        "Id": item.id,
        "Name": item.name,
        "Address": ADDRESS if detail else None,
        "ZipCode": "4020" if detail else None,
        "City": CITY if detail else None,
        "CountryId": "83bffdb1-0a92-4574-bb7b-bd0d17387c17",
        "InstallationType": item.installation_type,
        "MaxCurrent": float(item.max_current),
        "AvailableCurrent": min(item.available_current)
        if item.available_current
        else None,
        "AvailableCurrentPhase1": phases[0],
        "AvailableCurrentPhase2": phases[1],
        "AvailableCurrentPhase3": phases[2],
        "AvailableCurrentMode": item.available_current_mode,
        "AvailableCurrentScheduleWeekendActive": False,
        "ThreeToOnePhaseSwitchCurrent": item.three_to_one_phase_switch_current,
        "DefaultThreeToOneSwitchCurrent": None
        if item.three_to_one_phase_switch_current is None
        else 15.0,
        "InstallationCategoryId": category_id,
        "InstallationCategory": category,
        "UseLoadBalancing": True,
        "IsRequiredAuthentication": item.authentication_required,
        "Latitude": float(POSITION),
        "Longitude": 5.7331,
        "Active": True,
        "NetworkType": int(item.network_type),
        "AvailableInternetAccessPLC": False,
        "AvailableInternetAccessWiFi": False,
        "CreatedOnDate": rest_time(item.created),
        "UpdatedOn": rest_time(item.updated),
        "CurrentUserRoles": int(account.role(item.id)),
        "AuthenticationType": item.authentication_type if manages else None,
        **(_web_hooks(item.web_hooks) if manages else {}),
        "MessagingEnabled": item.messaging_enabled if manages else None,
        "RoutingId": "default",
        "OcppCloudUrlVersion": 0,
        "TimeZoneName": "(UTC+01:00) Central European Time (Berlin)"
        if detail
        else None,
        "TimeZoneIanaName": item.time_zone if detail else None,
        "IsSubscriptionsAvailableForCurrentUser": False,
        "AvailableFeatures": _AVAILABLE_FEATURES[item.installation_type],
        "EnabledFeatures": 1 if item.messaging_enabled else 0,
        "ActiveChargerCount": len(item.chargers) if detail else None,
        "PropertyIsMinimumPowerOfflineMode": item.min_power_offline_mode,
    }
    return without_nulls(document)


def _web_hooks(item: WebHooks) -> Document:
    """Return the fields of web hooks in an InstallationModel; None for those that are empty."""
    return {
        "WebhooksAuthUrl": item.auth_url or None,
        "WebhooksAuthPayload": item.auth_payload or None,
        "WebhooksSessionStartUrl": item.start_url or None,
        "WebhooksSessionEndUrl": item.end_url or None,
    }


def hierarchy(item: Installation[Charger]) -> Document:
    """Return the tree of an installation."""
    return {
        "Id": item.id,
        "Name": item.name,
        "InstallationName": item.name,
        "NetworkType": int(item.network_type),
        "Circuits": [
            {
                "Id": circuit.id,
                "Name": circuit.name,
                "MaxCurrent": circuit.max_current,
                "IsActive": True,
                "Active": True,
                "InstallationId": item.id,
                "InstallationName": item.name,
                "Chargers": [
                    {
                        "Id": charger.id,
                        "DeviceId": charger.serial,
                        "MID": charger.serial,
                        "Name": charger.name,
                        "SerialNo": charger.name,
                        "Active": True,
                        "DeviceType": charger.device_type,
                    }
                    for charger in item.chargers
                    if charger.circuit is circuit
                ],
            }
            for circuit in item.circuits
        ],
    }


def charger_list_item(item: Charger, account: Account) -> Document:
    """Return a ChargerListModel."""
    return without_nulls(
        {
            "OperatingMode": int(item.value(StateId.OPERATION_MODE) or 0),
            "IsOnline": item.value(StateId.IS_ONLINE) == "1",
            "Warnings": int(item.value(StateId.WARNINGS) or 0) or None,
        }
    ) | _charger(item, account)


def charger(item: Charger, account: Account, *, has_past: bool) -> Document:
    """Return a charger's view model with its meter.

    Args:
        item: The charger.
        account: The account that reads it.
        has_past: Whether it has sessions before the simulation.
    """
    document = _charger(item, account)
    document |= {
        "HasSessions": has_past
        or any(session.charger_id == item.id for session in item.installation.archive),
        "SignedMeterValueKwh": round(item.reported_meter, 3),
        "SignedMeterValue": item.value(StateId.SIGNED_METER_VALUE),
    }
    return document


def _charger(item: Charger, account: Account) -> Document:
    role = account.role(item.installation.id)
    return without_nulls(
        {
            "Id": item.id,
            "MID": item.serial,
            "DeviceId": item.serial,
            "SerialNo": item.name,
            "Name": item.name,
            "CreatedOnDate": rest_time(item.created),
            "CircuitId": item.circuit.id,
            "Active": True,
            "CurrentUserRoles": int(role),
            "Pin": PIN if role & UserRole.OWNER else None,
            "DeviceType": item.device_type,
            "InstallationName": item.installation.name,
            "InstallationId": item.installation.id,
            "AuthenticationType": item.installation.authentication_type
            if account.manages(item.installation.id)
            else None,
            "IsAuthorizationRequired": item.installation.authentication_required,
        }
    )


def state(
    charger_id: str, observations: dict[int, StoredObservation]
) -> list[Document]:
    """Return a /state answer, sorted by StateId."""
    return [
        without_nulls(
            {
                "ChargerId": charger_id,
                "StateId": int(state_id),
                "Timestamp": rest_time(stored.timestamp),
                "ValueAsString": stored.value,
            }
        )
        for state_id, stored in sorted(observations.items())
    ]


def firmware(item: Charger, account: Account) -> Document:
    """Return an item of the firmware list; an account with only the role of a user gets less."""
    manages = account.manages(item.installation.id)
    current = item.value(StateId.COMPUTER_VERSION)
    return without_nulls(
        {
            "ChargerId": item.id,
            "DeviceId": item.serial,
            "IsOnline": item.value(StateId.IS_ONLINE) == "1" if manages else None,
            "CurrentVersion": current,
            "AvailableVersion": item.available_firmware,
            "DeviceType": item.device_type if manages else None,
            "IsUpToDate": current == item.available_firmware,
        }
    )


def charge_history_item(
    item: Session, account: Account, *, energy_details: bool
) -> Document:
    """Return a completed session in the older model."""
    assert item.ended
    assert item.recognized
    user = item.user if account.manages(item.installation_id) else None
    major, minor, build, revision = (
        int(part) for part in item.meter.firmware.split(".")
    )
    return without_nulls(
        {
            "Id": item.id,
            "DeviceId": item.meter.serial,
            "StartDateTime": rest_time(item.started),
            "EndDateTime": rest_time(item.ended),
            "Energy": round(item.energy, 3),
            "CommitMetadata": _commit_metadata(item),
            "CommitEndDateTime": rest_time(item.recognized),
            "UserUserName": user and user.user_name,
            "UserFullName": user and user.full_name,
            "UserEmail": user and user.user_name,
            "UserId": user and user.id,
            "ChargerId": item.charger_id,
            "DeviceName": item.charger_name,
            "ExternallyEnded": False,
            "EnergyDetails": [
                {"Timestamp": f"{rest_time(time)}+00:00", "Energy": round(energy, 3)}
                for time, energy in item.details
            ]
            if energy_details
            else None,
            "ChargerFirmwareVersion": {
                "Major": major,
                "Minor": minor,
                "Build": build,
                "Revision": revision,
                "MajorRevision": 0,
                "MinorRevision": revision,
            },
            "SignedSession": item.signed_session,
        }
    )


def archived_session(item: Session, now: datetime) -> Document:
    """Return a completed session in the newer, camelCase model, as the cloud has it now.

    Flags that are false are left out, as fields without a value are.
    """
    flags = {
        "offline": item.offline,
        "reliableClock": item.reliable_clock,
        "stoppedByRfid": item.stopped_by_card,
        "signed": item.meter.family is Family.PRO,
        "voided": item.is_void(now),
        "aborted": item.aborted,
        "externallyAbandoned": item.externally_abandoned,
    }
    is_replaced = item.replaced_at is not None and item.replaced_at <= now
    user = None if item.is_anonymous else item.user
    return without_nulls(
        {
            "id": item.id,
            "externalId": item.external_id,
            "replacedBySessionId": item.replaced_by if is_replaced else None,
            "tokenName": item.card.name
            if item.card and not item.is_anonymous
            else None,
            "chargerId": item.charger_id,
            "deviceId": item.meter.serial,
            "deviceName": item.charger_name,
            "chargerFirmwareVersion": item.meter.firmware,
            "startDateTime": session_time(item.started),
            "endDateTime": session_time(item.ended),
            "recognizedDateTime": session_time(item.recognized),
            **{key: True if flag else None for key, flag in flags.items()},
            "energy": round(item.energy, 3),
            "energyDetails": [
                {"timestamp": session_time(time), "energy": energy}
                for time, energy in item.energy_details()
            ]
            if item.has_energy_details
            else None,
            "authorizedUser": user
            and {
                "id": user.id,
                "email": user.user_name,
                "fullName": user.full_name,
            },
            "sessionSignature": item.signed_session,
        }
    )


def session(item: Session, energy: float) -> Document:
    """Return the model of GET session/{id}; a running one has no end and no signature."""
    return {
        "sessionId": item.id,
        "sessionStart": session_time(item.started),
        "sessionEnd": session_time(item.ended),
        "energy": round(energy, 3),
        "signedSession": item.signed_session if item.ended else None,
    }


def _commit_metadata(item: Session) -> int:
    """Return the SessionCommitMetadata.

    Source: GET /api/constants, SessionCommitMetadata.
    """
    flags = (
        (1, not item.offline),
        (2, item.offline),
        (4, item.reliable_clock),
        (8, item.stopped_by_card),
        (16, item.meter.family is Family.PRO),
        (32, item.voided),
        (64, item.aborted),
    )
    return sum(bit for bit, is_set in flags if is_set)
