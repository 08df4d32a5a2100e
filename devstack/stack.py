"""The whole of Pressroom on one laptop: MongoDB, SQS, the queues, every process of the Procfile."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import boto3

from devstack import mongod, sqs_server
from devstack.errors import StackError
from devstack.processes import Processes, read_procfile
from devstack.server import free_port
from devstack.stopping import ignore_signals, stop_on_signals
from devstack.watchdog import Watchdog
from queues.provision import apply
from settings import CHECKOUT, settings

QUIET_SECONDS = 0.5
CHATTER_SECONDS = 10
"""How long the addresses wait for a pause in what the processes say, so that they don't scroll away."""
HOME = CHECKOUT / ".dev"
PROCFILE = CHECKOUT / "Procfile"
FLOWER_PORT = 5_555
SHARED = (
    *("MONGODB_URI", "MONGODB_DATABASE", "QUEUE_PREFIX", "MEDIA_BUCKET", "AUTH", "ALLOW_PRIVATE_URLS", "PUBLIC_URL"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)
"""What another shell must know to work with the stack."""


def up(home: Path = HOME, procfile: Path = PROCFILE, *, throwaway: bool = False) -> int:
    """Run the stack until it is told to stop, its parent dies, or one of its processes can't be kept running; the exit code.

    `home` holds its data, logs and `env`, the file of its addresses. With `throwaway` the data is deleted before and after.

    Raises:
        StackError: it can't start; the message says what to do.
    """
    stop_on_signals()
    commands = read_procfile(procfile)
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as tidying:
        tidying.enter_context(_lock(home))
        _check_port(port := _port())
        watchdog = Watchdog(home)
        tidying.callback(watchdog.close)
        if throwaway:
            _delete_data(home)
            tidying.callback(_delete_data, home)
        environment = _start_servers(home, port, watchdog, tidying)
        _provision(environment)
        tidying.enter_context(_published(home / "env", environment))
        processes = Processes(commands, environment, watchdog)
        flower = f"http://127.0.0.1:{environment['FLOWER_PORT']}" if "flower" in commands else None
        processes.each_look = _Announcement(port, environment["PUBLIC_URL"], flower, processes)
        processes.loop()
        ignore_signals()
        _say("Stopping MongoDB and SQS …")
    if processes.fault:
        print(f"make up: {processes.fault}", file=sys.stderr, flush=True)
        code = processes.returncode or 1
        return code if 0 < code < 256 else 1
    return 0


def _start_servers(home: Path, port: int, watchdog: Watchdog, tidying: ExitStack) -> dict[str, str]:
    """Start what the environment does not name; the environment of the processes."""
    environment = dict(os.environ)
    if not environment.get("MONGODB_URI"):
        _say("Starting MongoDB …")
        database = mongod.start(home / "mongodb", watchdog)
        tidying.callback(database.stop)
        environment["MONGODB_URI"] = database.uri
    _say(f"MongoDB   {environment['MONGODB_URI']}")
    if not names_sqs(environment):
        _say("Starting SQS …")
        queues = sqs_server.start(home, watchdog)
        tidying.callback(queues.stop)
        environment = {**without_aws(environment), **sqs_server.environment(queues.endpoint)}
    _say(f"SQS       {environment.get('AWS_ENDPOINT_URL_SQS') or environment.get('AWS_ENDPOINT_URL')}")
    return environment | {
        "MONGODB_DATABASE": environment.get("MONGODB_DATABASE") or "pressroom",
        "AUTH": environment.get("AUTH") or "off",
        "ALLOW_PRIVATE_URLS": environment.get("ALLOW_PRIVATE_URLS") or "on",
        "PORT": str(port),
        "FLOWER_PORT": environment.get("FLOWER_PORT") or str(_port_for_flower()),
        "PUBLIC_URL": environment.get("PUBLIC_URL") or f"http://127.0.0.1:{port}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
    }


def names_sqs(environment: Mapping[str, str]) -> bool:
    """Whether the environment says where SQS is."""
    return bool(environment.get("AWS_ENDPOINT_URL") or environment.get("AWS_ENDPOINT_URL_SQS"))


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what leads to a real account, or to another stack's queues."""
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "SQS_")) or name in SQS_MANNERS}


SQS_MANNERS = frozenset({"SQS_WAIT_TIME_SECONDS", "SQS_MAX_MESSAGES"})
"""How SQS is asked; the others say where it is."""


def _provision(environment: Mapping[str, str]) -> None:
    """Make the queues, and the bucket for media if one is wanted in an S3 of our own."""
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    _say(f"Queues    {len(apply())}, as the catalogue describes them")
    if (bucket := settings().media_bucket) and environment["AWS_ACCESS_KEY_ID"] == sqs_server.KEY:
        boto3.client("s3").create_bucket(Bucket=bucket)


def _port() -> int:
    given = os.environ.get("PORT") or "8000"
    if not given.isdecimal() or not 1 <= int(given) <= 65_535:
        raise StackError(f"PORT={given!r} can't be used: a port is a number from 1 to 65535")
    return int(given)


def _port_for_flower() -> int:
    """Flower's own port, or any other if somebody has that one: nobody's work depends on Flower."""
    with suppress(OSError), socket.create_server(("127.0.0.1", FLOWER_PORT)):
        return FLOWER_PORT
    return free_port()


def _delete_data(home: Path) -> None:
    shutil.rmtree(home / "mongodb", ignore_errors=True)


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Held as long as the stack runs: there is one in each home."""
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StackError(f"A stack runs here already (process {file.read().strip()}). Stop that one first.") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"Port {port} can't be used ({error.strerror}). Choose another one with PORT: PORT={port + 1} make up"
            ) from None


@contextmanager
def _published(path: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The addresses of the stack in a file that the shell can read, as long as it runs. It holds keys: for the owner only."""
    shared = {name: environment[name] for name in SHARED if environment.get(name)} | {"PRESSROOM_STACK_PID": str(os.getpid())}
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in shared.items())
    unfinished.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


class _Announcement:
    """Says once where Pressroom is: when somebody answers there, and the processes have said what they say at their start."""

    def __init__(self, port: int, url: str, flower: str | None, processes: Processes) -> None:
        self._port = port
        self._url = url
        self._flower = f"Flower     {flower}\n" if flower else ""
        self._processes = processes
        self._answered_at: float | None = None
        self._said = False

    def __call__(self) -> None:
        if self._said or not self._answers():
            return
        now = time.monotonic()
        if now - self._processes.last_output > QUIET_SECONDS or now - (self._answered_at or now) > CHATTER_SECONDS:
            self._said = self._processes.is_up = True
            _say(f"\nPressroom  {self._url}\nAPI        {self._url}/docs\n{self._flower}Ctrl-C ends everything.\n")

    def _answers(self) -> bool:
        if self._answered_at is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=0.2):
                self._answered_at = time.monotonic()
        return self._answered_at is not None


def _say(line: str) -> None:
    print(line, flush=True)
