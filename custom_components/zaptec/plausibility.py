"""Which energies a charger can have delivered between two moments."""

from datetime import datetime, timedelta

# Maximum power of a charger (kW). The vendor's largest delivers 22 kW, three phases of
# 32 A at 230 V; the rest is for grids of a higher voltage.
POWER_MAX = 25.0

# Energy that is accepted beyond what the time stamps allow (kWh), where they have to
# decide between two explanations: reports are rounded, and stamped a little early or late.
REPORT_SLACK = 0.1

# The same, before a rise is taken for a mistake. One that is smaller is corrected by the
# final energy of the session.
RISE_SLACK = 10.0

# The same, where a charger without a reliable clock may have stamped two reports too
# close together. No car takes more.
CLOCK_SLACK = 100.0

# Chargers report their energy no more often than this, unless something has changed.
REPORT_INTERVAL = timedelta(seconds=10)


def could_be_drawn(
    energy: float, start: datetime, end: datetime, slack: float = CLOCK_SLACK
) -> bool:
    """Return whether a charger can deliver an energy (kWh) between two moments."""
    hours = max((end - start).total_seconds(), 0.0) / 3600
    return energy <= hours * POWER_MAX + slack
