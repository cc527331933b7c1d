"""Ports of this machine."""

import socket

from .errors import DemoError


def claim(ports: range) -> None:
    """Make sure that nothing listens on any of these ports.

    Raises:
        DemoError: One is in use.
    """
    for port in ports:
        # On macOS an address can be taken beside a program that listens on all
        # of them, which would then answer in our place: so ask as well.
        with socket.socket() as client:
            client.settimeout(1)
            taken = client.connect_ex(("127.0.0.1", port)) == 0
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("127.0.0.1", port))
            except OSError:
                taken = True
        if taken:
            raise DemoError(
                f"Port {port} of this machine is in use; choose others with --port "
                f"(now {ports[0]}, and the next {len(ports) - 1} are needed too)."
            )
