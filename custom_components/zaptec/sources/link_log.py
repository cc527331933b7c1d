"""What the log says about one link: when it is lost and when it is back, once each."""

import asyncio

from homeassistant.core import callback

from ..const import LOGGER, PushStatus
from ..outages import Outages
from .feed import HEALTHY_TIME


class LinkLog:
    """The outages of a link, and of the requests for its connection details.

    A connection that ends soon after it was opened does not end an outage. Otherwise a
    service that ends each connection with its first message would fill the log.
    """

    def __init__(self, link_id: str, label: str, outages: Outages) -> None:
        """Initialize the log of a link, with what the link is called in it."""
        self._label = label
        # How an outage names the link, and the requests for its connection details.
        self._link = link_id
        self._details = f"details {link_id}"
        self._outages = outages
        self._is_refusal_logged = False
        # Ends the outage of the link, unless the connection ends before.
        self._end: asyncio.TimerHandle | None = None

    @callback
    def status_changed(
        self, before: PushStatus, status: PushStatus, fault: str | None
    ) -> None:
        """Log a new status, and why the link is not up."""
        self._stop_waiting()
        back = f"Push is back for {self._label}"
        if status is PushStatus.CONNECTED:
            was_refused, self._is_refusal_logged = self._is_refusal_logged, False
            if self._outages.is_ongoing(self._link):
                self._end = asyncio.get_running_loop().call_later(
                    HEALTHY_TIME, self._outages.end, self._link
                )
            elif was_refused:
                LOGGER.info(back)
        elif status is PushStatus.NOT_PERMITTED:
            self._outages.end(self._link, is_back=False)
            if not self._is_refusal_logged:
                self._is_refusal_logged = True
                LOGGER.info(
                    "Push is not permitted for %s. Its chargers are polled,"
                    " unless another link reports them",
                    self._label,
                )
        elif before is not PushStatus.NOT_PERMITTED:
            self._outages.begin(
                self._link,
                f"Push is lost for {self._label}: {fault}",
                back,
            )

    def cloud_reached(self) -> None:
        """Log that the cloud answers again."""
        self._outages.end(self._details)

    def cloud_unreachable(self) -> None:
        """Log that the cloud does not answer."""
        self._outages.begin(
            self._details,
            "The Zaptec cloud cannot be reached",
            "The Zaptec cloud can be reached again",
            is_unreachable=True,
        )

    def close(self) -> None:
        """End the outages of a link that is gone."""
        self._stop_waiting()
        for part in (self._link, self._details):
            self._outages.end(part, is_back=False)

    def _stop_waiting(self) -> None:
        """Let the outage go on."""
        if self._end:
            self._end.cancel()
            self._end = None
