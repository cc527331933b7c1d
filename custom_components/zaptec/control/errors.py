"""Errors of the cloud as errors of Home Assistant, with a text for the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from ..api import (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecServerError,
    outside_of_actions,
)
from ..const import DOMAIN
from ..coordinator import ZaptecCoordinator

# The cloud may have carried it out all the same.
UNCERTAIN_FAILURES = ("cannot_connect", "uncertain")


# The sentences with which the cloud refuses something for good.
_REFUSALS = ("not_permitted", "rejected", "rejected_without_reason")


@contextmanager
def translated_errors(coordinator: ZaptecCoordinator) -> Iterator[None]:
    """Tell a person why the cloud did not do what they asked for."""
    try:
        yield
    except ZaptecAuthenticationError as err:
        with outside_of_actions():
            coordinator.config_entry.async_start_reauth(coordinator.hass)
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="authentication_failed"
        ) from err
    except ZaptecPermissionError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="not_permitted"
        ) from err
    except ZaptecRejectedError as err:
        if err.details is None:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="rejected_without_reason",
                translation_placeholders={"code": str(err.code)},
            ) from err
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="rejected",
            translation_placeholders={"reason": err.details},
        ) from err
    except ZaptecNotSentError as err:
        intercepted = isinstance(err.__cause__, ZaptecInterceptedError)
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="intercepted" if intercepted else "not_sent",
        ) from err
    except ZaptecInterceptedError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="intercepted"
        ) from err
    except ZaptecConnectionError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="cannot_connect"
        ) from err
    except ZaptecBusyError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="cloud_busy"
        ) from err
    except ZaptecServerError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="uncertain"
        ) from err
    except ZaptecError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="command_failed",
            translation_placeholders={"error": str(err)},
        ) from err


def is_refusal(error: HomeAssistantError) -> bool:
    """Return whether it is no use to try again what has failed.

    All else may pass: a network that is down, a cloud that fails, and a password that is
    refused until the user signs in again.
    """
    return (
        isinstance(error, ServiceValidationError) or error.translation_key in _REFUSALS
    )
