"""GET /api/constants: the vendor's top-level shape, filled with what the simulator knows."""

from collections.abc import Mapping

from .accounts import UserRole
from .installation import NetworkType
from .observations import DEFINITIONS, Family, Mode

COMMANDS = {
    "RestartCharger": 102,
    "UpgradeFirmware": 200,
    "StopChargingFinal": 506,
    "ResumeCharging": 507,
    "DeauthorizeAndStop": 10001,
}
_ERROR_CODES = {
    "Unknown": 500,
    "MissingRequiredData": 503,
    "UnknownObject": 512,
    "UnknownCommand": 519,
    "ErrorCommunicatingWithDevice": 520,
    "FeatureNotEnabled": 526,
    "NotSupported": 527,
    "DeviceCommandRejected": 528,
    "InvalidFormat": 529,
    "Forbidden": 533,
}
_SETTINGS = {
    "CurrentInMaximum": 510,
    "CurrentInMinimum": 511,
    "MaxPhases": 520,
    "DefaultOfflinePhase": 522,
    "DefaultOfflineCurrent": 523,
    "SignedMeterValueInterval": 555,
}
_SMART_WARNINGS = {
    "WARNING_OK": 0,
    "WARNING_HUMIDITY": 1,
    "WARNING_TEMPERATURE": 2,
    "WARNING_CHARGE_OVERCURRENT": 32,
    "WARNING_DISABLED": 2048,
    "WARNING_VARISCITE_ILLEGAL_PHASE": 17179869184,
}
_APOLLO_WARNINGS = {
    "None": 0,
    "HUMIDITY": 1,
    "TEMPERATURE": 2,
    "CHARGE_OVERCURRENT": 32,
    "DISABLED": 2048,
    "MOTOR": 18014398509481984,
}


def _observation_ids(family: Family) -> dict[str, int]:
    return {"Unknown": 0} | {
        name: int(state_id)
        for state_id, row in DEFINITIONS.items()
        if (name := row.name(family))
    }


def _schema(
    family: Family, observations: dict[str, int], warnings: dict[str, int]
) -> dict[str, object]:
    return {
        "DeviceType": family.value,
        "ObservationIds": observations,
        "CommandIds": COMMANDS,
        "SettingIds": _SETTINGS,
        "Warnings": warnings,
    }


_PRO_OBSERVATIONS = _observation_ids(Family.PRO)
_GO_OBSERVATIONS = _observation_ids(Family.GO)

CONSTANTS: Mapping[str, object] = {
    "Languages": [{"Key": "en", "Name": "English"}],
    "Countries": {
        "83bffdb1-0a92-4574-bb7b-bd0d17387c17": {
            "Id": "83bffdb1-0a92-4574-bb7b-bd0d17387c17",
            "Code": "NOR",
            "Name": "Norway",
            "TimeZoneName": "(UTC+01:00) Central European Time (Berlin)",
        }
    },
    "InstallationCategories": [
        {
            "Id": "d72d6374-7f73-4df5-8056-60635b177421",
            "Category": "Private_Installation_Category",
        }
    ],
    "InstallationTypes": {
        "Pro": {"Id": 0, "Name": "Pro", "DefaultFeatures": 183},
        "Smart": {"Id": 1, "Name": "Smart", "MaxChargers": 3},
    },
    "UserRoles": {
        (role.name or "").capitalize(): role.value
        for role in (
            UserRole.NONE,
            UserRole.USER,
            UserRole.OWNER,
            UserRole.MAINTAINER,
        )
    },
    "NetworkTypes": {"Unknown": 0}
    | {f"{item.name[:2]}_{item.phases}_Phase": item.value for item in NetworkType},
    "ChargerOperationModes": {
        "Unknown": Mode.UNKNOWN,
        "Disconnected": Mode.DISCONNECTED,
        "Connected_Requesting": Mode.REQUESTING,
        "Connected_Charging": Mode.CHARGING,
        "Connected_Finished": Mode.FINISHED,
    },
    "Phases": {"None": 0, "Phase_1": 1, "Phase_2": 2, "Phase_3": 4, "All": 7},
    "WildcardGuid": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "RegionalInfo": {},
    "MessageCodes": {"Success": 0, "Error": 1},
    "ErrorCodes": _ERROR_CODES,
    "Settings": _SETTINGS,
    "Commands": COMMANDS,
    "Observations": _PRO_OBSERVATIONS,
    "Schema": {
        "Smart": _schema(Family.PRO, _PRO_OBSERVATIONS, _SMART_WARNINGS),
        "Apollo": _schema(Family.GO, _GO_OBSERVATIONS, _APOLLO_WARNINGS),
    },
    "ObjectTypes": {"Unknown": 0, "Installation": 1, "Circuit": 2, "Charger": 3},
    "Version": "6.5.8",
    "SmartWarnings": _SMART_WARNINGS,
    "VarisciteWarnings": {},
    "PhaseIdMap": [
        {"Id": identifier, "Phases": phases, "NetworkFamily": network}
        for network, ids in (
            ("TN", {1: 1, 2: 2, 3: 4, 4: 7}),
            ("IT", {5: 4, 6: 2, 8: 1, 9: 7}),
        )
        for identifier, phases in ids.items()
    ],
    "DeviceLogTypes": {},
    "Features": {"None": 0, "Api_MessageSubscription": 1},
    "InstallationTypeConstraints": {"Valid": 0},
    "SessionCommitMetadata": {
        "None": 0,
        "Online": 1,
        "Offline": 2,
        "ReliableClock": 4,
        "Signed": 16,
    },
    "InstallationUpdateStatusCodes": {"Ok": 0},
    "EntityTypes": {"Unknown": 0, "Installation": 1, "Charger": 2},
    "DeviceTypes": {"Unknown": 0, "Smart": 1, "Apollo": 4},
    "InstallationAuthenticationType": {
        "Native": 0,
        "WebHooks": 1,
        "Ocpp": 2,
        "OcppNative": 3,
    },
    "EnergyPrices": {},
    "UserActionTypes": {"None": 0},
    "OcppCloudUrlVersions": {"Legacy": 0, "Ocpp16Compliant": 1},
}
