"""What a change stream costs MongoDB, by how many there are: each web process that somebody watches in has one.

    python -m bench.simulations.streams

Not simulated: it starts a MongoDB of its own (Linux). The updates of jobs are written with more and more streams open, each
with the web process's own filter; told is MongoDB's processor time, from the first write until every stream heard of the last.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from pymongo import MongoClient, UpdateOne

from bench.processes import cpu_seconds_of
from devstack import mongod
from devstack.watchdog import Watchdog
from jobs.changes import JOBS, ONLY_NAMES

STREAMS = (0, 1, 4, 16, 32)
WRITES = 3_000
AT_ONCE = 10
PAYLOAD = "x" * 2_000
LAST = "last"
LONGEST_SECONDS = 120


class Listener(Thread):
    """A stream, as a web process has it; `heard` is set once it has heard of the last write."""

    def __init__(self, uri: str, stopped: Event) -> None:
        super().__init__(daemon=True)
        self._uri, self._stopped = uri, stopped
        self.begun, self.heard = Event(), Event()
        self.start()

    def run(self) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(self._uri)
        with client, client["streams"].watch(ONLY_NAMES, max_await_time_ms=1_000) as stream:
            while not self._stopped.is_set():
                change = stream.try_next()
                self.begun.set()
                if change is not None and change["documentKey"]["_id"] == LAST:
                    self.heard.set()


def write(client: MongoClient[dict[str, Any]]) -> None:
    jobs = client["streams"][JOBS]
    for start in range(0, WRITES, AT_ONCE):
        jobs.bulk_write([UpdateOne({"_id": n % 100}, {"$inc": {"version": 1}}) for n in range(start, start + AT_ONCE)])
    jobs.update_one({"_id": LAST}, {"$inc": {"version": 1}})


def measured(uri: str, pid: int, client: MongoClient[dict[str, Any]], streams: int) -> float:
    """MongoDB's processor seconds for 1,000 writes."""
    stopped = Event()
    listeners = [Listener(uri, stopped) for _ in range(streams)]
    if not all(each.begun.wait(LONGEST_SECONDS) for each in listeners):
        raise TimeoutError("a stream did not begin")
    before = cpu_seconds_of(pid)
    write(client)
    if not all(each.heard.wait(LONGEST_SECONDS) for each in listeners):
        raise TimeoutError("a stream has not heard of the last write")
    used = cpu_seconds_of(pid) - before
    stopped.set()
    for each in listeners:
        each.join()
    return used / WRITES * 1_000


def main() -> None:
    with TemporaryDirectory() as place:
        watchdog = Watchdog(Path(place))
        server = mongod.start(Path(place) / "data", watchdog)
        try:
            with MongoClient[dict[str, Any]](server.uri) as client:
                client["streams"][JOBS].insert_many([{"_id": n, "version": 1, "payload": PAYLOAD} for n in [*range(100), LAST]])
                write(client)
                print("| streams | MongoDB's processor time for 1,000 writes |\n|---|---|")
                for streams in STREAMS:
                    print(f"| {streams} | {measured(server.uri, server.process.pid, client, streams):.2f} s |", flush=True)
        finally:
            server.stop()
            watchdog.close()


if __name__ == "__main__":
    main()
