"""Nothing outlives the process that started it, even if that one is killed with -9.

Every process of the stack writes its id to a list before it becomes what it is to be. A small process of its own looks whether
the owner of the list is still there; once it is not, it ends what stands on the list: first the `app` processes, which may want
to write down where they are, then the `store` ones that they write to. (Linux could do this by PR_SET_PDEATHSIG, macOS can't.)
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Literal

Role = Literal["app", "store"]
GONE = "gone"
"""The word of a line of the list that takes an earlier one back."""
GRACE_SECONDS = 25
LOOK_SECONDS = 0.25


class Watchdog:
    """Watches this process on behalf of what it starts by `command` or `shell`. Close it when all of that has ended."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._list = directory.resolve() / "processes"
        self._list.write_text("")
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(os.getpid()), str(self._list)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal is not for it
        )

    def command(self, words: list[str], role: Role) -> list[str]:
        """`words` as a command that stands on the list. Start it in a session of its own."""
        return ["/bin/sh", "-c", f'echo {role} $$ >> "$0" && exec "$@"', str(self._list), *words]

    def shell(self, line: str, role: Role) -> str:
        """The shell's `line` (one command) as one that stands on the list. Start it in a session of its own."""
        return f"echo {role} $$ >> {shlex.quote(str(self._list))} && exec {line}"

    def forget(self, leader: int) -> None:
        """This process has ended: its id may soon be somebody else's."""
        with self._list.open("a") as listing:
            listing.write(f"{GONE} {leader}\n")

    def end(self, role: Role) -> None:
        """End everything of that role, as the death of this process would."""
        end_listed(self._list, role)

    def close(self) -> None:
        """Everything has ended: forget the list, look no more."""
        self._list.write_text("")
        self._process.communicate(b".")


def wait_for_death(owner: int, pipe: IO[bytes]) -> None:
    """Return when the process `owner`, our parent, has died or says by the pipe that it is done.

    The pipe's end alone would not do: whatever the owner forked holds its other end too.
    """
    while os.getppid() == owner:
        readable, _, _ = select.select([pipe], [], [], LOOK_SECONDS)
        if readable:
            return


def end_listed(processes: Path, role: Role) -> None:
    """End the process groups of that role on the list: ask, wait `GRACE_SECONDS` at most, kill."""
    if processes.exists():
        listed: dict[int, str] = {}
        for line in processes.read_text().splitlines():
            word, leader = line.split()
            listed[int(leader)] = word
        end_groups([leader for leader, word in listed.items() if word == role])


def end_groups(leaders: list[int]) -> None:
    """End these process groups; on return they have ended or been killed."""
    for leader in leaders:
        signal_group(leader, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(signal_group(leader, 0) for leader in leaders) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS / 5)
    for leader in leaders:
        signal_group(leader, signal.SIGKILL)


def signal_group(leader: int, number: int) -> bool:
    """Whether the group was there to take the signal."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    owner, processes = int(sys.argv[1]), Path(sys.argv[2])
    wait_for_death(owner, sys.stdin.buffer)
    end_listed(processes, "app")
    end_listed(processes, "store")


if __name__ == "__main__":
    main()
