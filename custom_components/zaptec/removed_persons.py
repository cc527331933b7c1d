"""What becomes of the statistics of each person that the user has removed.

Home Assistant removes a subentry without asking the integration, so the question is a
repair issue. Until the user answers it, the statistics stay.
"""

from contextlib import suppress
from functools import partial

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import get_metadata
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from sqlalchemy.exc import SQLAlchemyError

from .const import DOMAIN, LOGGER, RECORDER
from .history.statistics import person_statistic_ids
from .runtime import ZaptecConfigEntry
from .texts import without_markup

# The key of the issue, with which its id begins.
PERSON_REMOVED = "person_removed"


@callback
def async_follow_persons(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Follow the persons of an account, and ask about those that were removed."""
    history = entry.runtime_data.history
    history.follow_persons()
    if history.person_statistics.removed:
        entry.async_create_background_task(
            hass, _async_ask(hass, entry), f"{DOMAIN} removed persons"
        )


async def _async_ask(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Create an issue for each person that was removed."""
    statistics = entry.runtime_data.history.person_statistics
    for person_id in sorted(statistics.removed):
        try:
            name = await _async_name(hass, person_id)
        except SQLAlchemyError as err:
            # It is asked at the next start.
            LOGGER.debug("The statistics cannot be read: %s", type(err).__name__)
            return
        if name is not None:
            # The issue does not contain the name: Home Assistant stores such issues, and
            # adds them to the diagnostics.
            ir.async_create_issue(
                hass,
                DOMAIN,
                f"{PERSON_REMOVED}_{person_id}",
                data={"entry_id": entry.entry_id, "person_id": person_id},
                is_fixable=True,
                # It is asked once, so the question has to survive a restart.
                is_persistent=True,
                severity=ir.IssueSeverity.WARNING,
                translation_key=PERSON_REMOVED,
            )
        statistics.forget_removed(person_id)


async def _async_name(hass: HomeAssistant, person_id: str) -> str | None:
    """Return the name of the statistics of one person, None if there are none.

    Raises:
        SQLAlchemyError: The database cannot be read.

    """
    ids = person_statistic_ids(person_id)
    found = await get_instance(hass).async_add_executor_job(
        partial(get_metadata, hass, statistic_ids=set(ids))
    )
    names = [found[item][1]["name"] or item for item in ids if item in found]
    return names[0] if names else None


class RemovedPersonFlow(RepairsFlow):
    """Asks whether the statistics of a removed person are kept or deleted."""

    def __init__(self, person_id: str) -> None:
        """Initialize the flow."""
        self._person_id = person_id

    async def async_step_init(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask the question."""
        name = None
        if RECORDER in self.hass.config.components:
            with suppress(SQLAlchemyError):
                name = await _async_name(self.hass, self._person_id)
        return self.async_show_menu(
            step_id="init",
            menu_options=["keep", "delete"],
            description_placeholders={
                "name": without_markup(name or person_statistic_ids(self._person_id)[0])
            },
        )

    async def async_step_keep(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Keep the statistics."""
        return self.async_create_entry(data={})

    async def async_step_delete(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Delete the statistics."""
        if RECORDER in self.hass.config.components:
            get_instance(self.hass).async_clear_statistics(
                person_statistic_ids(self._person_id)
            )
        return self.async_create_entry(data={})
