"""What a charger reports whether it charges or not."""

from collections.abc import Callable
from datetime import timedelta

from .electrics import Electrics
from .engine import Engine
from .observations import Family, StateId
from .ocmf import Meter, Reading
from .telemetry import METER_INTERVAL, Telemetry


class PeriodicReports:
    """What a charger reports whether it charges or not: its climate and its meter.

    Attributes:
        started_at: When the charger has started, for its uptime.
        reported_meter: The last meter reading that has reached the cloud, kWh.
        meter_interval: Interval between two meter readings, s.
    """

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        electrics: Electrics,
        *,
        meter: Callable[[], Meter],
        on_reading: Callable[[Reading], None],
        is_mobile: bool,
    ) -> None:
        """Initialize the reports; `start` begins.

        Args:
            engine: The charger's time, timers and chance.
            telemetry: Takes the reports.
            electrics: The meter, and the power that warms the charger.
            meter: Returns the identification in the meter's documents.
            on_reading: Called with each reading that was reported.
            is_mobile: Whether the signal strength is that of a mobile network.
        """
        self.started_at = engine.now() - timedelta(hours=30)
        self.reported_meter = electrics.lifetime_energy
        self.meter_interval = METER_INTERVAL[telemetry.family]
        self._engine = engine
        self._telemetry = telemetry
        self._meter = meter
        self._electrics = electrics
        self._on_reading = on_reading
        self._is_mobile = is_mobile
        self._fiscal_readings = 0

    def start(self) -> None:
        """Report the climate now, and the meter when it is due."""
        self._report_climate()
        self._schedule_meter()

    def set_meter_interval(self, seconds: int) -> None:
        """Change the interval between two meter readings, s."""
        self.meter_interval = seconds
        self._schedule_meter()

    def _report_climate(self) -> None:
        """Report what changes slowly; it follows the clock's hour and the power."""
        now = self._engine.now()
        report, uniform = self._telemetry.report, self._engine.random.uniform
        warmth = 12 + 6 * (1 - abs(now.hour + now.minute / 60 - 14) / 12)
        warmth += self._electrics.power / 1500 + uniform(-0.4, 0.4)
        report(StateId.TEMPERATURE_INTERNAL5, round(warmth + 6, 3))
        report(StateId.TEMPERATURE_INTERNAL6, round(warmth + 1.5, 3))
        report(StateId.HUMIDITY, round(46 - warmth + uniform(-2, 2), 3))
        signal = round(uniform(-68, -60), 0)
        report(StateId.SIGNAL_STRENGTH, signal + 120 if self._is_mobile else signal)
        uptime = (now - self.started_at).total_seconds() / 3600
        if self._telemetry.family is Family.PRO:
            report(StateId.UPTIME, round(uptime, 4))
        self._engine.after("climate", uniform(280, 420), self._report_climate)

    def _schedule_meter(self) -> None:
        now = self._engine.now()
        wait = self.meter_interval - now.timestamp() % self.meter_interval
        self._engine.after("meter", wait + 0.06, self._report_meter)

    def _report_meter(self) -> None:
        self._fiscal_readings += 1
        reading = self._electrics.read()
        if self._telemetry.is_online:
            self.reported_meter = reading.energy
        self._telemetry.observe(
            StateId.SIGNED_METER_VALUE,
            self._meter().fiscal(reading, self._fiscal_readings),
        )
        self._on_reading(reading)
        self._schedule_meter()
