"""The data of the Zaptec cloud as plain objects.

Parsing is tolerant: the cloud leaves out empty fields and those that the account's role
may not see. So each field except ids may be None, and a field of an unexpected type
counts as missing. Addresses, positions, contacts, and PINs are not kept.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, IntEnum, IntFlag
from typing import Any, Self

from .ocmf import MeterReading, read_readings, read_session
from .parsing import (
    clean,
    log_once,
    parse_bool,
    parse_enum,
    parse_float,
    parse_id,
    parse_int,
    parse_moment,
    parse_object,
    parse_stamp,
    parse_text,
    parse_timestamp,
    parse_uuid,
    parse_words,
)

__all__ = [
    "Account",
    "AuthenticationType",
    "AvailableCurrentMode",
    "Charger",
    "ChargerFirmware",
    "Circuit",
    "Command",
    "CommitMetadata",
    "CompletedSession",
    "ConnectionDetails",
    "DeviceType",
    "EnergyDetail",
    "Family",
    "Hierarchy",
    "Installation",
    "InstallationType",
    "MeterReading",
    "NetworkType",
    "Observation",
    "OperationMode",
    "ReportGroup",
    "Session",
    "UserRole",
    "parse_timestamp",
]

AMQPS_PORT = 5671

# Maximum number of energy details of a session: one per minute for two weeks. The bound
# protects memory from a cloud that sends more; such a session is skipped.
_DETAILS_MAX = 20_160

# The first three characters of a serial number (Identify device types).
_MODELS = {
    **dict.fromkeys(("ZCS", "ZPR", "ZCH", "ZPG"), "Zaptec Pro"),
    **dict.fromkeys(("ZAP", "ZGB", "ZAG"), "Zaptec Go"),
    **dict.fromkeys(("GPN", "GPG"), "Zaptec Go2"),
    **dict.fromkeys(("APH", "APG", "APM"), "Zaptec Sense"),
}


class Family(Enum):
    """The families of devices, whose observations have different meanings."""

    PRO = "pro"
    """Pro and Home; their schema in the vendor's constants is Smart."""
    GO = "go"
    """Go and Go 2; their schema in the vendor's constants is Apollo."""
    OTHER = "other"
    """Devices that are not chargers, such as Sense."""


class DeviceType(IntEnum):
    """Source: GET /api/constants, DeviceTypes."""

    UNKNOWN = 0
    SMART = 1
    PORTABLE = 2
    HOME_APM = 3
    APOLLO = 4
    OTHER_APM = 5
    GENERIC_APM = 6
    HAN_APM = 7
    TIC_APM = 8


class OperationMode(IntEnum):
    """What a charger is doing (StateId 710).

    Source: GET /api/constants, ChargerOperationModes.
    """

    UNKNOWN = 0
    DISCONNECTED = 1
    CONNECTED_REQUESTING = 2
    CONNECTED_CHARGING = 3
    CONNECTED_FINISHED = 5


class NetworkType(IntEnum):
    """The electrical grid. Source: GET /api/constants, NetworkTypes."""

    UNKNOWN = 0
    IT_1_PHASE = 1
    IT_3_PHASE = 2
    TN_1_PHASE = 3
    TN_3_PHASE = 4


class InstallationType(IntEnum):
    """Source: GET /api/constants, InstallationTypes."""

    PRO = 0
    SMART = 1


class AuthenticationType(IntEnum):
    """The system that authorizes charging.

    Source: GET /api/constants, InstallationAuthenticationType.
    """

    NATIVE = 0
    WEBHOOKS = 1
    OCPP = 2
    OCPPNATIVE = 3


class AvailableCurrentMode(IntEnum):
    """The system that sets the available current of an installation."""

    MANUAL = 0
    SCHEDULE = 1
    AUTOMATIC = 2


class UserRole(IntFlag):
    """The roles of an account. Source: GET /api/constants, UserRoles."""

    NONE = 0
    USER = 1
    OWNER = 2
    MAINTAINER = 4
    ADMINISTRATOR = 8
    ONBOARDING = 16
    DEVICE_ADMINISTRATOR = 32
    PARTNER_ADMINISTRATOR = 64
    TECHNICAL = 128
    INTERNAL_DATA = 256


class CommitMetadata(IntFlag):
    """The circumstances under which a session was completed.

    Source: GET /api/constants, SessionCommitMetadata.
    """

    NONE = 0
    ONLINE = 1
    OFFLINE = 2
    RELIABLE_CLOCK = 4
    STOPPED_BY_RFID = 8
    SIGNED = 16
    VOID = 32
    ABORTED = 64
    OCPP_NATIVE = 128


class Command(IntEnum):
    """The documented commands of POST /api/chargers/{id}/sendCommand/{command}."""

    RESTART_CHARGER = 102
    UPGRADE_FIRMWARE = 200
    STOP_CHARGING_FINAL = 506
    RESUME_CHARGING = 507
    DEAUTHORIZE_AND_STOP = 10001


class ReportGroup(IntEnum):
    """The subject by which an installation report sums up sessions."""

    USER = 0
    CHARGER = 1
    CARD = 2


def _flags(value: object) -> int:
    """Return the bits of a set of flags, including unknown ones."""
    return max(parse_int(value) or 0, 0)


def _items(value: object) -> list[Any]:
    """Return a list; anything else gives an empty one."""
    return value if isinstance(value, list) else []


def parse_items[ModelT](
    parse: Callable[[object], ModelT], items: list[Any]
) -> list[ModelT]:
    """Return the models of the items that can be parsed."""
    models = []
    for item in items:
        try:
            models.append(parse(item))
        except ValueError as err:
            log_once(f"Skipping an item of the cloud's response: {err}")
    return models


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A place with chargers behind one main fuse. Currents are in amperes."""

    id: str
    name: str | None = None
    active: bool | None = None
    available_current: float | None = None
    available_current_phase1: float | None = None
    available_current_phase2: float | None = None
    available_current_phase3: float | None = None
    available_current_mode: AvailableCurrentMode | None = None
    max_current: float | None = None
    three_to_one_phase_switch_current: float | None = None
    default_three_to_one_switch_current: float | None = None
    """The switch current that the cloud proposes."""
    network_type: NetworkType | None = None
    installation_type: InstallationType | None = None
    authentication_type: AuthenticationType | None = None
    web_hook_start_url: str | None = field(default=None, repr=False)
    """The web hook that is called before a car may charge. It is a secret, and so is the next
    one: who knows it can call it."""
    web_hook_end_url: str | None = field(default=None, repr=False)
    """The web hook that is called when a session has ended."""
    current_user_roles: UserRole = UserRole.NONE
    is_required_authentication: bool | None = None
    messaging_enabled: bool | None = None
    updated_on: datetime | None = None
    time_zone: str | None = None

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse an installation.

        Raises:
            ValueError: The installation has no id.

        """
        data = parse_object(data)
        return cls(
            id=parse_id(data, "Id"),
            name=parse_words(data.get("Name")),
            active=parse_bool(data.get("Active")),
            available_current=parse_float(data.get("AvailableCurrent")),
            available_current_phase1=parse_float(data.get("AvailableCurrentPhase1")),
            available_current_phase2=parse_float(data.get("AvailableCurrentPhase2")),
            available_current_phase3=parse_float(data.get("AvailableCurrentPhase3")),
            available_current_mode=parse_enum(
                AvailableCurrentMode, data.get("AvailableCurrentMode")
            ),
            max_current=parse_float(data.get("MaxCurrent")),
            three_to_one_phase_switch_current=parse_float(
                data.get("ThreeToOnePhaseSwitchCurrent")
            ),
            default_three_to_one_switch_current=parse_float(
                data.get("DefaultThreeToOneSwitchCurrent")
            ),
            network_type=parse_enum(NetworkType, data.get("NetworkType")),
            installation_type=parse_enum(
                InstallationType, data.get("InstallationType")
            ),
            authentication_type=parse_enum(
                AuthenticationType, data.get("AuthenticationType")
            ),
            web_hook_start_url=parse_text(data.get("WebhooksSessionStartUrl")),
            web_hook_end_url=parse_text(data.get("WebhooksSessionEndUrl")),
            current_user_roles=UserRole(_flags(data.get("CurrentUserRoles"))),
            is_required_authentication=parse_bool(data.get("IsRequiredAuthentication")),
            messaging_enabled=parse_bool(data.get("MessagingEnabled")),
            updated_on=parse_moment(data.get("UpdatedOn")),
            time_zone=parse_words(data.get("TimeZoneIanaName")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charger:
    """A charger, or another device of an installation."""

    id: str
    device_id: str | None = None
    """The serial number."""
    name: str | None = None
    device_type: int | None = None
    installation_id: str | None = None
    installation_name: str | None = None
    circuit_id: str | None = None
    active: bool | None = None
    is_online: bool | None = None
    operating_mode: OperationMode | None = None
    current_user_roles: UserRole = UserRole.NONE
    signed_meter_value_kwh: float | None = None
    authentication_type: AuthenticationType | None = None
    is_authorization_required: bool | None = None
    warnings: int | None = None
    """Bits, up to 64; see `warning_names`."""

    @property
    def family(self) -> Family:
        """Return the family, on which the meaning of observations depends."""
        match self.device_type:
            case DeviceType.SMART:
                return Family.PRO
            case DeviceType.APOLLO:
                return Family.GO
        return Family.OTHER

    @property
    def model(self) -> str:
        """Return the model, which follows from the start of the serial number."""
        return _MODELS.get((self.device_id or "")[:3].upper(), "Zaptec Charger")

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse a charger of the list, of the hierarchy, or of its own endpoint.

        Raises:
            ValueError: The charger has no id.

        """
        data = parse_object(data)
        return cls(
            id=parse_id(data, "Id"),
            device_id=parse_words(data.get("DeviceId")),
            name=parse_words(data.get("Name")),
            device_type=parse_int(data.get("DeviceType")),
            installation_id=parse_uuid(data.get("InstallationId")),
            installation_name=parse_words(data.get("InstallationName")),
            circuit_id=parse_uuid(data.get("CircuitId")),
            active=parse_bool(data.get("Active")),
            is_online=parse_bool(data.get("IsOnline")),
            operating_mode=parse_enum(OperationMode, data.get("OperatingMode")),
            current_user_roles=UserRole(_flags(data.get("CurrentUserRoles"))),
            signed_meter_value_kwh=parse_float(data.get("SignedMeterValueKwh")),
            authentication_type=parse_enum(
                AuthenticationType, data.get("AuthenticationType")
            ),
            is_authorization_required=parse_bool(data.get("IsAuthorizationRequired")),
            warnings=parse_int(data.get("Warnings")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A fuse of an installation, with the chargers behind it."""

    id: str
    name: str | None = None
    max_current: float | None = None
    """Amperes."""
    active: bool | None = None
    chargers: tuple[Charger, ...] = ()

    @classmethod
    def from_json(cls, data: object, installation_id: str | None = None) -> Self:
        """Parse a circuit.

        Raises:
            ValueError: The circuit has no id.

        """
        data = parse_object(data)
        circuit_id = parse_id(data, "Id")
        chargers = parse_items(Charger.from_json, _items(data.get("Chargers")))
        active = parse_bool(data.get("IsActive"))
        return cls(
            id=circuit_id,
            name=parse_words(data.get("Name")),
            max_current=parse_float(data.get("MaxCurrent")),
            active=parse_bool(data.get("Active")) if active is None else active,
            chargers=tuple(
                replace(charger, circuit_id=circuit_id, installation_id=installation_id)
                for charger in chargers
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """The circuits of an installation."""

    id: str
    name: str | None = None
    network_type: NetworkType | None = None
    circuits: tuple[Circuit, ...] = ()

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse a hierarchy.

        Raises:
            ValueError: The installation has no id.

        """
        data = parse_object(data)
        installation_id = parse_id(data, "Id")
        circuits = parse_items(
            lambda item: Circuit.from_json(item, installation_id),
            _items(data.get("Circuits")),
        )
        return cls(
            id=installation_id,
            name=parse_words(data.get("Name")),
            network_type=parse_enum(NetworkType, data.get("NetworkType")),
            circuits=tuple(circuits),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargerFirmware:
    """The installed and the available firmware of a charger.

    The versions are missing if the charger has never been online.
    """

    charger_id: str
    current_version: str | None = None
    available_version: str | None = None
    is_up_to_date: bool | None = None
    is_online: bool | None = None

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse the firmware of a charger.

        Raises:
            ValueError: The charger id is missing.

        """
        data = parse_object(data)
        return cls(
            charger_id=parse_id(data, "ChargerId"),
            current_version=parse_words(data.get("CurrentVersion")),
            available_version=parse_words(data.get("AvailableVersion")),
            is_up_to_date=parse_bool(data.get("IsUpToDate")),
            is_online=parse_bool(data.get("IsOnline")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDetails:
    """The address of an installation's message subscription, and its key.

    The details can change at any time, so they are fetched before each connection
    (Integrating with Zaptec charging systems, Credentials).
    """

    host: str
    port: int
    use_ssl: bool
    user_name: str
    """The name of the shared access key."""
    password: str = field(repr=False)
    """The shared access key."""
    topic: str
    subscription: str

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse connection details.

        Raises:
            ValueError: A required field is missing.

        """
        data = parse_object(data)
        texts: dict[str, str] = {}
        for key in ("Host", "Username", "Password", "Topic", "Subscription"):
            if (text := parse_text(data.get(key))) is None:
                raise ValueError(f"{key} is missing")
            texts[key] = text
        use_ssl = parse_bool(data.get("UseSSL"))
        return cls(
            host=texts["Host"],
            port=parse_int(data.get("Port")) or AMQPS_PORT,
            use_ssl=True if use_ssl is None else use_ssl,
            user_name=texts["Username"],
            password=texts["Password"],
            topic=texts["Topic"],
            subscription=texts["Subscription"],
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """A value of a charger, and the time since when it has applied.

    The value is the vendor's text; `parse_value` returns it in its type and unit. None
    means that there is no value any more, which is how the values of a session end.
    """

    charger_id: str
    state_id: int
    timestamp: datetime
    value: str | None = field(default=None, repr=False)
    """May contain a charging card, so it is left out of the representation."""
    parsed: Mapping[Any, Any] | None = field(default=None, repr=False, compare=False)
    """The parsed value of a large text, by each kind that the StateId may have."""

    @classmethod
    def from_json(cls, data: object, charger_id: str | None = None) -> Self:
        """Parse an observation of a state or of a message.

        Args:
            data: The JSON document.
            charger_id: The charger, if the observation does not contain its id.

        Raises:
            ValueError: Charger, StateId, or timestamp is missing.

        """
        data = parse_object(data)
        if charger_id is None or "ChargerId" in data:
            charger_id = parse_id(data, "ChargerId")
        if (state_id := parse_int(data.get("StateId"))) is None:
            raise ValueError("StateId is missing")
        if (timestamp := parse_stamp(data.get("Timestamp"))) is None:
            raise ValueError(f"StateId {state_id} has no timestamp")
        value = data.get("ValueAsString")
        if value is None:
            value = data.get("Value")
        if isinstance(value, bool):
            value = int(value)
        if value is not None and not isinstance(value, (str, int, float)):
            raise ValueError(f"StateId {state_id} has no text as its value")
        return cls(
            charger_id,
            state_id,
            timestamp,
            None if value is None else clean(str(value)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedSession:
    """The latest completed charge session (StateId 723)."""

    session_id: str | None = None
    energy: float | None = None
    """kWh."""
    start: datetime | None = None
    end: datetime | None = None
    reliable_clock: bool | None = None
    stopped_by_rfid: bool | None = None
    authentication_code: str | None = field(default=None, repr=False)
    """The card or account that authorized the session."""
    meter_value: float | None = None
    """The lifetime meter at the end of the session (kWh)."""
    readings: tuple[MeterReading, ...] = field(default=(), repr=False)
    """The lifetime meter during the session, if the charger has recorded it."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse a completed session.

        Raises:
            ValueError: The data is not a JSON object.

        """
        data = parse_object(data)
        signed = parse_text(data.get("SignedSession"))
        meter_value, readings = read_session(signed) if signed else (None, ())
        return cls(
            session_id=parse_uuid(data.get("SessionId")),
            energy=parse_float(data.get("Energy")),
            start=parse_moment(data.get("StartDateTime")),
            end=parse_moment(data.get("EndDateTime")),
            reliable_clock=parse_bool(data.get("ReliableClock")),
            stopped_by_rfid=parse_bool(data.get("StoppedByRFID")),
            authentication_code=parse_text(data.get("AuthenticationCode")),
            meter_value=meter_value,
            readings=readings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyDetail:
    """The energy of a session since the previous moment (kWh)."""

    timestamp: datetime
    energy: float

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse an energy detail.

        Raises:
            ValueError: Moment or energy is missing.

        """
        data = _lower_keys(data)
        timestamp = parse_moment(data.get("timestamp"))
        energy = parse_float(data.get("energy"))
        if timestamp is None or energy is None:
            raise ValueError("Moment or energy is missing")
        return cls(timestamp=timestamp, energy=energy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A charge session, from the history or the archive.

    The name of the user and the name of the card belong to other persons than the owner
    of the account, so they are left out of the representation. Mail addresses are not
    kept.
    """

    id: str
    external_id: str | None = None
    """The id in the system that authorizes, such as OCPP or a web hook."""
    charger_id: str | None = None
    firmware: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    """None while the session runs."""
    recognized: datetime | None = None
    """The time at which the cloud received the completed session."""
    energy: float | None = None
    """kWh."""
    energy_details: tuple[EnergyDetail, ...] = ()
    """In the order of time; the first one is at the start, and 0."""
    has_too_many_details: bool = False
    """Whether there were more energy details than a charger can report; they are dropped."""
    metadata: CommitMetadata = CommitMetadata.NONE
    externally_abandoned: bool = False
    replaced_by: str | None = None
    user_id: str | None = field(default=None, repr=False)
    user_name: str | None = field(default=None, repr=False)
    token_name: str | None = field(default=None, repr=False)
    """The name of the card, which is not its code."""
    signed_session: str | None = field(default=None, repr=False)
    """OCMF, with the serial number and the identity of the user who charged."""

    @property
    def counts(self) -> bool:
        """Return whether the energy was drawn in this session.

        A voided or aborted session has no meaningful energy, and that of a replaced one
        is in the session that replaces it.
        """
        return self.replaced_by is None and not self.metadata & (
            CommitMetadata.VOID | CommitMetadata.ABORTED
        )

    @property
    def readings(self) -> tuple[MeterReading, ...]:
        """Return the lifetime meter during the session, if it was recorded."""
        return read_readings(self.signed_session) if self.signed_session else ()

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Parse a session.

        The history has keys in Pascal case, and the newer endpoints in camel case. The
        endpoint of a single session puts "session" in front of some names. A flag that
        is left out is not set.

        Raises:
            ValueError: The session has no id.

        """
        data = _lower_keys(data)
        if (session_id := parse_uuid(data.get("id") or data.get("sessionid"))) is None:
            raise ValueError("id is not a UUID")
        user = data.get("authorizeduser")
        user = _lower_keys(user) if isinstance(user, dict) else {}
        details = _energy_details(data.get("energydetails"))
        return cls(
            id=session_id,
            external_id=parse_words(data.get("externalid")),
            charger_id=parse_uuid(data.get("chargerid")),
            firmware=parse_words(data.get("chargerfirmwareversion")),
            start=parse_moment(data.get("startdatetime") or data.get("sessionstart")),
            end=parse_moment(data.get("enddatetime") or data.get("sessionend")),
            recognized=parse_moment(
                data.get("recognizeddatetime") or data.get("commitenddatetime")
            ),
            energy=parse_float(data.get("energy")),
            energy_details=details or (),
            has_too_many_details=details is None,
            metadata=_metadata(data),
            externally_abandoned=bool(parse_bool(data.get("externallyabandoned"))),
            replaced_by=parse_uuid(data.get("replacedbysessionid")),
            user_id=parse_words(user.get("id") or data.get("userid")),
            user_name=parse_words(user.get("fullname") or data.get("userfullname")),
            token_name=parse_words(data.get("tokenname")),
            signed_session=parse_text(
                data.get("signedsession") or data.get("sessionsignature")
            ),
        )


def _energy_details(value: object) -> tuple[EnergyDetail, ...] | None:
    """Return the energy details of a session in the order of time, None if too many."""
    items = _items(value)
    if len(items) > _DETAILS_MAX:
        return None
    details = parse_items(EnergyDetail.from_json, items)
    return tuple(sorted(details, key=lambda detail: detail.timestamp))


def _metadata(data: Mapping[str, Any]) -> CommitMetadata:
    """Return the flags of a session, which has one number or a field for each flag."""
    metadata = CommitMetadata(_flags(data.get("commitmetadata")))
    for key, flag in (
        ("offline", CommitMetadata.OFFLINE),
        ("reliableclock", CommitMetadata.RELIABLE_CLOCK),
        ("stoppedbyrfid", CommitMetadata.STOPPED_BY_RFID),
        ("signed", CommitMetadata.SIGNED),
        ("voided", CommitMetadata.VOID),
        ("aborted", CommitMetadata.ABORTED),
        ("ocppnative", CommitMetadata.OCPP_NATIVE),
    ):
        if parse_bool(data.get(key)):
            metadata |= flag
    return metadata


def _lower_keys(data: object) -> Mapping[str, Any]:
    """Return a JSON object with its keys in lower case."""
    return {str(key).lower(): value for key, value in parse_object(data).items()}


@dataclass(frozen=True, slots=True)
class Account:
    """The installations and chargers that an account may see, by id."""

    installations: dict[str, Installation] = field(default_factory=dict)
    chargers: dict[str, Charger] = field(default_factory=dict)

    @property
    def device_ids(self) -> set[str]:
        """Return the ids of all installations and chargers that are visible."""
        return {*self.installations, *self.chargers}

    @property
    def installation_ids(self) -> set[str]:
        """Return the ids of all installations, including those that are not visible.

        An account with a role for a charger alone only sees its installation's id.
        """
        return set(self.installations) | {
            charger.installation_id
            for charger in self.chargers.values()
            if charger.installation_id
        }

    @property
    def circuit_ids(self) -> set[str]:
        """Return the ids of the circuits, which have no list of their own."""
        return {
            charger.circuit_id
            for charger in self.chargers.values()
            if charger.circuit_id
        }

    def only(self, charger_ids: Iterable[str]) -> Account:
        """Return these chargers and their installations."""
        chargers = {
            charger_id: self.chargers[charger_id]
            for charger_id in charger_ids
            if charger_id in self.chargers
        }
        homes = {charger.installation_id for charger in chargers.values()}
        return Account(
            {key: item for key, item in self.installations.items() if key in homes},
            chargers,
        )

    def subset(self, device_ids: Collection[str]) -> Account:
        """Return these of the installations and chargers."""
        return Account(
            {
                key: item
                for key, item in self.installations.items()
                if key in device_ids
            },
            {key: item for key, item in self.chargers.items() if key in device_ids},
        )

    def __or__(self, other: Account) -> Account:
        """Return the union with another account, whose items take precedence."""
        return Account(
            self.installations | other.installations, self.chargers | other.chargers
        )
