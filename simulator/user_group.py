"""User groups, whose topics carry the messages of several installations."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class UserGroup:
    """A user group of the portal.

    Source: docs.zaptec.com, "Zaptec Service Bus subscriptions": only an owner may read the
    connection details, once the vendor's support has enabled the subscription.

    Attributes:
        owners: The user names of its owners.
        installations: The ids of the installations whose messages its topic carries.
        messaging_enabled: Whether the support has enabled the subscription.
    """

    id: str
    name: str
    bus_key: str = field(repr=False)
    owners: set[str]
    installations: set[str]
    messaging_enabled: bool = True

    @property
    def topic(self) -> str:
        """The Service Bus topic of the group, also the name of its key."""
        return f"usergroup_{self.id}"
