"""MongoDB on the laptop: found, started as a replica set of one member, its data kept over restarts.

A replica set, because transactions and change streams need one.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from devstack.errors import StackError
from devstack.server import Server, free_port
from devstack.watchdog import Watchdog

START_SECONDS = 60
PORT_TRIES = 5
CACHE_GIGABYTES = "0.25"
"""MongoDB's least."""
REPLICA_SET = "rs0"
PACKAGE_OF_LIBRARY = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3"}
"""Debian's packages of the libraries that the wheel's mongod does not bring along."""
_MISSING_LIBRARY = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
_ADDRESS_IN_USE = "Address already in use"
_NOT_INITIALIZED = 94


def find() -> Path:
    """The `mongod` to run: the one on the PATH, else the one in the wheel that `requirements-dev.in` names.

    Raises:
        StackError: this machine has none.
    """
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    if bundled := _in_wheel():
        if not os.access(bundled, os.X_OK):
            bundled.chmod(0o755)  # wheels may lose the bit
        return bundled
    raise StackError("MongoDB is not on this machine: install `mongod`, or set MONGODB_URI to one that runs elsewhere.")


def _in_wheel() -> Path | None:
    found = find_spec("fiftyone")  # a namespace without code of its own: nothing of it is imported
    for place in (found.submodule_search_locations or []) if found else []:
        if (program := Path(place, "db", "bin", "mongod")).is_file():
            return program
    return None


class Mongod(Server):
    """A running MongoDB. `uri` is its address; it is primary of its replica set."""

    def __init__(self, data: Path, watchdog: Watchdog, *options: str) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        program = [str(find()), "--replSet", REPLICA_SET, "--bind_ip", "127.0.0.1", "--port", str(self.port)]
        program += ["--dbpath", str(data), "--wiredTigerCacheSizeGB", CACHE_GIGABYTES, "--nounixsocket", "--quiet", *options]
        super().__init__("MongoDB", watchdog.command(program, "store"), data.parent / "mongod.log")

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={REPLICA_SET}"

    def fault(self) -> StackError:
        output = self.log.read_text(errors="replace")
        if missing := _MISSING_LIBRARY.search(output):
            library = missing.group(1)
            package = PACKAGE_OF_LIBRARY.get(library, library)
            return StackError(f"MongoDB needs the library {library} of your system: install the package {package}.")
        if "DBPathInUse" in output:
            return StackError(f"MongoDB's data is in use by another mongod (log: {self.log}).")
        return super().fault()

    def became_primary(self) -> bool:
        """Wait until it takes writes. False if its port was taken by somebody else in the meantime.

        Raises:
            StackError: it ended, or needs longer than a minute.
        """
        deadline = time.monotonic() + START_SECONDS
        with MongoClient[dict[str, Any]]("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=250) as client:
            while self.is_running:
                if _is_primary(client, f"127.0.0.1:{self.port}"):
                    return True
                if time.monotonic() > deadline:
                    self.stop()
                    raise self.fault()
        if _ADDRESS_IN_USE in self.log.read_text(errors="replace"):
            return False
        raise self.fault()


def start(data: Path, watchdog: Watchdog, *options: str) -> Mongod:
    """Start MongoDB on a free port of the loopback address with its data under `data`; it takes writes on return.

    It gets `options` besides.

    Raises:
        StackError: it can't start; the message says what to do.
    """
    for _ in range(PORT_TRIES):
        mongod = Mongod(data, watchdog, *options)
        try:
            if mongod.became_primary():
                return mongod
        except BaseException:
            mongod.stop()
            raise
    raise StackError("MongoDB found no free port on 127.0.0.1; free one, or set MONGODB_URI.")


def _is_primary(client: MongoClient[dict[str, Any]], address: str) -> bool:
    """One step towards a primary at `address`: look, and name the member by its address where that is not so yet."""
    try:
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary") and hello.get("me") == address:
            return True
        _name_member(client, address)
    except PyMongoError:
        pass
    time.sleep(0.05)
    return False


def _name_member(client: MongoClient[dict[str, Any]], address: str) -> None:
    """Make the replica set one member at `address`. The set remembers its port of an earlier run."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": address}]})
        return
    if [member["host"] for member in config["members"]] != [address]:
        config["members"] = [{"_id": 0, "host": address}]
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)
