"""Config flow for the Zaptec integration."""

from collections.abc import Iterable, Mapping
from itertools import chain, count
import logging
from time import monotonic
from typing import Any, override

from homeassistant.config_entries import (
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    ConfigSubentryFlow,
    OptionsFlowWithReload,
)
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, Platform
from homeassistant.core import callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import (
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.util import dt as dt_util
import probatio

from .api import (
    Charger,
    Installation,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecServerError,
    time_limit,
)
from .api.parsing import parse_uuid
from .const import (
    CONF_CHARGERS,
    CONF_EVENT_IDENTITY,
    CONF_PRICES,
    CONF_TAKEN_OVER,
    CONF_USER_GROUP,
    DOMAIN,
    PORTAL_URL,
    EventIdentity,
)
from .devices.claims import Claim, owners
from .devices.ownership import async_other_claims
from .history.prices import Tariff
from .options_form import (
    CONF_ALL_CHARGERS,
    SECTION_COST,
    chosen_tariff,
    cost_error,
    options_schema,
    remove_cost_sensors,
    suggested_cost,
)
from .person_flow import PersonFlow
from .persons import SUBENTRY_PERSON
from .runtime import async_create_client
from .web_hook_flow import WebHookSteps

# The title of an entry, which is that of custom-components/zaptec.
TITLE = "Zaptec"

# The error for an error code with which the cloud rejects the request for a user group
# (ErrorCodes of the constants): UnknownError, FeatureNotEnabled, NotSupported.
_GROUP_ERRORS = {500: "cloud_busy", 526: "user_group_off", 527: "user_group_off"}

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


def _error_key(error: ZaptecError, request: str) -> str:
    """Return the key of the text about an error, and log one without a text of its own."""
    match error:
        case ZaptecAuthenticationError():
            return "invalid_auth"
        case ZaptecConnectionError():
            return "cannot_connect"
        case ZaptecBusyError() | ZaptecServerError():
            return "cloud_busy"
        case ZaptecInterceptedError():
            return "intercepted"
    _LOGGER.error("The Zaptec cloud answered %s with: %s", request, error)
    return "unknown"


def free_title(taken: Iterable[str]) -> str:
    """Return a title for an entry that no other entry has.

    The title is neither the user name, which is an e-mail address, nor the name of an
    installation, which often is a street address, because Home Assistant writes titles to
    its log, for example when an entry cannot be set up.
    """
    others = set(taken)
    titles = chain([TITLE], (f"{TITLE} {number}" for number in count(2)))
    return next(title for title in titles if title not in others)


class ZaptecConfigFlow(ConfigFlow, domain=DOMAIN):
    """Sign in to a Zaptec account; each account has one entry."""

    # custom-components/zaptec creates entries of version 1.1, and accepts 1.3, too, so that
    # the user can return to it.
    VERSION = 1
    MINOR_VERSION = 3

    # The titles of the accounts that already show all chargers of the new account; empty if
    # there are chargers left for it to show.
    _shown_by = ""

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> ZaptecOptionsFlow:
        """Return the flow of the options."""
        return ZaptecOptionsFlow()

    @classmethod
    @callback
    @override
    def async_get_supported_subentry_types(
        cls, config_entry: ConfigEntry
    ) -> dict[str, type[ConfigSubentryFlow]]:
        """Return the flows of what can be added to an account."""
        return {SUBENTRY_PERSON: PersonFlow}

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
            errors = await self._async_sign_in(user_name, password, is_new=True)
            if not errors:
                if self._shown_by:
                    return self.async_abort(
                        reason="chargers_shown",
                        description_placeholders={"accounts": self._shown_by},
                    )
                return self.async_create_entry(
                    title=free_title(
                        entry.title for entry in self._async_current_entries()
                    ),
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
        """Handle a password that the cloud no longer accepts."""
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
        """Let the user change the stored password."""
        return await self._async_change_password(
            self._get_reconfigure_entry(), "reconfigure", user_input
        )

    async def _async_change_password(
        self, entry: ConfigEntry, step_id: str, user_input: dict[str, Any] | None
    ) -> ConfigFlowResult:
        """Store a new password for the same account, once the cloud has accepted it."""
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

    async def _async_sign_in(
        self, user_name: str, password: str, *, is_new: bool = False
    ) -> dict[str, str]:
        """Sign in to the cloud; return the error to show, if any."""
        client = await async_create_client(self.hass, user_name, password)
        try:
            await client.authenticate()
            self._shown_by = ""
            if is_new and (others := async_other_claims(self.hass)):
                self._shown_by = self._owner_names(
                    others, await client.installations(), await client.chargers()
                )
        except ZaptecError as err:
            return {"base": _error_key(err, "the sign-in")}
        except Exception:
            _LOGGER.exception("Unexpected error during the sign-in")
            return {"base": "unknown"}
        return {}

    def _owner_names(
        self,
        others: list[Claim],
        installations: list[Installation],
        chargers: list[Charger],
    ) -> str:
        """Return the titles of the accounts that show all chargers of a new account.

        It is empty if there are chargers left for the new account to show, or if the new
        account sees no charger yet.
        """
        homes = {item.id: item.installation_id for item in chargers}
        new = Claim(
            entry_id="",
            created_at=dt_util.utcnow(),
            read_at=monotonic(),
            listed=frozenset((*homes, *(item.id for item in installations))),
            homes=homes,
        )
        by_device = owners([*others, new])
        accounts = {by_device[charger_id] for charger_id in homes}
        if new.entry_id in accounts:
            return ""
        return ", ".join(
            sorted(
                entry.title
                for entry in self.hass.config_entries.async_entries(DOMAIN)
                if entry.entry_id in accounts
            )
        )


class ZaptecOptionsFlow(WebHookSteps, OptionsFlowWithReload):
    """Choose the chargers of an account, the user group, events, and the price."""

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer the options of the account, and the web hooks of its installations."""
        return self.async_show_menu(
            step_id="init", menu_options=["settings", "web_hooks"]
        )

    async def async_step_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the chargers, and for the user group whose messages are read."""
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        options = self.config_entry.options
        account = self.config_entry.runtime_data.coordinator.visible
        chosen = options.get(CONF_CHARGERS)
        tariff = self.config_entry.runtime_data.prices.tariff
        shown = [
            charger_id
            for charger_id in account.chargers
            if chosen is None or charger_id in chosen
        ]
        errors: dict[str, str] = {}
        if user_input is not None:
            new: list[str] | None = None
            if user_input[CONF_ALL_CHARGERS]:
                if set(user_input[CONF_CHARGERS]) not in (
                    set(shown),
                    set(account.chargers),
                ):
                    # The user has deselected a charger, and expects it to disappear.
                    errors["base"] = "all_or_some"
            elif user_input[CONF_CHARGERS]:
                # A chosen charger that the account does not see at the moment was not in
                # the form, and stays chosen.
                hidden = set(chosen or ()) - account.chargers.keys()
                new = sorted(hidden | set(user_input[CONF_CHARGERS]))
            else:
                errors[CONF_CHARGERS] = "no_chargers"
            text = user_input.get(CONF_USER_GROUP, "").strip()
            group_id = parse_uuid(text)
            if error := await self._async_check_user_group(text, group_id):
                errors[CONF_USER_GROUP] = error
            cost = user_input.get(SECTION_COST) or suggested_cost(tariff)
            if error := cost_error(self.hass, tariff, cost):
                errors[SECTION_COST] = error
            if not errors:
                identity = user_input[CONF_EVENT_IDENTITY]
                return self._save(new, group_id, identity, chosen_tariff(tariff, cost))
        return self.async_show_form(
            step_id="settings",
            data_schema=self.add_suggested_values_to_schema(
                options_schema(self.hass, account, opens_cost=SECTION_COST in errors),
                user_input
                or {
                    CONF_ALL_CHARGERS: chosen is None,
                    CONF_CHARGERS: shown,
                    CONF_USER_GROUP: options.get(CONF_USER_GROUP, ""),
                    CONF_EVENT_IDENTITY: options.get(
                        CONF_EVENT_IDENTITY, EventIdentity.NOTHING
                    ),
                    SECTION_COST: suggested_cost(tariff),
                },
            ),
            description_placeholders={"currency": self.hass.config.currency},
            errors=errors,
        )

    async def _async_check_user_group(
        self, text: str, group_id: str | None
    ) -> str | None:
        """Return the error of a user group that the user has entered, None if it is right.

        The only way to check it is to request its connection details.
        """
        if not text or (
            group_id and group_id == self.config_entry.options.get(CONF_USER_GROUP)
        ):
            return None
        if group_id is None:
            return "user_group_invalid"
        if any(
            entry.options.get(CONF_USER_GROUP) == group_id
            for entry in self.hass.config_entries.async_entries(DOMAIN)
        ):
            return "user_group_taken"
        client = self.config_entry.runtime_data.client
        try:
            with time_limit():
                await client.group_connection_details(group_id)
        except ZaptecPermissionError, ZaptecNotFoundError:
            return "user_group_refused"
        except ZaptecRejectedError as err:
            return _GROUP_ERRORS.get(err.code, "user_group_refused")
        except ZaptecError as err:
            return _error_key(err, "the request for the user group")
        return None

    def _save(
        self,
        chosen: list[str] | None,
        group_id: str | None,
        identity: str,
        tariff: Tariff,
    ) -> ConfigFlowResult:
        """Save the options, with the choice that was copied before.

        Args:
            chosen: The chosen chargers, None for all.
            group_id: The user group, None for none.
            identity: What events show about who charged.
            tariff: The prices.

        """
        options: dict[str, Any] = {}
        if chosen is not None:
            options[CONF_CHARGERS] = chosen
        if group_id:
            options[CONF_USER_GROUP] = group_id
        if identity != EventIdentity.NOTHING:
            options[CONF_EVENT_IDENTITY] = identity
        if tariff.periods:
            options[CONF_PRICES] = tariff.as_stored()
        else:
            remove_cost_sensors(self.hass, self.config_entry)
        if taken_over := self.config_entry.options.get(CONF_TAKEN_OVER):
            options[CONF_TAKEN_OVER] = taken_over
        before = self.config_entry.options.get(CONF_USER_GROUP)
        if before and before != group_id:
            self._remove_user_group(before)
        return self.async_create_entry(data=options)

    def _remove_user_group(self, group_id: str) -> None:
        """Remove the entity of a user group whose messages are no longer read."""
        registry = er.async_get(self.hass)
        if entity_id := registry.async_get_entity_id(
            Platform.SENSOR, DOMAIN, f"{group_id}_push_status"
        ):
            registry.async_remove(entity_id)
