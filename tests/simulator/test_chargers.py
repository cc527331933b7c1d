"""Tests that chargers behave as the vendor's do, and that their numbers add up."""

from dataclasses import replace
from datetime import datetime, timedelta
import json
import math
import re

import pytest

from simulator.car import Car
from simulator.charger import Charger, CommandRejectedError
from simulator.clock import Clock
from simulator.installation import NetworkType
from simulator.observations import Mode, StateId
from simulator.scenario import ChargerScenario, InstallationScenario, Scenario
from simulator.simulator import Simulator

from .conftest import START, Listener, by_serial


def charge(charger: Charger, car: Car | None = None) -> None:
    """Plug in a car, and wait until the charger charges at full power."""
    charger.plug_in(car or Car())
    charger.clock.advance(30)
    assert charger.mode == Mode.CHARGING


def alone(
    clock: Clock,
    serial: str = "ZPR000001",
    network: NetworkType = NetworkType.TN_3_PHASE,
    *,
    authentication_required: bool = False,
    stand_alone: bool = False,
) -> Charger:
    """Return the only charger of an installation of 32 A."""
    scenario = Scenario(
        accounts=(),
        installations=(
            InstallationScenario(
                name="Alone",
                network_type=network,
                authentication_required=authentication_required,
                chargers=(
                    ChargerScenario(serial=serial, name="It", stand_alone=stand_alone),
                ),
            ),
        ),
    )
    return by_serial(Simulator(scenario, clock=clock), serial)


def reported_energy(listener: Listener, until: datetime) -> float:
    """Return the integral of the reported power until a moment, kWh."""
    reports = [(item.time, float(item.value or 0)) for item in listener.of(513)]
    ends = [time for time, _ in reports[1:]] + [until]
    return math.fsum(
        power * (end - start).total_seconds() / 3_600_000
        for (start, power), end in zip(reports, ends, strict=True)
    )


def last_meter(ocmf: str) -> float:
    """Return the last reading of an OCMF document, kWh."""
    return float(json.loads(ocmf.split("|")[1])["RD"][-1]["RV"])


def test_a_session_begins_in_the_vendors_order(go: Charger) -> None:
    """Mode 2, cable, session, allocated current, mode 3, then voltages, currents, power."""
    heard = Listener(go)
    go.plug_in(Car())
    go.clock.advance(5)
    expected = [710, 714, 721, 553, 708, 710, 501, 502, 503, 507, 508, 509, 513]
    assert [item for item in heard.ids() if item in expected] == expected
    assert heard.values(710) == ["2", "3"]
    assert heard.values(714) == ["32"]
    assert heard.values(708) == ["25.000"]
    assert heard.values(553) == ["0.000"]


@pytest.mark.parametrize("serial", ["ZAP000001", "ZPR000001"])
@pytest.mark.parametrize("network", NetworkType)
@pytest.mark.parametrize("phases", [1, 3])
def test_power_is_the_sum_of_the_phases_and_energy_its_integral(
    clock: Clock, serial: str, network: NetworkType, phases: int
) -> None:
    """The reported numbers agree with each other at every moment."""
    charger = alone(clock, serial, network)
    heard = Listener(charger)
    before = charger.lifetime_energy
    charger.plug_in(Car(phases=phases, capacity_kwh=9))
    now: dict[int, float] = {
        state_id: float(charger.value(state_id) or 0)
        for state_id in (501, 502, 503, 507, 508, 509)
    }
    clock.advance(2000)
    for item in heard.messages:
        if item.value is None or item.state_id not in range(501, 514):
            continue
        now[item.state_id] = float(item.value)
        if item.state_id == 513:
            power = math.fsum(now[501 + i] * now[507 + i] for i in range(3))
            assert now[513] == pytest.approx(power, abs=0.001)
    energy = reported_energy(heard, clock.now())
    assert energy == pytest.approx(charger.session_energy, abs=0.0005)
    assert charger.lifetime_energy - before == pytest.approx(energy, abs=0.0005)
    active = min(phases, network.phases)
    assert [now[507 + i] > 1 for i in range(3)] == [i < active for i in range(3)]


def test_the_charge_ramps_up_tapers_and_finishes(pro: Charger) -> None:
    """A car takes exactly its capacity, with less and less current at the end."""
    heard = Listener(pro)
    pro.plug_in(Car(capacity_kwh=3))
    pro.clock.advance(3600)
    currents = [float(value or 0) for value in heard.values(507)]
    assert currents[0] < currents[1] < currents[2]
    assert 5.8 <= currents[-2] < max(currents) * 0.8
    assert currents[-1] == 0
    assert heard.values(513)[-1] == "0"
    assert heard.values(553)[-1] == "3"
    assert heard.values(710)[-1] == "5"
    assert pro.session_energy == pytest.approx(3, abs=1e-6)
    assert pro.power == 0


def test_a_cars_own_limits_hold(pro: Charger) -> None:
    """A car draws at most what its onboard charger can, even if it is offered more."""
    charge(pro, Car(max_current=10, phases=1))
    assert 9.5 < float(pro.value(507) or 0) <= 10
    assert (pro.value(508), pro.value(509)) == ("0", "0")


def test_unplugging_a_pro_clears_the_session(pro: Charger) -> None:
    """StateIds 721 and 553 lose their value, but stay listed."""
    charge(pro)
    pro.unplug()
    assert pro.value(710) == "1"
    assert pro.value(513) == "0"
    for state_id in (721, 553):
        assert state_id in pro.observations
        assert pro.value(state_id) is None


def test_a_go_keeps_the_energy_until_the_next_session(go: Charger) -> None:
    """StateId 553 stays after unplugging, and starts again at 0.000."""
    charge(go)
    go.clock.advance(600)
    go.unplug()
    assert go.value(721) is None
    assert go.value(553) == f"{go.session_energy:.3f}"
    assert go.session_energy > 1
    heard = Listener(go)
    go.plug_in(Car())
    go.clock.advance(2)
    assert heard.values(553) == ["0.000"]


@pytest.mark.parametrize(("serial", "parts"), [("ZAP000001", 2), ("ZPR000001", 3)])
def test_a_completed_session_follows_the_unplug(
    clock: Clock, serial: str, parts: int
) -> None:
    """723 comes within 1 to 7 s, signed on a Pro, and ends with the lifetime meter."""
    charger = alone(clock, serial)
    charge(charger)
    session_id = charger.value(721)
    clock.advance(4000)
    charger.unplug()
    gone = clock.now()
    heard = Listener(charger)
    clock.advance(8)
    (completed,) = heard.of(723)
    assert timedelta(seconds=1) <= completed.time - gone <= timedelta(seconds=7.1)
    document = json.loads(completed.value or "")
    assert document["SessionId"] == session_id
    assert document["Energy"] == pytest.approx(charger.session_energy, abs=0.0005)
    assert document["EndDateTime"] == f"{gone:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert len(document["SignedSession"].split("|")) == parts
    assert last_meter(document["SignedSession"]) == pytest.approx(
        charger.lifetime_energy, abs=0.0005
    )
    ocmf = json.loads(document["SignedSession"].split("|")[1])
    assert ocmf["PG"] == "T1"
    assert ("IL" in ocmf) is (parts == 3)
    assert ocmf.get("ZS") == (session_id if parts == 3 else None)
    rows = ocmf["RD"]
    assert rows[0]["TX"] == "B"
    assert rows[-1]["TX"] == "E"
    assert {row["TX"] for row in rows[1:-1]} == {"T"}
    assert [item.id for item in charger.installation.archive] == [session_id]


@pytest.mark.parametrize(
    ("serial", "minutes"), [("ZAP000001", {0}), ("ZPR000001", {0, 15, 30, 45})]
)
def test_the_meter_reports_on_the_hour_or_the_quarter(
    clock: Clock, serial: str, minutes: set[int]
) -> None:
    """554 comes hourly on a Go, every 15 minutes on a Pro."""
    charger = alone(clock, serial)
    heard = Listener(charger)
    clock.advance(7200)
    times = [item.time for item in heard.of(554)]
    assert len(times) == 2 * len(minutes)
    assert {time.minute for time in times} == minutes
    assert {time.second for time in times} == {0}


def test_the_meter_interval_can_be_changed(pro: Charger) -> None:
    """The interval is reported as StateId 555 and used from then on."""
    heard = Listener(pro)
    pro.set_meter_interval(60)
    pro.clock.advance(601)
    assert heard.values(555) == ["60"]
    assert len(heard.of(554)) == 10


def test_pulses_have_no_value_and_two_intervals(go: Charger) -> None:
    """A pulse is sent every 600 s, and every 180 s while charging; a Go reports that as 147."""
    heard = Listener(go)
    go.clock.advance(1800)
    assert len(heard.of(-1)) == 3
    assert all("ValueAsString" not in item.document for item in heard.of(-1))
    go.plug_in(Car())
    go.clock.advance(4 + 1800)
    assert len(heard.of(-1)) == 13
    go.unplug()
    assert heard.values(147) == ["180", "600"]


def test_currents_and_energy_come_at_the_vendors_pace(pro: Charger) -> None:
    """Power is reported about once a minute, 553 every 30 to 60 s, and only when it changes."""
    charge(pro)
    heard = Listener(pro)
    pro.clock.advance(3600)
    assert 50 <= len(heard.of(513)) <= 240
    assert 60 <= len(heard.of(553)) <= 120
    assert len(heard.messages) < 1000


def test_each_family_writes_numbers_its_own_way(go: Charger, pro: Charger) -> None:
    """A Go writes three decimals, a Pro up to four and integers without any."""
    for charger in (go, pro):
        charger.observe(StateId.CURRENT_PHASE1, 0.0215)
        charger.observe(StateId.MAX_CURRENT, 32.0)
        charger.observe(StateId.IS_ENABLED, True)
        charger.observe(StateId.CABLE_TYPE, 32)
    assert [go.value(item) for item in (507, 510, 711, 714)] == [
        "0.021",
        "32.000",
        "1",
        "32",
    ]
    assert [pro.value(item) for item in (507, 510, 711, 714)] == [
        "0.0215",
        "32",
        "1",
        "32",
    ]


def test_a_message_has_the_vendors_form(pro: Charger) -> None:
    """A message has the vendor's field names and order, time format and XML header."""
    bodies: list[bytes] = []
    pro.publish = lambda _, body: bodies.append(body)
    pro.plug_in(Car())
    pro.clock.advance(3600)
    heard = json.loads(bodies[0][bodies[0].index(b"{") : bodies[0].rindex(b"}") + 1])
    assert list(heard) == [
        "DeviceId",
        "DeviceType",
        "ChargerId",
        "StateId",
        "Timestamp",
        "ValueAsString",
    ]
    assert (heard["DeviceId"], heard["DeviceType"]) == ("ZPR000001", 1)
    assert heard["ChargerId"] == pro.id
    for body in bodies:
        assert body.startswith(b"\x40\x06string\x08\x33http://")
        assert body.endswith(b"\x01")
        assert re.search(rb'"Timestamp":"[-0-9]{10}T[:0-9]{8}\.\d{5,7}Z"', body)


def test_two_reports_of_one_thing_are_never_of_the_same_time(pro: Charger) -> None:
    """Timestamps show the order of reports even while the clock stands still."""
    heard = Listener(pro)
    for _ in range(3):
        pro.plug_in(Car())
        pro.unplug()
    times = [item.time for item in heard.of(710)]
    assert len(times) == 6
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert min(gaps) >= timedelta(milliseconds=10)


def test_final_stop_and_resume(pro: Charger) -> None:
    """Commands 506 and 507 report 718 immediately; the mode follows after 5 s and 1 s."""
    charge(pro)
    heard = Listener(pro)
    pro.stop_charging()
    assert heard.values(718) == ["1"]
    assert pro.value(710) == "3"
    pro.clock.advance(4.9)
    assert pro.value(710) == "3"
    pro.clock.advance(0.2)
    assert pro.value(710) == "5"
    assert pro.value(513) == "0"
    pro.resume_charging()
    assert pro.value(718) == "0"
    pro.clock.advance(1.1)
    assert pro.value(710) == "2"
    pro.clock.advance(10)
    assert heard.values(710) == ["5", "2", "3"]


def test_stop_is_rejected_where_it_has_no_effect(pro: Charger) -> None:
    """Command 506 is rejected without a car, and when charging is stopped already."""
    with pytest.raises(CommandRejectedError, match="disconnected"):
        pro.stop_charging()
    charge(pro)
    pro.stop_charging()
    pro.clock.advance(6)
    with pytest.raises(CommandRejectedError, match="Paused"):
        pro.stop_charging()


def test_stop_is_accepted_while_requesting(pro: Charger) -> None:
    """Command 506 is accepted in mode 2, and prevents charging."""
    pro.plug_in(Car())
    pro.stop_charging()
    pro.clock.advance(60)
    assert (pro.value(710), pro.value(718)) == ("5", "1")


def test_a_finished_car_can_be_stopped_for_good(pro: Charger) -> None:
    """Mode 5 alone is no reason to reject 506; afterwards the car's request has no effect."""
    charge(pro, Car(capacity_kwh=0.1))
    pro.clock.advance(600)
    assert (pro.value(710), pro.value(718)) == ("5", "0")
    pro.stop_charging()
    assert pro.value(718) == "1"
    pro.clock.advance(10)
    assert pro.car
    pro.car.capacity_kwh = 20
    pro.set_car_wants(True)
    pro.clock.advance(60)
    assert pro.value(710) == "5"
    pro.resume_charging()
    pro.clock.advance(10)
    assert pro.value(710) == "3"


def test_resume_is_rejected_unless_paused_or_scheduled(pro: Charger) -> None:
    """Command 507 is rejected while idle, while charging, and when the car has finished."""
    with pytest.raises(CommandRejectedError, match="not Paused nor Scheduled"):
        pro.resume_charging()
    charge(pro, Car(capacity_kwh=0.1))
    with pytest.raises(CommandRejectedError):
        pro.resume_charging()
    pro.clock.advance(600)
    assert pro.value(710) == "5"
    with pytest.raises(CommandRejectedError):
        pro.resume_charging()


def test_resume_overrides_a_schedule(pro: Charger) -> None:
    """A charger that waits for its schedule (763) charges immediately after 507."""
    pro.plug_in(Car())
    pro.set_schedule(7200)
    pro.clock.advance(60)
    assert pro.value(710) == "2"
    assert pro.value(763) == "2026-01-05T12:03:00Z"
    pro.resume_charging()
    pro.clock.advance(10)
    assert pro.value(763) is None
    assert pro.value(710) == "3"


def test_a_schedule_ends_by_itself(pro: Charger) -> None:
    """Charging begins at the scheduled time."""
    charge(pro)
    pro.set_schedule(600)
    assert pro.value(710) == "2"
    pro.clock.advance(590)
    assert pro.value(710) == "2"
    pro.clock.advance(20)
    assert pro.value(710) == "3"


def test_deauthorize_works_and_is_rejected_all_the_same(clock: Clock) -> None:
    """The session ends, and the charger waits for authorization, despite the error 528."""
    charger = alone(clock, authentication_required=True)
    charger.plug_in(Car())
    clock.advance(60)
    assert charger.value(710) == "2"
    assert charger.value(721) is None
    charger.authorize()
    clock.advance(10)
    assert charger.value(710) == "3"
    with pytest.raises(CommandRejectedError) as rejection:
        charger.deauthorize_and_stop()
    assert rejection.value.details is None
    assert charger.value(721) is None
    assert charger.value(513) == "0"
    # The charger reports for a moment that the car has left.
    clock.advance(1)
    assert charger.value(710) == "1"
    clock.advance(60)
    assert charger.value(710) == "2"
    assert charger.value(723)
    charger.authorize()
    clock.advance(10)
    assert charger.value(710) == "3"


def test_without_authentication_a_deauthorized_car_is_done(clock: Clock) -> None:
    """The session ends; the next one begins when a car is plugged in."""
    charger = alone(clock)
    charger.plug_in(Car())
    clock.advance(10)
    charger.stop_charging()
    clock.advance(10)
    with pytest.raises(CommandRejectedError):
        charger.deauthorize_and_stop()
    clock.advance(60)
    assert charger.value(710) == "5"
    assert charger.value(718) == "0"
    assert charger.value(721) is None
    charger.unplug()
    charger.plug_in(Car())
    clock.advance(10)
    assert charger.value(710) == "3"


def test_a_car_that_leaves_right_after_its_deauthorization(clock: Clock) -> None:
    """A car that leaves in that moment is not reported again."""
    charger = alone(clock, authentication_required=True)
    charger.plug_in(Car())
    charger.authorize()
    clock.advance(10)
    charger.end_session()
    clock.advance(1)
    charger.unplug()
    clock.advance(60)
    assert charger.value(710) == "1"


def test_a_schedule_in_another_format(pro: Charger) -> None:
    """The text of StateId 763 can be set, because the vendor does not document its format."""
    charge(pro)
    pro.set_schedule(600, "22:00")
    assert pro.value(763) == "22:00"
    pro.resume_charging()
    pro.clock.advance(10)
    assert pro.value(763) is None
    assert pro.value(710) == "3"


def test_resume_needs_a_new_authorization_where_it_is_required(clock: Clock) -> None:
    """After 506 and 507 the charger asks again; the session goes on."""
    charger = alone(clock, authentication_required=True)
    charger.plug_in(Car())
    charger.authorize()
    clock.advance(10)
    session_id = charger.value(721)
    charger.stop_charging()
    clock.advance(6)
    charger.resume_charging()
    clock.advance(60)
    assert charger.value(710) == "2"
    charger.authorize()
    clock.advance(10)
    assert charger.value(710) == "3"
    assert charger.value(721) == session_id


def test_the_installations_current_is_shared(world: Simulator) -> None:
    """Chargers share 40 A equally, also with a third one, and report it as 708."""
    first, second, third = (by_serial(world, f"ZPR00000{n}") for n in (1, 2, 3))
    charge(first, Car(max_current=32))
    assert first.value(708) == "32"
    charge(second, Car(max_current=32))
    assert (first.value(708), second.value(708)) == ("20", "20")
    charge(third, Car(max_current=32))
    assert [item.value(708) for item in (first, second, third)] == ["13.3"] * 3
    first.clock.advance(60)
    total = sum(float(item.value(507) or 0) for item in (first, second, third))
    assert total <= 40
    first.unplug()
    assert (second.value(708), third.value(708)) == ("20", "20")


def test_who_would_get_too_little_gets_nothing(world: Simulator) -> None:
    """With 15 A for three, the latest waits in mode 2, and starts when current is free."""
    chargers = [by_serial(world, f"ZPR00000{n}") for n in (1, 2, 3)]
    installation = chargers[0].installation
    installation.available_current = (15.0,) * 3
    for charger in chargers:
        charger.plug_in(Car())
        charger.clock.advance(30)
    assert [item.value(710) for item in chargers] == ["3", "3", "2"]
    assert [item.allocated_current for item in chargers] == [7.5, 7.5, 0]
    installation.available_current = (5.0,) * 3
    installation.rebalance()
    assert [item.value(710) for item in chargers] == ["2", "2", "2"]
    assert [item.power for item in chargers] == [0, 0, 0]
    installation.available_current = (60.0,) * 3
    installation.rebalance()
    world.clock.advance(5)
    assert [item.value(710) for item in chargers] == ["3", "3", "3"]


def test_a_circuits_fuse_limits_its_chargers(clock: Clock) -> None:
    """A circuit of 16 A limits its chargers in an installation of 60 A."""
    scenario = Scenario(
        accounts=(),
        installations=(
            InstallationScenario(
                name="Two circuits",
                max_current=60,
                circuits=(16, 20),
                chargers=(
                    ChargerScenario(serial="ZPR000001", name="1", circuit=0),
                    ChargerScenario(serial="ZPR000002", name="2", circuit=0),
                    ChargerScenario(serial="ZPR000003", name="3", circuit=1),
                ),
            ),
        ),
    )
    chargers = list(Simulator(scenario, clock=clock).chargers.values())
    for charger in chargers:
        charge(charger, Car(max_current=32))
    assert [item.allocated_current for item in chargers] == [8, 8, 20]


def test_a_circuit_without_room_for_all_leaves_the_latest_out(clock: Clock) -> None:
    """The latest charger gets nothing, even if the installation has current left."""
    scenario = Scenario(
        accounts=(),
        installations=(
            InstallationScenario(
                name="A small circuit",
                max_current=60,
                circuits=(10,),
                chargers=(
                    ChargerScenario(serial="ZPR000001", name="1"),
                    ChargerScenario(serial="ZPR000002", name="2"),
                ),
            ),
        ),
    )
    first, second = Simulator(scenario, clock=clock).chargers.values()
    for charger in (first, second):
        charger.plug_in(Car(max_current=32))
        clock.advance(30)
    assert [first.allocated_current, second.allocated_current] == [10, 0]


def test_a_prioritized_session_comes_first(world: Simulator) -> None:
    """The session gets the requested current, and the others share the rest."""
    first, second, third = (by_serial(world, f"ZPR00000{n}") for n in (1, 2, 3))
    for charger in (first, second, third):
        charge(charger, Car(max_current=32))
    assert third.session
    third.session.prioritized_current = 20.0
    third.installation.rebalance()
    assert [item.allocated_current for item in (first, second, third)] == [10, 10, 20]


def test_maximum_current_zero_stops_without_a_final_stop(go: Charger) -> None:
    """With 510=0 charging stops in mode 2 while 718 stays; a higher current starts it again."""
    charge(go)
    go.set_max_current(0)
    assert (go.value(510), go.value(513), go.value(710)) == ("0.000", "0.000", "2")
    assert go.value(718) == "0"
    go.set_max_current(10)
    go.clock.advance(20)
    assert (go.value(710), go.value(708)) == ("3", "10.000")
    assert 9 < float(go.value(507) or 0) <= 10
    go.set_min_current(12)
    assert (go.value(511), go.value(710)) == ("12.000", "2")


def test_a_car_that_does_not_want_finishes_and_may_start_later(pro: Charger) -> None:
    """With a timer in the car the mode is 5, and 3 once the car asks for charge."""
    pro.plug_in(Car(wants=False))
    pro.clock.advance(60)
    assert (pro.value(710), pro.value(718)) == ("5", "0")
    pro.set_car_wants(True)
    pro.clock.advance(10)
    assert pro.value(710) == "3"
    pro.set_car_wants(False)
    assert (pro.value(710), pro.value(513)) == ("5", "0")


def test_an_offline_charger_is_frozen_in_the_cloud(pro: Charger) -> None:
    """An offline charger continues to charge, and sends its reports when it is back."""
    charge(pro)
    heard = Listener(pro)
    frozen = dict(pro.observations)
    pro.set_offline()
    pro.clock.advance(1800)
    assert heard.ids() == [-2]
    assert {key for key in frozen if pro.observations[key] != frozen[key]} == {-2}
    pro.unplug()
    pro.clock.advance(10)
    assert pro.value(710) == "3"
    pro.set_online()
    assert heard.values(-2) == ["0", "1"]
    assert pro.value(710) == "1"
    assert json.loads(pro.value(723) or "")["Energy"] > 4
    assert heard.of(710)[0].time < heard.of(-2)[1].time
    assert pro.session_energy > 4


def test_an_offline_charger_keeps_its_share(world: Simulator) -> None:
    """The current of an offline charger is not given to others."""
    first, second = (by_serial(world, f"ZPR00000{n}") for n in (1, 2))
    charge(first, Car(max_current=32))
    first.set_offline()
    charge(second, Car(max_current=32))
    assert (first.allocated_current, second.allocated_current) == (32, 8)


def test_a_stand_alone_charger_ignores_the_cloud(clock: Clock) -> None:
    """With 712=1 the charger uses its own current, and commands have no effect."""
    charger = alone(clock, stand_alone=True)
    charge(charger)
    assert (charger.value(712), charger.value(708)) == ("1", "10")
    charger.stop_charging()
    clock.advance(30)
    assert (charger.value(710), charger.value(718)) == ("3", "0")
    charger.installation.available_current = (0.0,) * 3
    charger.installation.rebalance()
    assert charger.value(710) == "3"
    charger.set_stand_alone(False)
    assert charger.value(710) == "2"


@pytest.mark.parametrize(
    ("network", "phases"),
    [
        (NetworkType.TN_3_PHASE, "4"),
        (NetworkType.TN_1_PHASE, "1"),
        (NetworkType.IT_3_PHASE, "9"),
        (NetworkType.IT_1_PHASE, "8"),
    ],
)
def test_set_phases_names_the_network(
    clock: Clock, network: NetworkType, phases: str
) -> None:
    """StateId 519 is a PhaseId of TN or IT; unused phases show stray voltages."""
    charger = alone(clock, network=network)
    charge(charger)
    assert charger.value(519) == phases
    assert charger.value(715) == str(network.value)
    assert (float(charger.value(502) or 0) < 10) == (network.phases == 1)


def test_phase_switching(clock: Clock, pro: Charger, go: Charger) -> None:
    """Below the switch current a Pro or Go 2 charges on one phase; a Go never does."""
    go_2 = alone(clock, serial="GPN000302")
    for charger in (pro, go, go_2):
        charger.installation.three_to_one_phase_switch_current = 20.0
        charger.installation.available_current = (16.0,) * 3
        charge(charger)
    assert (pro.value(519), pro.value(508)) == ("1", "0")
    assert go.value(519) == "4"
    assert go_2.value(519) == "1"
    pro.installation.three_to_one_phase_switch_current = 0.0
    pro.remeasure()
    pro.clock.advance(2)
    assert pro.value(519) == "4"
    pro.set_max_phases(1)
    pro.clock.advance(2)
    assert (pro.value(519), pro.value(508), pro.value(520)) == ("1", "0", "1")


def test_restart(pro: Charger) -> None:
    """After command 102 the charger is offline for half a minute, then resumes the session."""
    charge(pro)
    session_id = pro.value(721)
    heard = Listener(pro)
    pro.restart()
    pro.clock.advance(2)
    assert pro.value(-2) == "0"
    assert pro.power == 0
    pro.clock.advance(30)
    assert pro.value(-2) == "1"
    assert pro.value(811) == "1"
    pro.clock.advance(10)
    assert heard.values(-2) == ["0", "1"]
    assert (pro.value(710), pro.value(721)) == ("3", session_id)


def test_upgrade(pro: Charger) -> None:
    """Command 200 installs the new version with a restart; without one it does nothing."""
    heard = Listener(pro)
    pro.upgrade_firmware()
    pro.clock.advance(120)
    assert heard.values(911) == [pro.available_firmware]
    assert pro.firmware == pro.available_firmware
    pro.upgrade_firmware()
    pro.clock.advance(120)
    assert heard.values(-2) == ["0", "1"]


def test_an_upgraded_go_reports_each_of_its_versions(clock: Clock) -> None:
    """An upgraded Go reports 908, 911 and 916."""
    charger = alone(clock, "ZAP000001")
    charger.firmware = "2.4.0.0"
    charger.upgrade_firmware()
    clock.advance(120)
    versions = {charger.value(item) for item in (908, 911, 916)}
    assert versions == {charger.available_firmware}


def test_a_charger_without_the_cloud_uses_its_offline_current(pro: Charger) -> None:
    """A car that is plugged in while offline gets that current, and its share later."""
    pro.set_offline_current(10)
    pro.set_offline()
    pro.set_offline()
    pro.plug_in(Car())
    pro.clock.advance(60)
    assert (pro.mode, pro.allocated_current) == (Mode.CHARGING, 10)
    pro.set_online()
    pro.set_online()
    assert (pro.value(710), pro.value(708)) == ("3", "32")
    assert pro.installation.archive == []


def test_a_car_unplugged_while_stopped_leaves_no_final_stop(pro: Charger) -> None:
    """The next car is not affected by the stop, and charges."""
    charge(pro)
    pro.stop_charging()
    pro.unplug()
    assert pro.value(718) == "0"
    pro.clock.advance(60)
    assert pro.value(710) == "1"
    charge(pro)


def test_anything_can_be_put_on_the_bus(pro: Charger) -> None:
    """Raw bodies are published without a change."""
    bodies: list[bytes] = []
    pro.publish = lambda _, body: bodies.append(body)
    pro.publish_raw(b"\x00 damaged")
    assert bodies == [b"\x00 damaged"]


def test_a_person_cannot_plug_twice(pro: Charger) -> None:
    """A second car, and a car that cannot exist, are refused."""
    with pytest.raises(ValueError, match="no car"):
        pro.unplug()
    with pytest.raises(ValueError, match="no car"):
        pro.set_car_wants(True)
    pro.plug_in(Car())
    with pytest.raises(ValueError, match="has a car"):
        pro.plug_in(Car())
    with pytest.raises(ValueError, match="phases"):
        Car(phases=2)
    with pytest.raises(ValueError, match="6 A"):
        Car(max_current=3)


def test_a_quick_change_of_cars_keeps_the_sessions_apart(pro: Charger) -> None:
    """The next car may be plugged in before 723 of the previous session is reported."""
    charge(pro)
    heard = Listener(pro)
    pro.unplug()
    pro.plug_in(Car())
    pro.clock.advance(20)
    pro.unplug()
    pro.clock.advance(10)
    sessions = [json.loads(value or "")["SessionId"] for value in heard.values(723)]
    assert len(set(sessions)) == 2


def test_the_same_scenario_behaves_the_same(scenario: Scenario) -> None:
    """The seed and the clock determine all that chargers report."""

    def play() -> list[object]:
        simulator = Simulator(scenario, clock=Clock(START, speed=0))
        heard = Listener(*simulator.chargers.values())
        simulator.autoplay.start()
        simulator.clock.advance(1200)
        return [item.document for item in heard.messages]

    first, second = play(), play()
    assert first == second
    assert len(first) > 100


def test_autoplay_has_always_something_to_see() -> None:
    """A car arrives within seconds, one always asks or charges from then on, and sessions end."""
    simulator = Simulator(clock=Clock(START, speed=0))
    simulator.autoplay.start()
    assert [charger.mode for charger in simulator.chargers.values() if charger.car]
    simulator.clock.advance(30)
    for _ in range(180):
        simulator.clock.advance(10)
        modes = [charger.mode for charger in simulator.chargers.values()]
        assert any(mode in (Mode.REQUESTING, Mode.CHARGING) for mode in modes)
    sessions = [
        item for place in simulator.installations.values() for item in place.archive
    ]
    assert len(sessions) > 20
    assert {item.installation_id for item in sessions} == set(simulator.installations)
    assert max(item.energy for item in sessions) <= 0.5001
    simulator.autoplay.stop()
    assert not simulator.autoplay.is_playing


def test_autoplay_has_drivers_with_cards() -> None:
    """Where sessions must be authorized, the drivers of the installation charge."""
    simulator = Simulator(clock=Clock(START, speed=0))
    home, cooperative = simulator.installations.values()
    home.authentication_required = cooperative.authentication_required = True
    simulator.autoplay.start()
    simulator.clock.advance(3600)
    assert home.archive
    assert {item.user for item in home.archive} == {None}
    sessions = cooperative.archive
    assert not any(item.is_anonymous for item in sessions)
    names = {item.user.full_name for item in sessions if item.user}
    assert names == {driver.full_name for driver in cooperative.drivers}
    cards = {item.card for item in sessions}
    assert cards == {None, *(driver.cards[0] for driver in cooperative.drivers[:3])}


@pytest.mark.parametrize("speed", [0.0, 1.0, 20.0])
def test_autoplay_begins_with_a_free_charger(speed: float) -> None:
    """The first charger stays free for ten minutes of real time, so that a user can try it."""
    clock = Clock(START, speed=0)
    simulator = Simulator(clock=clock)
    clock.speed = speed
    first, *others = simulator.chargers.values()
    heard = Listener(first)
    simulator.autoplay.start()
    clock.advance(599 * max(1, speed))
    assert StateId.CABLE_TYPE not in heard.ids()
    assert any(charger.car for charger in others)
    clock.advance(120)
    assert StateId.CABLE_TYPE in heard.ids()


def test_autoplay_leaves_everything_as_it_is_while_paused() -> None:
    """The user's car stays, and no other arrives, until the play is resumed."""
    simulator = Simulator(clock=Clock(START, speed=0))
    play = simulator.autoplay
    play.pause()
    assert not play.is_paused
    play.start()
    simulator.clock.advance(120)
    play.pause()
    assert play.is_paused
    assert not play.is_playing
    cars = [charger.car for charger in simulator.chargers.values()]
    simulator.clock.advance(3600)
    assert [charger.car for charger in simulator.chargers.values()] == cars
    play.start()
    assert not play.is_paused
    simulator.clock.advance(3600)
    assert [charger.car for charger in simulator.chargers.values()] != cars
    play.pause()
    play.stop()
    assert not play.is_paused


@pytest.mark.parametrize("car", [Car(), Car(phases=1), Car(max_current=6, phases=1)])
def test_no_power_beside_an_empty_session(go: Charger, pro: Charger, car: Car) -> None:
    """The session's energy is above 0 once the power has ramped up, each time."""
    for charger in (go, pro):
        for _ in range(2):
            heard = Listener(charger)
            charger.plug_in(replace(car))
            charger.clock.advance(300)
            powers = energies = 0
            energy = 0.0
            for item in heard.messages:
                if item.state_id == StateId.SESSION_ENERGY:
                    energy = float(item.value or 0)
                    energies += 1
                if item.state_id == StateId.TOTAL_CHARGE_POWER:
                    powers += 1
                    # The last digit of a small current's session takes longer.
                    assert energy > 0 or powers == 1 or float(item.value or 0) < 1000
            assert powers > 3
            assert energies > 3
            charger.unplug()
            charger.clock.advance(10)


def test_many_chargers_charge_for_an_hour() -> None:
    """Each of 130 chargers delivers the energy that its meter counts."""
    simulator = Simulator(Scenario.of(130), clock=Clock(START, speed=0))
    chargers = list(simulator.chargers.values())
    before = [charger.lifetime_energy for charger in chargers]
    for charger in chargers:
        charger.plug_in(Car())
    simulator.clock.advance(3600)
    for charger, meter in zip(chargers, before, strict=True):
        assert charger.mode == Mode.CHARGING
        assert charger.lifetime_energy - meter == pytest.approx(charger.session_energy)
        assert charger.car
        assert charger.car.charged_kwh == pytest.approx(charger.session_energy, abs=0.2)
        assert charger.session_energy == pytest.approx(11, abs=0.6)


def test_a_removed_charger_is_silent(world: Simulator, pro: Charger) -> None:
    """A removed charger reports nothing more, and the others get its current."""
    charge(pro)
    heard = Listener(pro)
    world.remove_charger(pro.id)
    world.clock.advance(3600)
    assert heard.messages == []
    assert pro not in pro.installation.chargers
    assert pro.id not in world.chargers
