"""A client library for the Zaptec cloud, independent of Home Assistant.

This prints what the chargers of an account report, as it happens:

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            client = ZaptecClient(session, "me@example.com", "secret")
            chargers = {charger.id: charger for charger in await client.chargers()}
            installation = (await client.installations())[0]
            details = await client.connection_details(installation.id)
            async with Subscription(details) as stream:
                async for observation in stream:
                    charger = chargers[observation.charger_id]
                    kind = observation_type(observation.state_id, charger.family)
                    value = parse_value(observation, charger.family)
                    print(charger.name, kind.name if kind else "?", value)
"""

from .action import (
    acts_by_itself,
    automatic,
    current_deadline,
    limits_time,
    outside_of_actions,
    time_limit,
)
from .auth import PasswordTokenSource, TokenSource
from .azure_link import preload
from .client import DEFAULT_URL, ZaptecClient
from .errors import (
    SubscriptionError,
    SubscriptionFault,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecResponseError,
    ZaptecServerError,
)
from .limiter import Priority, RateLimiter, limiter_for
from .models import (
    Account,
    AuthenticationType,
    AvailableCurrentMode,
    Charger,
    ChargerFirmware,
    Circuit,
    Command,
    CommitMetadata,
    CompletedSession,
    ConnectionDetails,
    DeviceType,
    EnergyDetail,
    Family,
    Hierarchy,
    Installation,
    InstallationType,
    MeterReading,
    NetworkType,
    Observation,
    OperationMode,
    ReportGroup,
    Session,
    UserRole,
    parse_timestamp,
)
from .observations import (
    METER_INTERVALS,
    OBSERVATIONS,
    CommunicationMode,
    Kind,
    ObservationType,
    PhaseId,
    StateId,
    Value,
    observation_type,
    parse_value,
    warning_names,
)
from .parsing import parse_uuid, parse_words
from .statistics import Statistics
from .subscription import NO_CHARGER, Subscription, TimeSlice

__all__ = [
    "DEFAULT_URL",
    "METER_INTERVALS",
    "NO_CHARGER",
    "OBSERVATIONS",
    "Account",
    "AuthenticationType",
    "AvailableCurrentMode",
    "Charger",
    "ChargerFirmware",
    "Circuit",
    "Command",
    "CommitMetadata",
    "CommunicationMode",
    "CompletedSession",
    "ConnectionDetails",
    "DeviceType",
    "EnergyDetail",
    "Family",
    "Hierarchy",
    "Installation",
    "InstallationType",
    "Kind",
    "MeterReading",
    "NetworkType",
    "Observation",
    "ObservationType",
    "OperationMode",
    "PasswordTokenSource",
    "PhaseId",
    "Priority",
    "RateLimiter",
    "ReportGroup",
    "Session",
    "StateId",
    "Statistics",
    "Subscription",
    "SubscriptionError",
    "SubscriptionFault",
    "TimeSlice",
    "TokenSource",
    "UserRole",
    "Value",
    "ZaptecAuthenticationError",
    "ZaptecBusyError",
    "ZaptecClient",
    "ZaptecConnectionError",
    "ZaptecError",
    "ZaptecInterceptedError",
    "ZaptecNotFoundError",
    "ZaptecNotSentError",
    "ZaptecPermissionError",
    "ZaptecRejectedError",
    "ZaptecResponseError",
    "ZaptecServerError",
    "acts_by_itself",
    "automatic",
    "current_deadline",
    "limiter_for",
    "limits_time",
    "observation_type",
    "outside_of_actions",
    "parse_timestamp",
    "parse_uuid",
    "parse_value",
    "parse_words",
    "preload",
    "time_limit",
    "warning_names",
]
