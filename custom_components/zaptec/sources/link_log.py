"""What the log says about one link: when it is lost and when it is back, once each."""

from ..const import LOGGER, PushStatus
from ..outages import Outages


class LinkLog:
    """The outages of a link, and of the requests for its connection details."""

    def __init__(self, link_id: str, label: str, outages: Outages) -> None:
        """Initialize the log of a link, with what the link is called in it."""
        self._label = label
        # How an outage names the link, and the requests for its connection details.
        self._link = link_id
        self._details = f"details {link_id}"
        self._outages = outages
        self._is_refusal_logged = False

    def status_changed(
        self, before: PushStatus, status: PushStatus, fault: str | None
    ) -> None:
        """Log a new status, and why the link is not up."""
        back = f"Push is back for {self._label}"
        if status is PushStatus.CONNECTED:
            was_refused, self._is_refusal_logged = self._is_refusal_logged, False
            if not self._outages.end(self._link) and was_refused:
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
        for part in (self._link, self._details):
            self._outages.end(part, is_back=False)
