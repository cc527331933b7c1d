"""`python -m simulator`: a Zaptec cloud on this machine."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
import signal
import sys

from .clock import Clock
from .scenario import PastScenario, Scenario, ScenarioError
from .simulator import Simulator


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulator",
        description="A Zaptec cloud on this machine: REST, Service Bus, chargers.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--rest-port", type=int, default=8480, help="0: a free one")
    parser.add_argument("--bus-port", type=int, default=8481, help="0: a free one")
    parser.add_argument(
        "--web-socket-port", type=int, default=8483, help="0: a free one"
    )
    parser.add_argument("--control-port", type=int, default=8482, help="0: a free one")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--scenario", type=Path, help="a .json or .toml file")
    what.add_argument(
        "--chargers", type=int, help="that many, over several installations"
    )
    parser.add_argument(
        "--past",
        type=float,
        metavar="DAYS",
        help="completed sessions of the last so many days",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="simulated seconds per second"
    )
    parser.add_argument(
        "--autoplay", action="store_true", help="cars come and go by themselves"
    )
    parser.add_argument("--tls", action="store_true", help="TLS on the Service Bus")
    return parser


def _scenario(arguments: argparse.Namespace) -> Scenario:
    if arguments.scenario:
        scenario = Scenario.load(arguments.scenario)
    elif arguments.chargers is not None:
        scenario = Scenario.of(arguments.chargers)
    else:
        scenario = Scenario.default()
    if arguments.past is None:
        return scenario
    return scenario.with_past(PastScenario(days=arguments.past))


async def _serve(simulator: Simulator, scenario: Scenario, *, autoplay: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        if autoplay:
            simulator.autoplay.start()
        print(f"API           {simulator.api_url}   (ZAPTEC_API_URL)")
        print(f"Control page  {simulator.control_url}")
        print(f"Service Bus   port {simulator.bus.port}")
        web_socket = simulator.bus.web_socket.number
        print(f"WebSocket     port {web_socket}   (ZAPTEC_WEB_SOCKET_PORT)")
        for account in scenario.accounts:
            print(f"Account       {account.user_name} / {account.password}")
        print("Ctrl-C ends it.", flush=True)
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until interrupted; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.host not in ("127.0.0.1", "localhost"):
        print("The simulator listens on this machine only.", file=sys.stderr)
        return 2
    try:
        scenario = _scenario(options)
        simulator = Simulator(
            scenario,
            clock=Clock(speed=options.speed),
            host=options.host,
            rest_port=options.rest_port,
            bus_port=options.bus_port,
            web_socket_port=options.web_socket_port,
            control_port=options.control_port,
            tls=options.tls,
        )
    except (ScenarioError, ValueError) as err:
        print(err, file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(simulator, scenario, autoplay=options.autoplay))
    except OSError as err:
        print(f"The simulator cannot start: {err.strerror or err}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
