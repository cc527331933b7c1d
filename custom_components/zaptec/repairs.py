"""Repair issues of the Zaptec integration."""

from typing import override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .takeover import async_remove_named


class RemoveEntitiesFlow(ConfirmRepairFlow):
    """Removes the entities that an issue names, once that is confirmed."""

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Remove the entities, or ask first."""
        # The issue may have changed, or gone, since the dialog was opened.
        issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
        if user_input is not None and issue and issue.data:
            async_remove_named(self.hass, issue.data)
        return await super().async_step_confirm(user_input)


async def async_create_fix_flow(
    hass: HomeAssistant,
    issue_id: str,
    data: dict[str, str | int | float | None] | None,
) -> RepairsFlow:
    """Return the flow of an issue that names entities."""
    return RemoveEntitiesFlow()
