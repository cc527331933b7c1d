"""The form of the options: which chargers are included."""

from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import probatio

from .api import Account
from .const import CONF_CHARGERS, CONF_USER_GROUP

# Whether new chargers of the account are included automatically.
CONF_ALL_CHARGERS = "all_chargers"


def options_schema(account: Account) -> probatio.Schema:
    """Return the schema of the form with the chargers of an account."""
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
        }
    )
