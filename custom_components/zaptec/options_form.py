"""The form of the options: the included chargers, the events, and the price of energy."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import (
    BooleanSelector,
    DateSelector,
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
from homeassistant.util import dt as dt_util
import probatio

from .api import Account
from .const import CONF_CHARGERS, CONF_EVENT_IDENTITY, CONF_USER_GROUP, EventIdentity
from .history.hours import HOUR
from .history.prices import Period, Tariff, price_factor
from .sensor import SESSION_COST

# Whether new chargers of the account are included automatically.
CONF_ALL_CHARGERS = "all_chargers"

# The section about the cost, and its fields.
SECTION_COST = "cost"
CONF_PRICE_SOURCE = "price_source"
CONF_PRICE = "price"
CONF_PRICE_ENTITY = "price_entity"
CONF_PRICE_FROM = "price_from"

# Where a price may come from: helpers are for those who enter it by hand.
_PRICE_DOMAINS = [Platform.SENSOR, Platform.NUMBER, "input_number"]


class PriceSource(StrEnum):
    """Where the price of a kWh comes from."""

    NONE = "none"
    FIXED = "fixed"
    ENTITY = "entity"


def options_schema(
    hass: HomeAssistant, account: Account, *, opens_cost: bool
) -> probatio.Schema:
    """Return the schema of the form.

    Args:
        hass: Home Assistant.
        account: The account with the chargers.
        opens_cost: Whether the section about the cost is open at first.

    """
    return probatio.Schema(
        {
            probatio.Required(CONF_ALL_CHARGERS): BooleanSelector(),
            probatio.Optional(CONF_CHARGERS, default=[]): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(
                            value=charger.id,
                            label=" · ".join(
                                part
                                for part in (
                                    charger.name,
                                    charger.device_id,
                                    charger.installation_name,
                                )
                                if part
                            ),
                        )
                        for charger in account.chargers.values()
                    ],
                    multiple=True,
                )
            ),
            probatio.Optional(CONF_USER_GROUP): TextSelector(),
            probatio.Optional(
                CONF_EVENT_IDENTITY, default=EventIdentity.NOTHING.value
            ): SelectSelector(
                SelectSelectorConfig(
                    options=[identity.value for identity in EventIdentity],
                    translation_key=CONF_EVENT_IDENTITY,
                )
            ),
            probatio.Optional(SECTION_COST): section(
                _cost_schema(hass.config.currency), {"collapsed": not opens_cost}
            ),
        }
    )


def _cost_schema(currency: str) -> probatio.Schema:
    """Return the schema of the section about the cost."""
    return probatio.Schema(
        {
            probatio.Required(
                CONF_PRICE_SOURCE, default=PriceSource.NONE.value
            ): SelectSelector(
                SelectSelectorConfig(
                    options=[source.value for source in PriceSource],
                    translation_key=CONF_PRICE_SOURCE,
                )
            ),
            probatio.Optional(CONF_PRICE): NumberSelector(
                NumberSelectorConfig(
                    mode=NumberSelectorMode.BOX,
                    step="any",
                    unit_of_measurement=f"{currency}/kWh",
                )
            ),
            probatio.Optional(CONF_PRICE_ENTITY): EntitySelector(
                EntitySelectorConfig(domain=_PRICE_DOMAINS)
            ),
            probatio.Optional(CONF_PRICE_FROM): DateSelector(),
        }
    )


def suggested_cost(tariff: Tariff) -> dict[str, Any]:
    """Return what the section about the cost shows at first: the newest price.

    Only a price that counts later is shown with its day.
    """
    if not tariff.periods:
        return {CONF_PRICE_SOURCE: PriceSource.NONE.value}
    period = tariff.periods[-1]
    cost: dict[str, Any] = (
        {
            CONF_PRICE_SOURCE: PriceSource.ENTITY.value,
            CONF_PRICE_ENTITY: period.entity_id,
        }
        if period.entity_id
        else {CONF_PRICE_SOURCE: PriceSource.FIXED.value, CONF_PRICE: period.price}
    )
    # Where midnight is within an hour of UTC, the period starts with that hour, which has
    # begun on the day before.
    end = dt_util.utc_from_timestamp((period.start + 1) * HOUR - 1)
    day = dt_util.as_local(end).date()
    if day > dt_util.now().date():
        cost[CONF_PRICE_FROM] = day.isoformat()
    return cost


def cost_error(
    hass: HomeAssistant, tariff: Tariff, cost: Mapping[str, Any]
) -> str | None:
    """Return the key of the error in the section about the cost, None if it is right.

    A price that was accepted before does not keep the user from changing other options.
    """
    if cost == suggested_cost(tariff):
        return None
    match cost[CONF_PRICE_SOURCE]:
        case PriceSource.FIXED if CONF_PRICE not in cost:
            return "price_missing"
        case PriceSource.ENTITY:
            if (entity_id := cost.get(CONF_PRICE_ENTITY)) is None:
                return "price_entity_missing"
            state = hass.states.get(entity_id)
            unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT) if state else None
            if price_factor(unit, hass.config.currency) is None:
                return "price_unit"
    return None


def chosen_tariff(tariff: Tariff, cost: Mapping[str, Any]) -> Tariff:
    """Return the tariff after a price was chosen.

    A price counts from the day that the user enters, which may be in the future; until
    then, the prices before it count. Without one, it counts from today,
    but what the first entity has recorded already counts, too. What has not changed stays.

    Args:
        tariff: The tariff before.
        cost: What was entered in the section about the cost, without an error.

    """
    source = cost[CONF_PRICE_SOURCE]
    if source == PriceSource.NONE:
        return Tariff()
    is_fixed = source == PriceSource.FIXED
    price = cost[CONF_PRICE] if is_fixed else None
    entity_id = None if is_fixed else cost[CONF_PRICE_ENTITY]
    if CONF_PRICE_FROM in cost:
        start = _first_hour(date.fromisoformat(cost[CONF_PRICE_FROM]))
    elif not tariff.periods and not is_fixed:
        start = 0
    else:
        start = _first_hour(dt_util.now().date())
        newest = tariff.periods[-1] if tariff.periods else None
        if (
            newest
            and newest.start <= start
            and (newest.price, newest.entity_id) == (price, entity_id)
        ):
            return tariff
    return tariff.changed_to(Period(start, price, entity_id))


@callback
def remove_cost_sensors(hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
    """Remove the sensors of costs, which show nothing without a price."""
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        if entity.unique_id.endswith(f"_{SESSION_COST.key}"):
            registry.async_remove(entity.entity_id)


def _first_hour(day: date) -> int:
    """Return the first hour of a day, counted from 1970 (UTC)."""
    return int(dt_util.start_of_local_day(day).timestamp() // HOUR)
