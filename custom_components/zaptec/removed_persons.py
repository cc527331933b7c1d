"""What becomes of the statistics of each person that the user has removed.

Home Assistant removes a subentry without asking the integration, so the question is a
repair issue. Until the user answers it, the statistics stay, and the store of the history
has the id of the person: a disabled account has no issues, and asks again once it is
enabled.
"""

from contextlib import suppress
from functools import partial

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import get_metadata
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
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
        issue_id = f"{PERSON_REMOVED}_{person_id}"
        try:
            names = await _async_names(hass, person_id)
        except SQLAlchemyError as err:
            # It is asked at the next start.
            LOGGER.debug("The statistics cannot be read: %s", type(err).__name__)
            return
        if person_id not in statistics.removed:
            # The user has answered an earlier question meanwhile.
            continue
        if not names:
            # The user may have deleted them by hand, instead of answering.
            statistics.forget_removed(person_id)
            ir.async_delete_issue(hass, DOMAIN, issue_id)
            continue
        # The issue does not contain the names, because Home Assistant adds issues to the
        # diagnostics.
        ir.async_create_issue(
            hass,
            DOMAIN,
            issue_id,
            data={"entry_id": entry.entry_id, "person_id": person_id},
            is_fixable=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=PERSON_REMOVED,
        )


async def _async_names(hass: HomeAssistant, person_id: str) -> list[str]:
    """Return the names of the statistics of one person.

    Raises:
        SQLAlchemyError: The database cannot be read.

    """
    ids = person_statistic_ids(person_id)
    found = await get_instance(hass).async_add_executor_job(
        partial(get_metadata, hass, statistic_ids=set(ids))
    )
    return [found[item][1]["name"] or item for item in ids if item in found]


class RemovedPersonFlow(RepairsFlow):
    """Asks whether the statistics of a removed person are kept or deleted."""

    def __init__(self, entry_id: str, person_id: str) -> None:
        """Initialize the flow."""
        self._entry_id = entry_id
        self._person_id = person_id

    async def async_step_init(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask the question."""
        names: list[str] = []
        if RECORDER in self.hass.config.components:
            with suppress(SQLAlchemyError):
                names = await _async_names(self.hass, self._person_id)
        return self.async_show_menu(
            step_id="init",
            menu_options=["keep", "delete"],
            description_placeholders={
                "name": without_markup(
                    ", ".join(names or person_statistic_ids(self._person_id))
                )
            },
        )

    async def async_step_keep(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Keep the statistics."""
        return self._answered()

    async def async_step_delete(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Delete the statistics."""
        if RECORDER in self.hass.config.components:
            get_instance(self.hass).async_clear_statistics(
                person_statistic_ids(self._person_id)
            )
        return self._answered()

    def _answered(self) -> RepairsFlowResult:
        """End the flow, and do not ask again."""
        entry: ZaptecConfigEntry | None = self.hass.config_entries.async_get_entry(
            self._entry_id
        )
        if entry and entry.state is ConfigEntryState.LOADED:
            entry.runtime_data.history.person_statistics.forget_removed(self._person_id)
        return self.async_create_entry(data={})
