"""Config flow for the Zaptec integration."""

from collections.abc import Mapping
import logging
from typing import Any, override

from homeassistant.config_entries import ConfigEntry, ConfigFlow, ConfigFlowResult
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.helpers.selector import (
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import probatio

from .api import (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecServerError,
)
from .const import DOMAIN, PORTAL_URL
from .coordinator import async_create_client

_LOGGER = logging.getLogger(__name__)

PASSWORD_SELECTOR = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)
PASSWORD_SCHEMA = probatio.Schema(
    {probatio.Required(probatio.Secret(CONF_PASSWORD)): PASSWORD_SELECTOR}
)
ACCOUNT_SCHEMA = probatio.Schema(
    {
        probatio.Required(CONF_USERNAME): TextSelector(
            TextSelectorConfig(type=TextSelectorType.EMAIL, autocomplete="username")
        ),
        probatio.Required(probatio.Secret(CONF_PASSWORD)): PASSWORD_SELECTOR,
    }
)


class ZaptecConfigFlow(ConfigFlow, domain=DOMAIN):
    """Sign in to a Zaptec account, one entry for each."""

    VERSION = 1

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the account."""
        errors: dict[str, str] = {}
        if user_input is not None:
            user_name = user_input[CONF_USERNAME].strip()
            password = user_input[CONF_PASSWORD]
            await self.async_set_unique_id(user_name.lower(), raise_on_progress=False)
            self._abort_if_unique_id_configured()
            errors = await self._async_sign_in(user_name, password)
            if not errors:
                return self.async_create_entry(
                    title=user_name,
                    data={CONF_USERNAME: user_name, CONF_PASSWORD: password},
                )
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(
                ACCOUNT_SCHEMA,
                {CONF_USERNAME: user_input[CONF_USERNAME]} if user_input else None,
            ),
            description_placeholders={"portal_url": PORTAL_URL},
            errors=errors,
        )

    async def async_step_reauth(
        self, entry_data: Mapping[str, Any]
    ) -> ConfigFlowResult:
        """Act on a password that the cloud no longer takes."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the new password of the account."""
        return await self._async_change_password(
            self._get_reauth_entry(), "reauth_confirm", user_input
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let a person change the stored password."""
        return await self._async_change_password(
            self._get_reconfigure_entry(), "reconfigure", user_input
        )

    async def _async_change_password(
        self, entry: ConfigEntry, step_id: str, user_input: dict[str, Any] | None
    ) -> ConfigFlowResult:
        """Store a new password for the same account, once the cloud takes it."""
        errors: dict[str, str] = {}
        user_name = entry.data[CONF_USERNAME]
        if user_input is not None:
            password = user_input[CONF_PASSWORD]
            errors = await self._async_sign_in(user_name, password)
            if not errors:
                return self.async_update_reload_and_abort(
                    entry, data_updates={CONF_PASSWORD: password}
                )
        return self.async_show_form(
            step_id=step_id,
            data_schema=PASSWORD_SCHEMA,
            description_placeholders={CONF_USERNAME: user_name},
            errors=errors,
        )

    async def _async_sign_in(self, user_name: str, password: str) -> dict[str, str]:
        """Sign in to the cloud; return the error to show, if any."""
        client = await async_create_client(self.hass, user_name, password)
        try:
            await client.authenticate()
        except ZaptecAuthenticationError:
            return {"base": "invalid_auth"}
        except ZaptecConnectionError:
            return {"base": "cannot_connect"}
        except ZaptecBusyError, ZaptecServerError:
            return {"base": "cloud_busy"}
        except ZaptecError as err:
            _LOGGER.error("The Zaptec cloud answered the sign-in with: %s", err)
        except Exception:
            _LOGGER.exception("Unexpected error during the sign-in")
        else:
            return {}
        return {"base": "unknown"}
