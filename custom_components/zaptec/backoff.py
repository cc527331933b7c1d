"""How long to wait before something that failed is tried again."""

from .const import DISCOVERY_INTERVAL

# A pause grows with the outage: by a fifth of it, so that all is back within a fifth
# of the time it was away, and a long outage costs few requests.
PAUSE_SHARE = 0.2

# What failed once is read again after this (seconds).
READ_RETRY = 60.0


def outage_pause(outage: float, shortest: float, longest: float) -> float:
    """Return the seconds until something is tried again that fails for so long."""
    return min(max(outage * PAUSE_SHARE, shortest), longest)


def refusal_pause(outage: float) -> float:
    """Return the seconds until something refused is tried again.

    It may have been a fault of the cloud's, but is likely to last: the pause is as
    long as it has lasted, from a minute to the time of a discovery.
    """
    return min(max(outage, READ_RETRY), DISCOVERY_INTERVAL.total_seconds())
