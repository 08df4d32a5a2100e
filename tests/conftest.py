"""The ground every test stands on: an environment of its own, and real servers for those that ask.

What the developer's shell says about MongoDB, AWS and AI providers is put away, so that no test meets a running stack or a real
account. A test that asks for nothing starts nothing; `mongodb`, `sqs`, `database` and `queues` start the servers once for the
whole run. Processes that a test starts inherit their addresses by the environment.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import structlog
from pymongo import MongoClient
from pymongo.database import Database
from structlog.testing import LogCapture
from structlog.typing import EventDict

from devstack import mongod, sqs_server
from devstack.watchdog import Watchdog
from settings import Settings
from tests import moto_server, once
from tests.sqs import SqsProxy

GIVEN_MONGODB_URI = os.environ.setdefault("MONGODB_URI_OF_TESTS", os.environ.get("MONGODB_URI", ""))
"""Of the shell that started the tests. (Tests in several processes: each of them is started from an environment put away.)"""
RUN = secrets.token_hex(4)
NOWHERE = "127.0.0.1:9"
"""An address where nobody listens: what a test meets that forgot to ask for a server."""
ARNS = f"arn:aws:sqs:{sqs_server.REGION}:123456789012:"
"""What every queue's ARN begins with, at moto."""


def _heed_signals() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would every process that a test starts and stops."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _names_of(settings_class: type[Settings]) -> Iterator[str]:
    for name, field in settings_class.model_fields.items():
        yield name.upper()
        choices = getattr(field.validation_alias, "choices", ())
        yield from (str(choice) for choice in choices)


def _put_environment_away() -> None:
    for name in [*os.environ]:
        if name.startswith(("AWS_", "SQS_", "CELERY_")) or name in {*_names_of(Settings)}:
            del os.environ[name]
    os.environ.update(sqs_server.environment(f"http://{NOWHERE}"))
    os.environ.update(
        MONGODB_URI=f"mongodb://{NOWHERE}/?serverSelectionTimeoutMS=1000",
        MONGODB_DATABASE=f"pressroom_test_{RUN}",
        QUEUE_PREFIX=f"test-{RUN}-",
        SQS_WAIT_TIME_SECONDS="1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AUTH="off",
        PUBLIC_URL="",
        PYTHONUNBUFFERED="1",
        PRESSROOM_STACK_PID="",  # no test reads `.dev/env`, though a stack run here
    )


_put_environment_away()
_heed_signals()


@pytest.fixture(autouse=True)
def _own_counts() -> None:
    """What earlier tests counted in this process, and nobody has written yet, is not written among the counts of this one."""
    from jobs.counters import _gathered

    with _gathered._flushing:
        _gathered._take()


@pytest.fixture(scope="session")
def watchdog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchdog]:
    """Ends the servers of the tests should this process be killed."""
    dog = Watchdog(tmp_path_factory.mktemp("watchdog"))
    yield dog
    dog.close()


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory, watchdog: Watchdog) -> Iterator[str]:
    """The URI of a MongoDB replica set: the one that MONGODB_URI named before the tests, else one of our own."""
    from jobs import counters

    data = tmp_path_factory.mktemp("mongodb") / "data"
    server = None if GIVEN_MONGODB_URI else mongod.start(data, watchdog, "--setParameter", "enableTestCommands=1")
    uri = server.uri if server else str(GIVEN_MONGODB_URI)
    os.environ["MONGODB_URI"] = uri
    forget_settings()
    yield uri
    counters.flush()  # or their thread tries on, with the server gone and nobody to log to
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(os.environ["MONGODB_DATABASE"])
    if server:
        server.stop()


@pytest.fixture(scope="session")
def _sqs_server(tmp_path_factory: pytest.TempPathFactory, watchdog: Watchdog) -> Iterator[SqsProxy]:
    server = sqs_server.start(tmp_path_factory.mktemp("sqs"), watchdog, "tests.moto_server:application()")
    address = urlsplit(server.endpoint)
    proxy = SqsProxy(str(address.hostname), int(address.port or 0))
    os.environ.update(sqs_server.environment(proxy.endpoint))
    forget_settings()
    yield proxy
    proxy.stop()
    server.stop()


@pytest.fixture(scope="session")
def sqs(_sqs_server: SqsProxy) -> str:
    """The endpoint of an SQS and S3 of our own, as strict as AWS. The queues are made by `queues`."""
    return _sqs_server.endpoint


@pytest.fixture
def sqs_proxy(_sqs_server: SqsProxy) -> Iterator[SqsProxy]:
    """What stands before `sqs`, to make it fail; well again when the test is over."""
    yield _sqs_server
    _sqs_server.well()


@pytest.fixture(scope="session")
def mongo_client(mongodb: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongodb, tz_aware=True) as client:
        yield client


@pytest.fixture
def database(mongo_client: MongoClient[dict[str, Any]]) -> Database[dict[str, Any]]:
    """The tests' database, its collections empty; their indexes and validators stay."""
    tests = mongo_client[os.environ["MONGODB_DATABASE"]]
    for name in tests.list_collection_names(filter={"type": "collection"}):
        if not name.startswith("system."):
            tests[name].delete_many({})
    return tests


@pytest.fixture
def queues(_sqs_server: SqsProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The queues of the catalogue, new and empty for each test: their URLs by the names they have at SQS."""
    monkeypatch.setenv("QUEUE_PREFIX", f"test-{RUN}-{secrets.token_hex(3)}-")
    forget_settings()
    yield _new_queues(_sqs_server)
    monkeypatch.undo()
    forget_settings()


def _new_queues(server: SqsProxy) -> dict[str, str]:
    """What `queues.provision.apply` makes where there is nothing yet."""
    from queues.catalogue import KINDS
    from queues.wanted import ALLOWED, TAG, Wanted, wanted

    def asked(queue: Wanted) -> dict[str, Any]:
        names = [name for name in queue.in_words() if not name.startswith((ALLOWED, TAG))]
        attributes = {name: queue.spelled(name, ARNS) for name in names}
        return {"name": queue.queue.name, "attributes": attributes, "tags": queue.tags}

    all_of_them = [queue for kind in KINDS.values() for queue in wanted(kind)]
    body = json.dumps([asked(queue) for queue in all_of_them]).encode()
    urlopen(Request(f"{server.endpoint}{moto_server.PATH}", body), timeout=60).close()
    for queue in all_of_them:
        if queue.sources:
            server.keep_allow_policy(queue.queue.name, queue.spelled(ALLOWED, ARNS))
    return {queue.queue.name: f"{server.endpoint}/123456789012/{queue.queue.name}" for queue in all_of_them}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Call it with variables to set for this test (None removes one); the settings are read anew."""

    def change(**variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        forget_settings()

    yield change
    monkeypatch.undo()
    forget_settings()


@pytest.fixture
def logged_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[EventDict]]:
    """Call it with a module's name for what that module logs from now on, whoever may log besides.

    (`structlog.testing.capture_logs` hears no logger that was used before logging was set up anew, as many tests do it.)
    """

    def listen(module: str) -> list[EventDict]:
        capture = LogCapture()
        monkeypatch.setattr(f"{module}.log", structlog.wrap_logger(None, processors=[capture]))
        return capture.entries

    return listen


def forget_settings() -> None:
    """Read the environment anew at the next look, and make anew what was made once for the process from it."""
    once.forget()
