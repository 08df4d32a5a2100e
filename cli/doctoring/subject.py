"""The system that is looked at, asked once for what several checks want to know, and with short waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from queues.catalogue import KINDS
from queues.clients import MISSING, make_client, translated
from queues.policy import Role
from queues.wanted import Wanted, wanted
from settings import CHECKOUT, settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

READ_SECONDS = 3
MONGODB_MILLISECONDS = 2_000
WAITS = ("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS")
AT_ONCE = 8
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AWS.SimpleQueueService.AccessDenied"})

T = TypeVar("T")
R = TypeVar("R")


class Subject:
    """What the checks look at. `role` is whose rights are tried."""

    def __init__(self, role: Role = Role.WORKER, procfile: Path = CHECKOUT / "Procfile") -> None:
        self.role = role
        self.procfile = procfile

    @cached_property
    def sqs(self) -> SQSClient:
        client: SQSClient = make_client("sqs", read_seconds=READ_SECONDS)
        return client

    @cached_property
    def expected(self) -> list[Wanted]:
        """The queues that the catalogue asks for."""
        return [queue for kind in KINDS.values() for queue in wanted(kind)]

    @cached_property
    def urls(self) -> dict[str, str]:
        """The URLs of the expected queues that are there, by name."""

        def look_up(wanted: Wanted) -> str | None:
            if wanted.given:
                return wanted.given
            try:
                return self.sqs.get_queue_url(QueueName=wanted.queue.name)["QueueUrl"]
            except ClientError as error:
                if code_of(error) in MISSING | DENIED:
                    return None
                raise

        with translated("SQS"):
            found = zip(self.expected, at_once(look_up, self.expected), strict=True)
            return {wanted.queue.name: url for wanted, url in found if url}

    @cached_property
    def attributes(self) -> dict[str, dict[str, str]]:
        """The attributes of the queues that may be looked at, by name."""

        def read(url: str) -> dict[str, str] | None:
            try:
                answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            except ClientError as error:
                if code_of(error) in MISSING | DENIED:
                    return None
                raise
            return {str(name): value for name, value in answer["Attributes"].items()}

        with translated("SQS"):
            found = zip(self.urls, at_once(read, self.urls.values()), strict=True)
            return {name: attributes for name, attributes in found if attributes is not None}

    @cached_property
    def hello(self) -> dict[str, Any] | None:
        """What a MongoDB server of MONGODB_URI says of itself, be it the right one or not; None where none answers."""
        parsed = parse_uri(settings().mongodb_uri)
        tls = {name: value for name, value in parsed["options"].items() if name.lower().startswith("tls")}
        for host, port in parsed["nodelist"]:
            try:
                with _client(host, port=port, directConnection=True, **tls) as client:
                    return dict(client.admin.command("hello"))
            except PyMongoError:
                continue
        return None

    def mongodb(self) -> MongoClient[dict[str, Any]]:
        """A client as the system's own; close it."""
        return _client(settings().mongodb_uri)


def _client(host: str, **options: Any) -> MongoClient[dict[str, Any]]:
    waits: dict[str, Any] = dict.fromkeys(WAITS, MONGODB_MILLISECONDS)
    return MongoClient(host, appname="pressroom doctor", tz_aware=True, **waits, **options)


def code_of(error: ClientError) -> str:
    """AWS's word for what went wrong."""
    return error.response.get("Error", {}).get("Code", "")


def at_once(call: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """The answers in order, several asked for at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [*pool.map(call, things)]
