"""Actions about completed sessions: statements of a period, and reading them again."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.service import async_register_admin_service
from homeassistant.util import dt as dt_util
import probatio

from .api import ZaptecAuthenticationError, ZaptecBusyError, ZaptecError
from .const import DOMAIN
from .control.errors import translated_errors
from .entity import CHARGERS
from .history.hours import HOUR
from .history.statistics import NotStoredError
from .runtime import ZaptecRuntime
from .service_targets import (
    ATTR_CHARGER_ID,
    ATTR_INSTALLATION_ID,
    IDS,
    TARGET,
    async_all,
    async_device_name,
    async_target_devices,
)
from .session_records import Flag, Found, Period, SessionReader
from .session_statement import (
    DecimalSign,
    GroupBy,
    Names,
    Separator,
    Statement,
    TableFormat,
)
from .texts import text

ATTR_START = "start"
ATTR_END = "end"
ATTR_PERSON = "person"
ATTR_GROUP_BY = "group_by"
ATTR_FORMAT = "format"
ATTR_SEPARATOR = "separator"
ATTR_DECIMAL_SIGN = "decimal_sign"
ATTR_BYTE_ORDER_MARK = "byte_order_mark"

FORMAT_DATA = "data"
FORMAT_CSV = "csv"

SERVICE_GET_SESSIONS = "get_sessions"
SERVICE_IMPORT_SESSIONS = "import_sessions"

# Longest time that the action waits for the archive (s). Reading continues after that.
IMPORT_TIMEOUT = 600.0

# Years of the periods that can be asked for; other years cannot be converted to UTC.
YEARS = range(2000, 2100)

# The headings of tables. Their texts are in the translations, below "statement_".
_HEADINGS = (
    "start",
    "end",
    "charger",
    "person",
    "no_person",
    "day",
    "month",
    "sessions",
    "energy",
    "meter_start",
    "meter_end",
    "flags",
    "start_offset",
    "end_offset",
    "without_cost",
    "total",
)

_DEVICES = {
    **TARGET,
    probatio.Optional(ATTR_CHARGER_ID): IDS,
    probatio.Optional(ATTR_INSTALLATION_ID): IDS,
}

GET_SESSIONS_SCHEMA = probatio.Schema(
    {
        **_DEVICES,
        probatio.Required(ATTR_START): cv.datetime,
        probatio.Optional(ATTR_END): cv.datetime,
        probatio.Optional(ATTR_PERSON): IDS,
        probatio.Optional(ATTR_GROUP_BY, default=GroupBy.NONE): probatio.Coerce(
            GroupBy
        ),
        probatio.Optional(ATTR_FORMAT, default=FORMAT_DATA): probatio.In(
            (FORMAT_DATA, FORMAT_CSV)
        ),
        probatio.Optional(ATTR_SEPARATOR): probatio.Coerce(Separator),
        probatio.Optional(ATTR_DECIMAL_SIGN): probatio.Coerce(DecimalSign),
        probatio.Optional(ATTR_BYTE_ORDER_MARK, default=True): cv.boolean,
    }
)

IMPORT_SESSIONS_SCHEMA = probatio.Schema(
    {**_DEVICES, probatio.Required(ATTR_START): cv.datetime}
)


@callback
def async_setup_session_actions(hass: HomeAssistant) -> None:
    """Register the actions."""

    async def get_sessions(call: ServiceCall) -> ServiceResponse:
        return await _async_get_sessions(hass, call)

    hass.services.async_register(
        DOMAIN,
        SERVICE_GET_SESSIONS,
        get_sessions,
        schema=GET_SESSIONS_SCHEMA,
        supports_response=SupportsResponse.ONLY,
    )

    async def import_sessions(call: ServiceCall) -> ServiceResponse:
        return await _async_import_sessions(hass, call)

    async_register_admin_service(
        hass,
        DOMAIN,
        SERVICE_IMPORT_SESSIONS,
        import_sessions,
        schema=IMPORT_SESSIONS_SCHEMA,
        supports_response=SupportsResponse.OPTIONAL,
    )


async def _async_get_sessions(hass: HomeAssistant, call: ServiceCall) -> dict[str, Any]:
    """Return a statement of the sessions of all chargers of a call."""
    period = _period(call)
    accounts = _chargers(hass, call)
    names = _names(hass, accounts)
    person_ids = _person_ids(call, names)
    found = Found()
    for runtime, charger_ids in accounts.items():
        reader = SessionReader(
            hass,
            runtime.client,
            runtime.history,
            runtime.coordinator.data,
            with_hours=bool(runtime.prices),
        )
        with _reading_errors(hass, runtime):
            of_account = await reader.async_read(charger_ids, period)
            if person_ids is not None:
                of_account.select(person_ids)
            await of_account.async_price(hass, runtime.prices)
        found.add(of_account)
    has_cost = any(runtime.prices for runtime in accounts)
    table_format = _table_format(hass, call)

    def compile_statement() -> dict[str, Any]:
        statement = Statement(
            found.records,
            names=names,
            group_by=call.data[ATTR_GROUP_BY],
            has_cost=has_cost,
        )
        if call.data[ATTR_FORMAT] == FORMAT_DATA:
            return statement.as_data()
        return {"csv": statement.as_table(table_format)}

    return {
        "start": dt_util.as_local(period.start).isoformat(),
        "end": dt_util.as_local(period.end).isoformat(),
        **await hass.async_add_executor_job(compile_statement),
        **(_currency(hass, found) if has_cost else {}),
        "notes": _notes(hass, found, names, has_cost=has_cost),
    }


def _names(
    hass: HomeAssistant, accounts: Mapping[ZaptecRuntime, Collection[str]]
) -> Names:
    """Return the names of the chargers of a call, and of all persons of their accounts."""
    chargers: dict[str, str] = {}
    persons: dict[str, str] = {}
    for runtime, charger_ids in accounts.items():
        persons |= runtime.history.persons.names
        for charger_id in charger_ids:
            chargers[charger_id] = async_device_name(hass, runtime, charger_id)
    return Names(chargers=chargers, persons=persons)


def _person_ids(call: ServiceCall, names: Names) -> set[str] | None:
    """Return the persons that a call is about, None for all sessions.

    Each person is given by the name, or by the id of the subentry.
    """
    if not call.data.get(ATTR_PERSON):
        return None
    wanted: set[str] = set()
    for given in call.data[ATTR_PERSON]:
        person = given.strip().casefold()
        found = {
            person_id
            for person_id, name in names.persons.items()
            if person in (person_id.casefold(), name.strip().casefold())
        }
        if not found:
            # Without names: Home Assistant logs the error if an automation causes it.
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="unknown_person"
            )
        wanted |= found
    return wanted


def _currency(hass: HomeAssistant, found: Found) -> dict[str, Any]:
    """Return the currency of the costs, and the hours whose price is not known."""
    return {
        "currency": hass.config.currency,
        "missing_prices": [
            dt_util.as_local(dt_util.utc_from_timestamp(hour * HOUR)).isoformat()
            for hour in sorted(found.missing_prices)
        ],
    }


async def _async_import_sessions(
    hass: HomeAssistant, call: ServiceCall
) -> dict[str, Any]:
    """Read the archive of all chargers of a call again, and return what was read."""
    start = _moment(call.data[ATTR_START])
    if start >= dt_util.utcnow():
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="start_in_future"
        )
    chargers = {
        charger_id: runtime
        for runtime, charger_ids in _chargers(hass, call).items()
        for charger_id in charger_ids
    }
    if not all(runtime.history.is_kept for runtime in chargers.values()):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="no_history"
        )

    async def read(charger_id: str, runtime: ZaptecRuntime) -> int:
        _check_archive(hass, charger_id, runtime)
        try:
            async with asyncio.timeout(IMPORT_TIMEOUT):
                count = await runtime.history.async_read_again(
                    charger_id, start.timestamp()
                )
        except TimeoutError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="import_continues"
            ) from err
        _check_archive(hass, charger_id, runtime)
        if count is None:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="import_failed"
            )
        return count

    counts = await async_all(hass, chargers, read)
    return {
        "chargers": [
            {
                "charger": async_device_name(hass, runtime, charger_id),
                "charger_id": charger_id,
                "sessions": count,
            }
            for (charger_id, runtime), count in zip(
                chargers.items(), counts, strict=True
            )
        ]
    }


def _check_archive(
    hass: HomeAssistant, charger_id: str, runtime: ZaptecRuntime
) -> None:
    """Raise an error if the cloud refuses to show the archive of a charger."""
    if runtime.history.known.is_refused(charger_id):
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="archive_refused",
            translation_placeholders={
                "chargers": async_device_name(hass, runtime, charger_id)
            },
        )


def _period(call: ServiceCall) -> Period:
    """Return the period of a call, which ends now by default."""
    start = _moment(call.data[ATTR_START])
    end = _moment(call.data.get(ATTR_END) or dt_util.utcnow())
    if start >= end:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="period_empty"
        )
    return Period(start, end)


def _moment(moment: datetime) -> datetime:
    """Return a moment of a call, which is in local time if it has no time zone."""
    if moment.year not in YEARS:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="year_invalid",
            translation_placeholders={
                "first": str(YEARS.start),
                "last": str(YEARS.stop - 1),
            },
        )
    return dt_util.as_utc(moment)


def _chargers(hass: HomeAssistant, call: ServiceCall) -> dict[ZaptecRuntime, set[str]]:
    """Return the chargers of a call by account; an installation selects all of its own."""
    by_account: dict[ZaptecRuntime, set[str]] = {}
    without: list[str] = []
    devices = async_target_devices(hass, call, ATTR_CHARGER_ID, ATTR_INSTALLATION_ID)
    for device_id, runtime in devices.items():
        charger_ids = {
            charger.id
            for charger in runtime.coordinator.data.chargers.values()
            if charger.family in CHARGERS
            and device_id in (charger.id, charger.installation_id)
        }
        if charger_ids:
            by_account.setdefault(runtime, set()).update(charger_ids)
        else:
            without.append(async_device_name(hass, runtime, device_id))
    if not by_account:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_chargers_in_target",
            translation_placeholders={"target": ", ".join(without)},
        )
    return by_account


@contextmanager
def _reading_errors(hass: HomeAssistant, runtime: ZaptecRuntime) -> Iterator[None]:
    """Raise errors of the cloud as errors of Home Assistant, while sessions are read.

    Raises:
        HomeAssistantError: The cloud or the database has failed.

    """
    with translated_errors(lambda: runtime.entry.async_start_reauth(hass)):
        try:
            yield
        except NotStoredError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="prices_not_read"
            ) from err
        except ZaptecAuthenticationError, ZaptecBusyError:
            raise
        except ZaptecError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="sessions_not_read"
            ) from err


def _table_format(hass: HomeAssistant, call: ServiceCall) -> TableFormat:
    """Return how a table is written: as asked for, or else as the country expects it."""
    decimal_sign = call.data.get(ATTR_DECIMAL_SIGN) or DecimalSign.of_country(
        hass.config.country, hass.config.language
    )
    words = {key: text(hass, f"statement_{key}") for key in _HEADINGS}
    words["cost"] = text(hass, "statement_cost", currency=hass.config.currency)
    words |= {flag: text(hass, f"session_{flag}") for flag in Flag}
    return TableFormat(
        separator=call.data.get(ATTR_SEPARATOR)
        or Separator.of_country(hass.config.country, decimal_sign),
        decimal_sign=decimal_sign,
        has_byte_order_mark=call.data[ATTR_BYTE_ORDER_MARK],
        words=words,
    )


def _notes(
    hass: HomeAssistant, found: Found, names: Names, *, has_cost: bool
) -> list[str]:
    """Return what a reader of the statement has to know."""
    notes: list[str] = []
    if found.refused:
        refused = sorted(names.chargers[charger_id] for charger_id in found.refused)
        notes.append(text(hass, "statement_refused", chargers=", ".join(refused)))
    if found.left_out:
        notes.append(text(hass, "statement_left_out", count=str(found.left_out)))
    if found.missing_prices:
        count = str(len(found.missing_prices))
        notes.append(text(hass, "statement_missing_prices", count=count))
    if has_cost and found.unpriced:
        unpriced = sorted(names.chargers[charger_id] for charger_id in found.unpriced)
        notes.append(text(hass, "statement_no_price", chargers=", ".join(unpriced)))
    return notes
