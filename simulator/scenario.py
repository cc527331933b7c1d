"""The content of the simulated cloud: accounts, installations and chargers.

A scenario file is JSON or TOML with the fields of the classes here:

    seed = "a street"

    [[installations]]
    name = "Home"
    max_current = 25
    network_type = "TN_3_PHASE"
    [[installations.chargers]]
    serial = "ZAP000101"
    name = "Carport"

    [[accounts]]
    user_name = "demo@example.com"
    password = "demo"
    roles = { "Home" = ["USER", "OWNER"] }

    [[user_groups]]
    name = "Association"
    owners = ["demo@example.com"]
    installations = ["Home"]

Chargers with a past have completed sessions from before the simulation:

    [installations.past]
    days = 730
    sessions_per_week = 4
    [[installations.drivers]]
    full_name = "Ada Driver"
    email = "ada@example.com"
    cards = [{ name = "Key ring", code = "04A1B2C3" }]

Web hooks may authorize, with the fields of the portal:

    [installations.web_hooks]
    start_url = "https://example.com/start"
    end_url = "https://example.com/end"
    auth_payload = "username=zaptec&password=secret"
"""

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
import json
from pathlib import Path
import tomllib
from typing import Any, Self
import uuid

from .accounts import Card, UserRole
from .authorization import WebHooks
from .installation import NetworkType
from .observations import Family

DEMO_USER = "demo@example.com"
DEMO_PASSWORD = "demo"
RESIDENT_USER = "resident@example.com"
RESIDENT_PASSWORD = "resident"
OWNER = UserRole.USER | UserRole.OWNER
_GO_2_PREFIXES = ("GPN", "GPG")
_GO_PREFIXES = ("ZAP", "ZGB", "ZAG", *_GO_2_PREFIXES)
_PRO_PREFIXES = ("ZCS", "ZPR", "ZCH", "ZPG")
_CHARGERS_PER_INSTALLATION = 25
# The drivers of the cooperative, with a card; the last one uses the app only.
_DRIVERS = (
    ("Ingrid Example", "Blue key ring", "04A1B2C3D4E5F6"),
    ("Marius Example", "Company card", "04B7C8D9E0F112"),
    ("Sofie Example", "Card", "049922AA7C2D90"),
    ("Ola Resident", "", ""),
)


class ScenarioError(Exception):
    """The scenario is invalid; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargerScenario:
    """A charger, of the family that its serial begins with. Energies in kWh, currents in A.

    `past_reading` is its meter at the end of the past, `lifetime_energy` by default.
    """

    serial: str
    name: str
    id: str | None = None
    circuit: int = 0
    firmware: str | None = None
    available_firmware: str | None = None
    lifetime_energy: float = 1234.5
    past_reading: float | None = None
    communication: str = "LTE"
    stand_alone: bool = False

    @property
    def family(self) -> Family:
        """Pro or Go.

        Raises:
            ScenarioError: The serial begins like none of a Pro or Go.
        """
        if self.serial.startswith(_GO_PREFIXES):
            return Family.GO
        if self.serial.startswith(_PRO_PREFIXES):
            return Family.PRO
        raise ScenarioError(
            f"{self.serial}: a serial starts with one of "
            f"{', '.join(_GO_PREFIXES + _PRO_PREFIXES)}"
        )

    @property
    def switches_phases(self) -> bool:
        """Whether it switches between one and three phases: a Pro or a Go 2 does."""
        return self.serial.startswith((*_PRO_PREFIXES, *_GO_2_PREFIXES))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverScenario:
    """A user who charges; `email` is what the owner of the installation sees."""

    full_name: str
    email: str
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastScenario:
    """What the chargers of an installation have charged before the simulation.

    Attributes:
        days: How long the past is.
        end: When it ends; the start of the simulation by default.
        sessions_per_week: How many sessions a charger has on average.
        irregular: Share of the sessions that were offline, replaced by a corrected one, voided,
            aborted, abandoned, or stopped with a card.
        anonymous: Share of the sessions without a user.
        unreliable_clock: Share of the sessions whose times are up to 40 hours wrong.
        is_reported: Whether the chargers have reported their last session (StateId 723).
    """

    days: float
    end: datetime | None = None
    sessions_per_week: float = 4.0
    irregular: float = 0.06
    anonymous: float = 0.1
    unreliable_clock: float = 0.0
    is_reported: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a past that cannot be."""
        if self.days < 0 or not 0 <= self.sessions_per_week <= 168:
            raise ValueError("A past has 0 to 168 sessions a week, on some days")
        shares = (self.irregular, self.anonymous, self.unreliable_clock)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("A share of a past is between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationScenario:
    """An installation. `circuits` are the fuses in A; the default is one of `max_current`.

    With `web_hooks`, the authentication is set to web hooks; without a start URL in it, the cloud
    authorizes all the same.
    """

    name: str
    chargers: tuple[ChargerScenario, ...] = ()
    id: str | None = None
    max_current: float = 32.0
    network_type: NetworkType = NetworkType.TN_3_PHASE
    installation_type: int = 0
    circuits: tuple[float, ...] = ()
    authentication_required: bool = False
    messaging_enabled: bool = True
    available_current: float | None = None
    three_to_one_phase_switch_current: float | None = None
    drivers: tuple[DriverScenario, ...] = ()
    past: PastScenario | None = None
    web_hooks: WebHooks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountScenario:
    """An account and its roles, by the name of the installation."""

    user_name: str
    password: str = field(repr=False)
    full_name: str = "Demo"
    roles: dict[str, UserRole] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserGroupScenario:
    """A user group: the user names of its owners, and the names of its installations.

    None are all installations.
    """

    name: str
    owners: tuple[str, ...] = ()
    installations: tuple[str, ...] | None = None
    id: str | None = None
    messaging_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole cloud. With the same seed it has the same ids and behaves the same.

    `refresh_tokens` is whether each token comes with a refresh token; the vendor's cloud gives none
    for the scope `openid`.
    """

    accounts: tuple[AccountScenario, ...]
    installations: tuple[InstallationScenario, ...]
    user_groups: tuple[UserGroupScenario, ...] = ()
    seed: str = "zaptec"
    refresh_tokens: bool = False

    def identifier(self, *parts: str) -> str:
        """Return the UUID of an object of this scenario."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, "/".join((self.seed, *parts))))

    def with_past(self, past: PastScenario) -> Self:
        """Return the scenario with a past of all its chargers, up to their present meters.

        Where web hooks authorize, the past sessions are anonymous.
        """
        anonymous = replace(past, anonymous=1.0)
        return replace(
            self,
            installations=tuple(
                replace(
                    item,
                    past=past if item.web_hooks is None else anonymous,
                    chargers=tuple(
                        replace(charger, past_reading=charger.lifetime_energy)
                        for charger in item.chargers
                    ),
                )
                for item in self.installations
            ),
        )

    @classmethod
    def default(cls) -> Self:
        """Return a home with one Go, and a housing cooperative with six Pro."""
        home = InstallationScenario(
            name="Home",
            max_current=25,
            installation_type=1,
            available_current=25,
            chargers=(
                ChargerScenario(
                    serial="ZAP000101",
                    name="Carport",
                    firmware="2.4.2.3",
                    communication="Wifi",
                ),
            ),
        )
        cooperative = InstallationScenario(
            name="Parkveien housing cooperative",
            max_current=80,
            available_current=63,
            circuits=(63, 63),
            three_to_one_phase_switch_current=0,
            chargers=tuple(
                ChargerScenario(
                    serial=f"ZPR0002{number:02d}",
                    name=f"Space {number}",
                    circuit=(number - 1) // 3,
                    lifetime_energy=1000.0 + 321.7 * number,
                )
                for number in range(1, 7)
            ),
            drivers=tuple(
                DriverScenario(
                    full_name=name,
                    email=f"{name.split()[0].lower()}@example.com",
                    cards=(Card(card, code),) if code else (),
                )
                for name, card, code in _DRIVERS
            ),
        )
        return cls(
            installations=(home, cooperative),
            accounts=(
                AccountScenario(
                    user_name=DEMO_USER,
                    password=DEMO_PASSWORD,
                    full_name="Kari Demo",
                    roles={home.name: OWNER, cooperative.name: OWNER},
                ),
                AccountScenario(
                    user_name=RESIDENT_USER,
                    password=RESIDENT_PASSWORD,
                    full_name="Ola Resident",
                    roles={cooperative.name: UserRole.USER},
                ),
            ),
            user_groups=(UserGroupScenario(name="Demo group", owners=(DEMO_USER,)),),
        )

    @classmethod
    def of(cls, chargers: int) -> Self:
        """Return a number of chargers, up to 25 in an installation; every third one has Go, not Pro.

        Raises:
            ScenarioError: The number is less than one.
        """
        if chargers < 1:
            raise ScenarioError("There must be at least one charger")
        installations = []
        for first in range(0, chargers, _CHARGERS_PER_INSTALLATION):
            number = first // _CHARGERS_PER_INSTALLATION + 1
            count = min(_CHARGERS_PER_INSTALLATION, chargers - first)
            prefix = "ZAP" if number % 3 == 1 else "ZPR"
            installations.append(
                InstallationScenario(
                    name=f"Garage {number}",
                    max_current=32.0 * count,
                    available_current=32.0 * count,
                    chargers=tuple(
                        ChargerScenario(
                            serial=f"{prefix}{first + index:06d}",
                            name=f"Space {first + index}",
                            lifetime_energy=100.0 * index,
                        )
                        for index in range(1, count + 1)
                    ),
                )
            )
        return cls(
            installations=tuple(installations),
            accounts=(
                AccountScenario(
                    user_name=DEMO_USER,
                    password=DEMO_PASSWORD,
                    full_name="Kari Demo",
                    roles={item.name: OWNER for item in installations},
                ),
            ),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a scenario file (.json or .toml).

        Raises:
            ScenarioError: The file cannot be read or parsed.
        """
        try:
            text = path.read_text(encoding="utf-8")
            document = (
                json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            )
        except OSError as err:
            raise ScenarioError(f"{path}: {err.strerror}") from err
        except ValueError as err:
            raise ScenarioError(f"{path}: {err}") from err
        try:
            return cls.from_document(document)
        except (KeyError, TypeError, ValueError) as err:
            raise ScenarioError(f"{path}: {err}") from err

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Create a scenario from a file's content.

        Raises:
            ScenarioError: A field is unknown or missing, or a name is unknown.
        """
        known = {item["name"] for item in document.get("installations", ())}
        users = {item["user_name"] for item in document.get("accounts", ())}
        for account in document.get("accounts", ()):
            if unknown := set(account.get("roles", ())) - known:
                raise ScenarioError(f"No such installation: {', '.join(unknown)}")
        for group in document.get("user_groups", ()):
            if unknown := set(group.get("installations") or ()) - known:
                raise ScenarioError(f"No such installation: {', '.join(unknown)}")
            if unknown := set(group.get("owners", ())) - users:
                raise ScenarioError(f"No such account: {', '.join(unknown)}")
        return cls(
            **_known(cls, document)
            | {
                "installations": tuple(
                    _installation(item) for item in document.get("installations", ())
                ),
                "accounts": tuple(
                    AccountScenario(
                        **_known(AccountScenario, item)
                        | {
                            "roles": {
                                name: _roles(roles)
                                for name, roles in item.get("roles", {}).items()
                            },
                            "cards": _cards(item),
                        }
                    )
                    for item in document.get("accounts", ())
                ),
                "user_groups": tuple(
                    _user_group(item) for item in document.get("user_groups", ())
                ),
            }
        )


def _installation(document: dict[str, Any]) -> InstallationScenario:
    values = _known(InstallationScenario, document)
    values["chargers"] = tuple(
        ChargerScenario(**_known(ChargerScenario, item))
        for item in document.get("chargers", ())
    )
    values["circuits"] = tuple(document.get("circuits", ()))
    values["drivers"] = tuple(
        DriverScenario(**_known(DriverScenario, item) | {"cards": _cards(item)})
        for item in document.get("drivers", ())
    )
    if past := document.get("past"):
        values["past"] = _past(past)
    if (web_hooks := document.get("web_hooks")) is not None:
        values["web_hooks"] = WebHooks(**_known(WebHooks, web_hooks))
    if "network_type" in document:
        values["network_type"] = _member(NetworkType, document["network_type"])
    installation = InstallationScenario(**values)
    for charger in installation.chargers:
        if not charger.family or charger.circuit >= max(1, len(installation.circuits)):
            raise ScenarioError(f"{charger.serial}: no such circuit")
    return installation


def _user_group(document: dict[str, Any]) -> UserGroupScenario:
    values = _known(UserGroupScenario, document)
    for key in ("owners", "installations"):
        if document.get(key) is not None:
            values[key] = tuple(document[key])
    return UserGroupScenario(**values)


def _past(document: dict[str, Any]) -> PastScenario:
    values = _known(PastScenario, document)
    if end := values.get("end"):
        # TOML has times of its own, JSON has texts.
        end = end if isinstance(end, datetime) else datetime.fromisoformat(end)
        values["end"] = end if end.tzinfo else end.replace(tzinfo=UTC)
    return PastScenario(**values)


def _cards(document: dict[str, Any]) -> tuple[Card, ...]:
    return tuple(Card(**_known(Card, item)) for item in document.get("cards", ()))


def _known(kind: type[Any], document: dict[str, Any]) -> dict[str, Any]:
    if unknown := set(document) - {item.name for item in fields(kind)}:
        raise ScenarioError(f"Unknown field: {', '.join(sorted(unknown))}")
    return dict(document)


def _roles(names: list[str]) -> UserRole:
    roles = UserRole.NONE
    for name in names:
        roles |= _member(UserRole, name)
    return roles


def _member[T](kind: type[T], name: str) -> T:
    member: T | None = getattr(kind, "__members__", {}).get(name)
    if member is None:
        raise ScenarioError(f"No such {kind.__name__}: {name}")
    return member
