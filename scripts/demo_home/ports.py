"""Check that the demo's ports are free."""

import socket

from .errors import DemoError


def claim(ports: range) -> None:
    """Check that no program listens on any of these ports.

    Raises:
        DemoError: One of the ports is in use.
    """
    for port in ports:
        # On macOS, binding a port on one address succeeds even if another program
        # listens on all addresses, and that program could then receive the
        # connections. So try to connect as well.
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
