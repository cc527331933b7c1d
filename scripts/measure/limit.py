"""Limits a process to a share of one core, as if it ran on a small computer.

The kernel's own limits (control groups) need rights that many users do not have. So the
process is stopped and continued by signals, which any user may send to its own processes.
"""

import signal
import subprocess
import threading
import time

# Longest time that the process may catch up on what it has not used (s). The shorter,
# the more evenly it runs, as on a slow core; the signals themselves take some 20 µs.
_CREDIT_MAX = 0.002

# Interval between two looks at what the process has used (s).
_LOOK = 0.0005


def cpu_clock(pid: int) -> int:
    """Return the clock of the processor time of a process (`clock_getcpuclockid`).

    Linux derives the number of the clock from that of the process.
    """
    return (~pid << 3) | 2


class Credit:
    """How much processor time a process may use, by what it was given and has used (s)."""

    def __init__(self, share: float, now: float, used: float) -> None:
        """Initialize the credit, which is full."""
        self._share = share
        self._now = now
        self._used = used
        self.left = _CREDIT_MAX

    def update(self, now: float, used: float) -> None:
        """Add the share of the time that has passed, and take off what was used."""
        self.left += self._share * (now - self._now) - (used - self._used)
        self.left = min(self.left, _CREDIT_MAX)
        self._now, self._used = now, used


def hold_to_share(process: subprocess.Popen[bytes], share: float) -> None:
    """Stop and continue a process so that it uses this share of one core, until it ends."""
    clock = cpu_clock(process.pid)
    is_stopped = False
    try:
        credit = Credit(share, time.monotonic(), time.clock_gettime(clock))
        while process.returncode is None:
            credit.update(time.monotonic(), time.clock_gettime(clock))
            if is_stopped is (credit.left > 0):
                # This does nothing if the process has ended, and its number may be that
                # of another one.
                process.send_signal(signal.SIGCONT if is_stopped else signal.SIGSTOP)
                is_stopped = not is_stopped
            time.sleep(_LOOK)
    except OSError:
        # The process has ended.
        return


def run(command: list[str], env: dict[str, str], share: float | None) -> bytes:
    """Run a command with a share of one core, and return what it printed.

    Raises:
        CalledProcessError: The command failed.

    """
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        if share is not None:
            threading.Thread(
                target=hold_to_share, args=(process, share), daemon=True
            ).start()
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return output
