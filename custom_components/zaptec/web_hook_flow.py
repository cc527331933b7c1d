"""The steps of the options that set up the web hooks of an installation."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult, OptionsFlow
from homeassistant.data_entry_flow import AbortFlow
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
)
from homeassistant.util import dt as dt_util
import probatio

from .const import DOMAIN, PORTAL_URL, WEB_HOOKS_URL
from .devices.adoption import async_get_device
from .runtime import ZaptecConfigEntry
from .texts import without_markup
from .web_hook_removal import async_turn_off
from .web_hook_settings import (
    OnError,
    WebHookSettings,
    async_get_watch,
    async_store,
    from_entry,
)
from .web_hook_urls import WebHookUrlError, async_delete_cloud_hooks, async_with_urls

CONF_INSTALLATION = "installation"
CONF_ON_ERROR = "on_error"

# Maximum time to wait for the first call (s). The cloud asks for a car that is plugged in
# each 10 s, for 5 minutes.
FIRST_CALL_TIME = 300.0

# The step that shows what came first, or that nothing did.
_CALLED = "web_hooks_called"
_WRONG_CREDENTIALS = "web_hooks_wrong_credentials"
_NOT_UNDERSTOOD = "web_hooks_not_understood"
_SILENT = "web_hooks_silent"


class WebHookSteps(OptionsFlow):
    """Sets up, shows, renews and turns off the web hooks of an installation."""

    config_entry: ZaptecConfigEntry

    # The installation that the user has chosen.
    _installation_id = ""

    # The ids of the web hooks whose renewal the user was asked to confirm.
    _shown_ids: tuple[str, ...] = ()

    # Only calls since then count as a sign that what the user has entered is right.
    _since: datetime | None = None

    # Waits for a call while the user watches.
    _waiting: asyncio.Task[None] | None = None

    async def async_step_web_hooks(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the installation, if there are several."""
        names = self._names()
        if not names:
            return self.async_abort(reason="web_hooks_no_installation")
        if user_input is None and len(names) > 1:
            return self.async_show_form(
                step_id="web_hooks", data_schema=_installation_schema(names)
            )
        chosen = user_input[CONF_INSTALLATION] if user_input else next(iter(names))
        self._installation_id = chosen
        if self._settings:
            return await self.async_step_web_hooks_manage()
        self._check_unchanged(())
        return await self.async_step_web_hooks_set_up()

    async def async_step_web_hooks_set_up(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Explain what is about to change, and create ids, user name and password."""
        errors: dict[str, str] = {}
        if user_input is not None:
            self._check_unchanged(())
            on_error = OnError(user_input[CONF_ON_ERROR])
            error = await self._async_save(WebHookSettings.new(on_error))
            if error is None:
                return await self.async_step_web_hooks_values()
            errors["base"] = error
        return self.async_show_form(
            step_id="web_hooks_set_up",
            data_schema=self.add_suggested_values_to_schema(
                _on_error_schema(), user_input
            ),
            description_placeholders={"name": self._name, "guide_url": WEB_HOOKS_URL},
            errors=errors,
        )

    async def async_step_web_hooks_values(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show what is to be entered in the portal."""
        errors: dict[str, str] = {}
        if (settings := self._settings) is None:
            return self.async_abort(reason="web_hooks_off")
        if user_input is not None:
            return await self.async_step_web_hooks_wait()
        # The address may have changed since it was stored.
        if error := await self._async_save(settings):
            errors["base"] = error
        settings = self._settings or settings
        self._since = dt_util.utcnow()
        return self.async_show_form(
            step_id="web_hooks_values",
            data_schema=probatio.Schema({}),
            description_placeholders={
                "name": self._name,
                "portal_url": PORTAL_URL,
                "payload": settings.payload,
                "start_url": settings.start_url,
                "end_url": settings.end_url,
            },
            errors=errors,
        )

    async def async_step_web_hooks_wait(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Wait for the first call."""
        if self._waiting is None:
            self._since = self._since or dt_util.utcnow()
            if self._heard() == _CALLED:
                # It came while the user looked at the values.
                return await self.async_step_web_hooks_called()
            self._waiting = self.hass.async_create_background_task(
                self._async_wait(), f"{DOMAIN} first call of a web hook"
            )
        if not self._waiting.done():
            return self.async_show_progress(
                step_id="web_hooks_wait",
                progress_action="web_hooks_wait",
                description_placeholders={"name": self._name},
                progress_task=self._waiting,
            )
        self._waiting = None
        return self.async_show_progress_done(next_step_id=self._heard() or _SILENT)

    async def async_step_web_hooks_called(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show that the web hooks are called, and by which charger."""
        if user_input is not None:
            return await self.async_step_web_hooks_finish()
        watch = async_get_watch(self.hass, self._installation_id)
        call = dt_util.as_local(watch.last_start or dt_util.utcnow())
        charger_id = max(
            watch.chargers, key=lambda key: watch.chargers[key], default=""
        )
        return self.async_show_form(
            step_id="web_hooks_called",
            data_schema=probatio.Schema({}),
            description_placeholders={
                "name": self._name,
                "time": f"{call:%H:%M:%S}",
                "charger": self._device_name(charger_id) or self._name,
            },
            last_step=True,
        )

    async def async_step_web_hooks_wrong_credentials(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show that a call came with another user name or password."""
        return self._show_failure(_WRONG_CREDENTIALS)

    async def async_step_web_hooks_not_understood(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show that a call came that was not understood."""
        return self._show_failure(_NOT_UNDERSTOOD)

    async def async_step_web_hooks_silent(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show that no call came."""
        return self._show_failure(_SILENT)

    async def async_step_web_hooks_manage(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer what can be done with web hooks that are set up."""
        return self.async_show_menu(
            step_id="web_hooks_manage",
            menu_options=[
                "web_hooks_values",
                "web_hooks_wait",
                "web_hooks_failure",
                "web_hooks_renew",
                "web_hooks_turn_off",
            ],
            description_placeholders={"name": self._name},
        )

    async def async_step_web_hooks_failure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what a call is answered when the integration itself fails."""
        if (settings := self._settings) is None:
            return self.async_abort(reason="web_hooks_off")
        if user_input is not None:
            self._store(replace(settings, on_error=OnError(user_input[CONF_ON_ERROR])))
            return await self.async_step_web_hooks_finish()
        return self.async_show_form(
            step_id="web_hooks_failure",
            data_schema=self.add_suggested_values_to_schema(
                _on_error_schema(), {CONF_ON_ERROR: settings.on_error.value}
            ),
            description_placeholders={"name": self._name},
        )

    async def async_step_web_hooks_renew(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Replace ids, user name and password."""
        errors: dict[str, str] = {}
        if (settings := self._settings) is None:
            return self.async_abort(reason="web_hooks_off")
        if user_input is not None:
            self._check_unchanged(self._shown_ids)
            renewed = settings.renewed()
            if (error := await self._async_save(renewed)) is None:
                async_get_watch(self.hass, self._installation_id).forget()
                dropped = set(settings.ids) - set(renewed.ids)
                await async_delete_cloud_hooks(self.hass, dropped)
                return await self.async_step_web_hooks_values()
            errors["base"] = error
        self._shown_ids = settings.ids
        return self.async_show_form(
            step_id="web_hooks_renew",
            data_schema=probatio.Schema({}),
            description_placeholders={"name": self._name},
            errors=errors,
        )

    async def async_step_web_hooks_turn_off(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Say what to change in the portal, and remove the web hooks."""
        if user_input is not None:
            await async_turn_off(self.hass, self.config_entry, self._installation_id)
            return await self.async_step_web_hooks_finish()
        return self.async_show_form(
            step_id="web_hooks_turn_off",
            data_schema=probatio.Schema({}),
            description_placeholders={"name": self._name, "portal_url": PORTAL_URL},
            last_step=True,
        )

    async def async_step_web_hooks_finish(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Close the dialog; the options themselves stay as they are."""
        return self.async_create_entry(data=dict(self.config_entry.options))

    def _show_failure(self, step_id: str) -> ConfigFlowResult:
        """Show why the web hooks do not work yet, and what to do."""
        self._since = None
        return self.async_show_menu(
            step_id=step_id,
            menu_options=["web_hooks_wait", "web_hooks_values", "web_hooks_finish"],
            description_placeholders={"name": self._name},
        )

    async def _async_wait(self) -> None:
        """Wait until something comes, for at most five minutes."""
        watch = async_get_watch(self.hass, self._installation_id)
        event = asyncio.Event()
        remove = watch.add_listener(event.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_CALL_TIME):
                    while self._heard() is None:
                        event.clear()
                        await event.wait()
        finally:
            remove()

    def _heard(self) -> str | None:
        """Return the step that shows what has come, None if nothing has."""
        watch = async_get_watch(self.hass, self._installation_id)
        for moment, step_id in (
            (watch.last_start, _CALLED),
            (watch.last_wrong_credentials, _WRONG_CREDENTIALS),
            (watch.last_problem_at, _NOT_UNDERSTOOD),
        ):
            if moment and self._since and moment >= self._since:
                return step_id
        return None

    async def _async_save(self, settings: WebHookSettings) -> str | None:
        """Store settings with their URLs; return the error if there are none.

        Raises:
            AbortFlow: They were changed in the meantime. That change is kept.

        """
        before = self._ids
        error = None
        try:
            settings = await async_with_urls(self.hass, settings)
        except WebHookUrlError as err:
            error = err.key
        try:
            self._check_unchanged(before)
        except AbortFlow:
            # What was turned off, or is not stored, must not have cloud hooks.
            created = set(settings.ids) - set(self._ids)
            await async_delete_cloud_hooks(self.hass, created)
            raise
        if error is None:
            present = self._settings or settings
            self._store(present.with_secrets_of(settings))
        return error

    def _check_unchanged(self, ids: tuple[str, ...]) -> None:
        """Check that the web hooks are the ones that this dialog has begun with.

        Args:
            ids: The ids that they had then, none if there were no web hooks.

        Raises:
            AbortFlow: They were set up, renewed or turned off in another window, or on
                another account, or the account was removed.

        """
        if any(
            entry.entry_id != self._config_entry_id
            and self._installation_id in from_entry(entry)
            for entry in self.hass.config_entries.async_entries(DOMAIN)
        ):
            raise AbortFlow("web_hooks_elsewhere")
        entry = self.hass.config_entries.async_get_entry(self._config_entry_id)
        if entry is None or self._ids != ids:
            raise AbortFlow("web_hooks_changed" if self._ids else "web_hooks_off")

    def _store(self, settings: WebHookSettings) -> None:
        """Store the settings of the installation."""
        async_store(self.hass, self.config_entry, self._installation_id, settings)

    @property
    def _settings(self) -> WebHookSettings | None:
        """Return the settings of the installation, None if it has no web hooks."""
        entry = self.hass.config_entries.async_get_entry(self._config_entry_id)
        # The account may be removed while the dialog is open.
        return from_entry(entry).get(self._installation_id) if entry else None

    @property
    def _ids(self) -> tuple[str, ...]:
        """Return the present ids of the installation, none without web hooks."""
        return self._settings.ids if self._settings else ()

    @property
    def _name(self) -> str:
        """Return the name of the installation, for a text with Markdown."""
        return without_markup(self._names().get(self._installation_id, "Zaptec"))

    def _names(self) -> dict[str, str]:
        """Return the names of the installations that may have web hooks, by id.

        While the account is not running, these are the ones that are set up, so that they
        can be turned off nevertheless.
        """
        names: dict[str, str] = {}
        if self.config_entry.state is ConfigEntryState.LOADED:
            account = self.config_entry.runtime_data.coordinator.data
            for installation in account.installations.values():
                names[installation.id] = installation.name or "Zaptec"
        for installation_id in from_entry(self.config_entry):
            if installation_id not in names:
                names[installation_id] = self._device_name(installation_id) or "Zaptec"
        return names

    def _device_name(self, device_id: str) -> str:
        """Return the name of a charger or an installation, "" if it is not registered."""
        device = async_get_device(self.hass, self.config_entry.entry_id, device_id)
        return (device and (device.name_by_user or device.name)) or ""


def _installation_schema(names: dict[str, str]) -> probatio.Schema:
    """Return the schema of the choice of an installation."""
    return probatio.Schema(
        {
            probatio.Required(CONF_INSTALLATION): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(value=installation_id, label=name)
                        for installation_id, name in names.items()
                    ]
                )
            )
        }
    )


def _on_error_schema() -> probatio.Schema:
    """Return the schema of what happens if something fails."""
    return probatio.Schema(
        {
            probatio.Required(
                CONF_ON_ERROR, default=OnError.PERMIT.value
            ): SelectSelector(
                SelectSelectorConfig(
                    options=[item.value for item in OnError],
                    translation_key=CONF_ON_ERROR,
                )
            )
        }
    )
