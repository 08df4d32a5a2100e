"""A server of the laptop's stack: a process that this one started, and ends."""

from __future__ import annotations

import secrets
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from devstack.errors import StackError

STOP_SECONDS = 25
PORTS = range(20_000, 30_000)
"""Below those that systems give to whoever asks for any."""
PORTS_TRIED = 100


class Server:
    """A started process with its log. `stop` it, or leave that to the watchdog."""

    def __init__(self, name: str, command: list[str], log: Path, *, pass_fds: tuple[int, ...] = ()) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,  # a Ctrl-C at the terminal ends the stack in its own order
            )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def fault(self) -> StackError:
        """Why it does not run: the end of its log, in one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return StackError(f"{self.name} did not start: {lines[-1].strip() if lines else 'it said nothing'} (log: {self.log})")

    def stop(self) -> None:
        """End it; on return it has ended."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """A port of the loopback address that nobody listens on just now, and that nobody is given before it is listened on."""
    for port in secrets.SystemRandom().sample(PORTS, PORTS_TRIED):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StackError(f"no port between {PORTS[0]} and {PORTS[-1]} of this machine seems to be free")
