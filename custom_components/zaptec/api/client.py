"""The documented endpoints of the Zaptec cloud, one method per endpoint."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
import math
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .action import time_limit
from .auth import TOKEN_ENDPOINT, PasswordTokenSource, TokenSource
from .errors import ZaptecConnectionError, ZaptecResponseError
from .limiter import Priority, limiter_for
from .models import (
    Charger,
    ChargerFirmware,
    Command,
    ConnectionDetails,
    Hierarchy,
    Installation,
    Observation,
    ReportGroup,
    Session,
    parse_items,
)
from .observations import parse_large
from .parsing import is_loopback, parse_bool, parse_int, parse_text, parse_uuid
from .requester import Requester
from .statistics import Statistics
from .transport import Transport

DEFAULT_URL = "https://api.zaptec.com"
DEFAULT_USER_AGENT = "zaptec-python"

# The vendor's maximum number of items per page (API usage guidelines), and a limit of
# pages in case the cloud never marks one as the last.
PAGE_SIZE = 100
PAGES_MAX = 1000

CONNECTION_DETAILS_ENDPOINT = "/api/installation/{id}/messagingConnectionDetails"
GROUP_CONNECTION_DETAILS_ENDPOINT = "/api/userGroups/{id}/messagingConnectionDetails"


class ZaptecClient:
    """The Zaptec cloud as seen by one account.

    Every method may raise a `ZaptecError`: `ZaptecAuthenticationError` and
    `ZaptecPermissionError` if the account may not do this, `ZaptecConnectionError`,
    `ZaptecBusyError` and `ZaptecServerError` for faults that may be temporary, and
    `ZaptecResponseError` if the response can't be parsed. An id that is not a UUID
    raises a ValueError.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        user_name: str,
        password: str,
        *,
        base_url: str = DEFAULT_URL,
        user_agent: str = DEFAULT_USER_AGENT,
        token_source: TokenSource | None = None,
    ) -> None:
        """Initialize the client.

        Args:
            session: The session that opens connections; the caller closes it.
            user_name: The user name of the account in the Zaptec portal.
            password: The password of the account.
            base_url: The URL of the cloud.
            user_agent: The user agent; the vendor asks for a descriptive one (API fair
                use policy).
            token_source: The source of tokens, by default one that uses the password.

        Raises:
            ValueError: The URL would send the password unencrypted over the network.

        """
        url = urlsplit(base_url)
        if url.scheme != "https" and not (
            url.scheme == "http" and is_loopback(url.hostname or "")
        ):
            raise ValueError("Only a cloud on this machine may be used without TLS")
        self._base_url = base_url.rstrip("/")
        statistics = Statistics()
        self._token_source = token_source or PasswordTokenSource(
            session,
            user_name,
            password,
            base_url=self._base_url,
            user_agent=user_agent,
            statistics=statistics,
        )
        self._requester = Requester(
            Transport(
                session,
                limiter_for(self._base_url, user_name),
                base_url=self._base_url,
                user_agent=user_agent,
                statistics=statistics,
            ),
            self._token_source,
        )

    @property
    def base_url(self) -> str:
        """Return the URL of the cloud."""
        return self._base_url

    @property
    def statistics(self) -> Statistics:
        """Return the counted requests, for diagnostics."""
        return self._requester.statistics

    def was_served_since(self, moment: float) -> bool | None:
        """Return whether the cloud has served requests since a moment.

        The moment is in monotonic seconds. The result is None if there were no
        requests. The sign-in and the connection details do not count.
        """
        return self.statistics.was_served_since(
            moment,
            ignoring=(
                TOKEN_ENDPOINT,
                CONNECTION_DETAILS_ENDPOINT,
                GROUP_CONNECTION_DETAILS_ENDPOINT,
            ),
        )

    @property
    def allows_plain_bus(self) -> bool:
        """Return whether messages may be received unencrypted.

        This is only allowed if the cloud itself is a local simulator without TLS.
        """
        return urlsplit(self._base_url).scheme == "http"

    async def authenticate(self) -> None:
        """Sign in, unless there is a token already; the user waits for this.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecConnectionError: There was no response in time.

        """
        with time_limit() as deadline:
            try:
                async with asyncio.timeout_at(deadline.at):
                    await self._token_source.token()
            except TimeoutError:
                raise ZaptecConnectionError(
                    "The cloud did not answer in time"
                ) from None

    async def installations(self) -> list[Installation]:
        """Return the installations that the account may see."""
        return await self._list("/api/installation", Installation.from_json)

    async def installation(
        self, installation_id: str, *, priority: Priority = Priority.BACKGROUND
    ) -> Installation:
        """Return an installation."""
        return await self._one(
            "/api/installation/{id}", installation_id, Installation.from_json, priority
        )

    async def hierarchy(self, installation_id: str) -> Hierarchy:
        """Return the circuits of an installation.

        Raises:
            ZaptecPermissionError: The account is only a user of the installation.

        """
        return await self._one(
            "/api/installation/{id}/hierarchy", installation_id, Hierarchy.from_json
        )

    async def chargers(self) -> list[Charger]:
        """Return the chargers that the account may see."""
        return await self._list("/api/chargers", Charger.from_json)

    async def charger(self, charger_id: str) -> Charger:
        """Return a charger."""
        return await self._one("/api/chargers/{id}", charger_id, Charger.from_json)

    async def charger_state(
        self, charger_id: str, *, priority: Priority = Priority.FIRST_STATE
    ) -> list[Observation]:
        """Return the latest observations of a charger.

        The cloud responds from a cache of 15 s (API usage guidelines). Each observation
        has the time of its last change, which may be years ago.
        """

        def parse(document: object) -> list[Observation]:
            return [
                parse_large(observation)
                for observation in parse_items(
                    lambda item: Observation.from_json(item, charger_id.lower()),
                    _expect_list(document),
                )
            ]

        found: list[Observation] = await self._requester.request(
            "GET",
            "/api/chargers/{id}/state",
            object_id=charger_id,
            priority=priority,
            parse=parse,
        )
        return found

    async def firmware(self, installation_id: str) -> list[ChargerFirmware]:
        """Return the firmware of an installation's chargers."""
        document = await self._requester.request(
            "GET", "/api/chargerFirmware/installation/{id}", object_id=installation_id
        )
        return parse_items(ChargerFirmware.from_json, _expect_list(document))

    async def connection_details(
        self,
        installation_id: str,
        *,
        priority: Priority = Priority.FIRST_STATE,
        repeats: bool = True,
    ) -> ConnectionDetails:
        """Return the connection details of an installation's message subscription.

        Args:
            installation_id: The installation.
            priority: The priority among queued requests.
            repeats: Whether to retry after temporary faults.

        Raises:
            ZaptecPermissionError: The account is neither owner nor service.

        """
        return await self._one(
            CONNECTION_DETAILS_ENDPOINT,
            installation_id,
            ConnectionDetails.from_json,
            priority,
            repeats=repeats,
        )

    async def group_connection_details(
        self, user_group_id: str, *, repeats: bool = True
    ) -> ConnectionDetails:
        """Return the connection details of a user group's message subscription.

        Args:
            user_group_id: The user group.
            repeats: Whether to retry after temporary faults.

        Raises:
            ZaptecPermissionError: The account is not an owner of the user group.
            ZaptecRejectedError: The vendor's support has not enabled the subscription.

        """
        return await self._one(
            GROUP_CONNECTION_DETAILS_ENDPOINT,
            user_group_id,
            ConnectionDetails.from_json,
            Priority.FIRST_STATE,
            repeats=repeats,
        )

    async def send_command(self, charger_id: str, command: Command) -> None:
        """Send a command to a charger.

        Raises:
            ZaptecRejectedError: The command has no effect in the charger's state (code
                528). DEAUTHORIZE_AND_STOP was seen to be rejected with this code
                although it was carried out.

        """
        await self._requester.request(
            "POST",
            f"/api/chargers/{{id}}/sendCommand/{Command(command).value}",
            object_id=charger_id,
            priority=Priority.COMMAND,
        )

    async def update_charger(
        self,
        charger_id: str,
        *,
        max_charge_current: float | None = None,
        min_charge_current: float | None = None,
        max_charge_phases: int | None = None,
        offline_charge_current: float | None = None,
        offline_charge_phase: int | None = None,
        meter_value_interval: int | None = None,
    ) -> None:
        """Change settings of a charger; those that are None are unchanged.

        Args:
            charger_id: The charger.
            max_charge_current: A, 0 to 32; below the minimum the charger pauses.
            min_charge_current: A.
            max_charge_phases: 1 or 3.
            offline_charge_current: A, 0 to 32, or -1 for automatic.
            offline_charge_phase: The phases to use without the cloud: 1 for L1, 2 for
                L2, 4 for L3, 7 for all.
            meter_value_interval: Interval between meter values (s).

        Raises:
            ValueError: There is no setting, or one is not a finite number.
            ZaptecRejectedError: The cloud rejects the settings.

        """
        await self._update(
            "/api/chargers/{id}/update",
            charger_id,
            {
                "maxChargeCurrent": max_charge_current,
                "minChargeCurrent": min_charge_current,
                "maxChargePhases": max_charge_phases,
                "offlineChargeCurrent": offline_charge_current,
                "offlineChargePhase": offline_charge_phase,
                "meterValueInterval": meter_value_interval,
            },
        )

    async def update_installation(
        self,
        installation_id: str,
        *,
        available_current: float | None = None,
        available_current_phases: tuple[float, float, float] | None = None,
        max_current: float | None = None,
        three_to_one_phase_switch_current: float | None = None,
        min_power_offline_mode: bool | None = None,
    ) -> None:
        """Change settings of an installation; those that are None are unchanged.

        The vendor asks to change the available current at most every 15 minutes
        (API usage guidelines, Dynamic load balancing).

        Args:
            installation_id: The installation.
            available_current: A, for all phases, 0 to the maximum current.
            available_current_phases: A, for L1 to L3, instead of the above.
            max_current: A; requires the service role.
            three_to_one_phase_switch_current: A; 0 means always three phases, 32 always
                one phase.
            min_power_offline_mode: Whether chargers use the minimum current while the
                cloud is unavailable.

        Raises:
            ValueError: There is no setting, one is not a finite number, or both kinds
                of available current are given.
            ZaptecRejectedError: The cloud rejects the settings (code 527 while
                something else controls the current).

        """
        if available_current is not None and available_current_phases is not None:
            raise ValueError("Either one current for all phases or three of them")
        # The cloud sets a phase that is left out to its default, so send all three.
        phase1, phase2, phase3 = available_current_phases or (None, None, None)
        await self._update(
            "/api/installation/{id}/update",
            installation_id,
            {
                "availableCurrent": available_current,
                "availableCurrentPhase1": phase1,
                "availableCurrentPhase2": phase2,
                "availableCurrentPhase3": phase3,
                "maxCurrent": max_current,
                "threeToOnePhaseSwitchCurrent": three_to_one_phase_switch_current,
                "minPowerOfflineMode": min_power_offline_mode,
            },
        )

    async def constants(self) -> dict[str, Any]:
        """Return the vendor's constants; this needs no sign-in."""
        document = await self._requester.request(
            "GET", "/api/constants", authenticated=False
        )
        return _expect_dict(document)

    async def session(self, session_id: str) -> Session:
        """Return a charge session, which may still be running."""
        return await self._one("/api/session/{id}", session_id, Session.from_json)

    async def prioritize_session(
        self, session_id: str, *, phases: int, current: float
    ) -> None:
        """Give a charge session priority over the others of its circuit.

        Args:
            session_id: The session.
            phases: 1 or 3.
            current: A.

        """
        await self._update(
            "/api/session/{id}/priority",
            session_id,
            {"PrioritizedPhases": phases, "PrioritizedCurrent": current},
        )

    async def archived_sessions(
        self,
        *,
        installation_id: str | None = None,
        charger_id: str | None = None,
        start: datetime,
        end: datetime,
        priority: Priority = Priority.BACKGROUND,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Session]:
        """Yield completed sessions of an installation or of a charger, oldest first.

        Each page is requested when the sessions of the previous one were taken. A
        session may appear twice if the archive changes between two pages.

        Args:
            installation_id: The installation; give either this
            charger_id: or the charger.
            start: Only sessions that ended at or after this time.
            end: Only sessions that ended before this time.
            priority: The priority among queued requests.
            page_size: Maximum number of sessions of a page, at most 200.

        Raises:
            ValueError: Not exactly one of installation and charger is given, or the
                period is empty; the cloud accepts neither.
            ZaptecPermissionError: The account is not the owner.
            ZaptecResponseError: The archive did not come to an end, so sessions may be
                missing.

        """
        if (installation_id is None) is (charger_id is None):
            raise ValueError("Either an installation or a charger")
        query = _query(
            InstallationId=installation_id, ChargerId=charger_id, From=start, To=end
        )
        if query["From"] == query["To"] or start > end:
            raise ValueError("The end has to be after the start")
        params: dict[str, str | int] = {"PageSize": page_size, **query}
        for _ in range(PAGES_MAX):
            sessions, cursor = await self._requester.request(
                "GET",
                "/api/sessions/archived",
                params=params,
                priority=priority,
                parse=_archive_page,
            )
            for session in sessions:
                yield session
            if cursor is None:
                return
            if cursor == params.get("Cursor"):
                break
            params["Cursor"] = cursor
        raise ZaptecResponseError("The archive has no last page")

    async def charge_history(
        self,
        *,
        installation_id: str | None = None,
        charger_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        details: bool = False,
    ) -> AsyncIterator[Session]:
        """Yield the completed sessions that the account may see.

        Args:
            installation_id: Only sessions of this installation.
            charger_id: Only sessions of this charger.
            start: Only sessions at or after this time.
            end: Only sessions before this time.
            details: Whether to include the energy over time.

        """
        params = _query(
            InstallationId=installation_id, ChargerId=charger_id, From=start, To=end
        )
        async for page in self._pages(
            "/api/chargehistory", {**params, "DetailLevel": int(details)}
        ):
            for session in parse_items(Session.from_json, page):
                yield session

    async def installation_report(
        self,
        installation_id: str,
        *,
        start: datetime,
        end: datetime,
        group_by: ReportGroup = ReportGroup.CHARGER,
    ) -> dict[str, Any]:
        """Return the vendor's report of the energy charged at an installation."""
        if parse_uuid(installation_id) is None:
            raise ValueError("An id has to be a UUID")
        document = await self._requester.request(
            "POST",
            "/api/chargehistory/installationreport",
            json={
                "installationId": installation_id,
                # Unlike all others, this endpoint expects times without a Z.
                "fromDate": _utc(start).removesuffix("Z"),
                "endDate": _utc(end).removesuffix("Z"),
                "groupBy": int(group_by),
            },
            is_read=True,
        )
        return _expect_dict(document)

    async def _one[ModelT](
        self,
        path: str,
        object_id: str,
        parse: Callable[[object], ModelT],
        priority: Priority = Priority.BACKGROUND,
        *,
        repeats: bool = True,
    ) -> ModelT:
        """Return one object."""

        def read(document: object) -> ModelT:
            try:
                return parse(document)
            except ValueError as err:
                raise ZaptecResponseError(str(err)) from err

        found: ModelT = await self._requester.request(
            "GET",
            path,
            object_id=object_id,
            priority=priority,
            repeats=repeats,
            parse=read,
        )
        return found

    async def _list[ModelT: (Installation, Charger)](
        self, path: str, parse: Callable[[object], ModelT]
    ) -> list[ModelT]:
        """Return the objects of a list that the cloud divides into pages."""
        found: dict[str, ModelT] = {}
        async for page in self._pages(path, {}):
            # The list may change between two pages, so an object may appear twice.
            found.update((item.id, item) for item in parse_items(parse, page))
        return list(found.values())

    async def _pages(
        self, path: str, params: dict[str, str | int]
    ) -> AsyncIterator[list[Any]]:
        """Yield the items of each page."""
        for index in range(PAGES_MAX):
            document = _expect_dict(
                await self._requester.request(
                    "GET",
                    path,
                    params={**params, "PageSize": PAGE_SIZE, "PageIndex": index},
                )
            )
            items = _expect_list(document.get("Data"))
            yield items
            if not items or index + 1 >= (parse_int(document.get("Pages")) or 0):
                return

    async def _update(
        self, path: str, object_id: str, settings: dict[str, float | None]
    ) -> None:
        """Send those settings that are not None."""
        body = {key: value for key, value in settings.items() if value is not None}
        if not body or not all(map(math.isfinite, body.values())):
            raise ValueError("There is nothing to change, or a number is not finite")
        await self._requester.request(
            "POST", path, object_id=object_id, json=body, priority=Priority.COMMAND
        )


def _archive_page(document: object) -> tuple[list[Session], str | None]:
    """Return the sessions of a page of the archive, and the cursor of the next page.

    Raises:
        ZaptecResponseError: The page has no list of sessions, or no cursor although
            there is another page.

    """
    page = _expect_dict(document)
    sessions = parse_items(Session.from_json, _expect_list(page.get("sessions")))
    if not parse_bool(page.get("hasMore")):
        return sessions, None
    if (cursor := parse_text(page.get("cursor"))) is None:
        raise ZaptecResponseError("A page of the archive does not say what follows it")
    return sessions, cursor


def _expect_list(document: object) -> list[Any]:
    """Return a document that has to be a list.

    Raises:
        ZaptecResponseError: The document is not a list.

    """
    if isinstance(document, list):
        return document
    raise ZaptecResponseError(f"A list was expected, not {type(document).__name__}")


def _expect_dict(document: object) -> dict[str, Any]:
    """Return a document that has to be a JSON object.

    Raises:
        ZaptecResponseError: The document is not a JSON object.

    """
    if isinstance(document, dict):
        return document
    raise ZaptecResponseError(f"An object was expected, not {type(document).__name__}")


def _utc(moment: datetime) -> str:
    """Return a moment in the format of the cloud."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _query(**values: str | datetime | None) -> dict[str, str | int]:
    """Return the query parameters that are not None, as texts."""
    return {
        key: _utc(value) if isinstance(value, datetime) else value
        for key, value in values.items()
        if value is not None
    }
