"""Checks of what must answer: MongoDB, SQS, the AI provider; and of whether their clocks agree with ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from cli.doctoring.findings import Fault
from cli.doctoring.subject import Subject, code_of
from jobs.errors import JobError
from providers.choice import provider_named
from queues.clients import NoQueues, QueueError
from settings import settings

MOST_SECONDS_OFF = 2
CREDENTIALS = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), "the credentials have expired."),
    **dict.fromkeys(
        ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken"),
        "AWS does not know the access key.",
    ),
    **dict.fromkeys(("SignatureDoesNotMatch", "IncompleteSignature"), "the secret key does not fit the access key."),
}


def mongodb_answers(subject: Subject) -> Iterator[Fault]:
    """Some server of MONGODB_URI answers."""
    try:
        answers = subject.hello is not None
    except PyMongoError as error:
        yield Fault(f"MONGODB_URI can't be used: {_line(error)}.", "Correct it.")
        return
    if not answers:
        yield Fault("MongoDB does not answer.", "See that it runs, and that MONGODB_URI names it.")


def is_replica_set(subject: Subject) -> Iterator[Fault]:
    """MongoDB is a replica set with a primary that lets us in: transactions and change streams need it."""
    hello = subject.hello or {}
    options = parse_uri(settings().mongodb_uri)["options"]
    wanted = next((value for name, value in options.items() if name.lower() == "replicaset"), None)
    if hello.get("msg") == "isdbgrid":
        return
    if not hello.get("setName"):
        begin = "" if hello.get("isreplicaset") else "start mongod with --replSet rs0, then "
        yield Fault("mongod is no replica set.", f"For one, {begin}run rs.initiate() in mongosh, once.")
    elif wanted and hello["setName"] != wanted:
        yield Fault(f"the replica set is {hello['setName']}, not {wanted}.", "Correct replicaSet in MONGODB_URI.")
    else:
        try:
            with subject.mongodb() as client:
                client[settings().mongodb_database].list_collection_names()
        except OperationFailure as error:
            yield Fault(
                f"MongoDB refuses us: {_line(error)}.", "Correct user and password in MONGODB_URI, or the user's rights."
            )
        except PyMongoError:
            yield Fault("the replica set has no primary.", "See rs.status() in mongosh.")


def sqs_answers(subject: Subject) -> Iterator[Fault]:
    """SQS answers, and knows who we are."""
    first = subject.expected[0]
    try:
        subject.sqs.get_queue_url(QueueName=first.queue.name)
    except NoQueues:  # by design
        raise
    except (QueueError, NoRegionError) as error:
        yield Fault(f"{_line(error)}.", "Correct the variable that it names." if "Set " not in str(error) else "")
    except NoCredentialsError:
        yield Fault("no AWS credentials are found.", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    except ClientError as error:
        yield from _refused(error)
    except BotoCoreError as error:
        where = f"{subject.sqs.meta.endpoint_url} (region {subject.sqs.meta.region_name})"
        yield Fault(
            f"SQS does not answer at {where}: {type(error).__name__}.",
            "See that AWS_REGION and AWS_ENDPOINT_URL, if set, are right.",
        )


def _refused(error: ClientError) -> Iterator[Fault]:
    code, text = code_of(error), str(error)
    if "scoped to a valid region" in text:
        yield Fault("the address is another region's than AWS_REGION.", "Set AWS_REGION to the region of the queues.")
    elif code in CREDENTIALS:
        yield Fault(CREDENTIALS[code], "Get new ones, and set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.")
    elif error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        yield Fault(f"SQS is failing: {code}.", "Wait; if it goes on, see AWS's health page.")


def region_is_right(subject: Subject) -> Iterator[Fault]:
    """At least one queue is where we look, and those given by URL are in our region."""
    region = subject.sqs.meta.region_name
    for wanted in subject.expected:
        host = (urlsplit(wanted.given or "").hostname or "").split(".")
        if host[0] == "sqs" and len(host) > 2 and host[1] != region:
            yield Fault(
                f"the queue of {wanted.kind} is given by a URL in {host[1]}, but the region is {region}.",
                f"Set AWS_REGION={host[1]}, or correct the URL.",
            )
    if not subject.urls:
        prefix = settings().queue_prefix
        named = f" whose names begin with {prefix}" if prefix else ""
        yield Fault(
            f"none of the queues{named} is in the region {region}.",
            "Is it the wrong region, or prefix? Set AWS_REGION, QUEUE_PREFIX. If not: celery -A tasks queues apply",
        )


def clocks_agree(subject: Subject) -> Iterator[Fault]:
    """MongoDB decides by its own clock, AWS refuses requests signed at another time, and people read our log."""
    off = _clocks(subject)
    wrong = {name: seconds for name, seconds in off.items() if abs(seconds) > MOST_SECONDS_OFF}
    if wrong and wrong == off and len(off) > 1 and max(off.values()) - min(off.values()) <= MOST_SECONDS_OFF:
        yield Fault(f"this machine's clock is {_off(-off['MongoDB'])}.", "Let it keep time by NTP (timedatectl set-ntp true).")
    else:
        for name, seconds in wrong.items():
            yield Fault(f"{name}'s clock is {_off(seconds)}, by this machine's.", "Let both keep time by NTP.")


def _clocks(subject: Subject) -> dict[str, float]:
    """By how many seconds the clocks of those who answer are fast, be their answers slow."""
    found = {}
    asked = datetime.now(UTC)
    try:
        with subject.mongodb() as client:
            said: datetime = client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
        found["MongoDB"] = seconds_fast(said, asked, datetime.now(UTC))
    except PyMongoError:
        pass  # its own check says so
    asked = datetime.now(UTC)
    try:
        answer: Any = subject.sqs.get_queue_url(QueueName=subject.expected[0].queue.name)
    except ClientError as error:
        answer = error.response
    except (BotoCoreError, QueueError):
        return found
    if date := answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date"):
        found["SQS"] = seconds_fast(parsedate_to_datetime(date), asked, datetime.now(UTC))
    return found


def seconds_fast(said: datetime, asked: datetime, heard: datetime) -> float:
    """How fast a clock is at the least (negative: slow) that said this between two moments by ours."""
    return min((said - asked).total_seconds(), 0.0) or max((said - heard).total_seconds(), 0.0)


def _off(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'fast' if seconds > 0 else 'slow'}"


def provider_answers(subject: Subject) -> Iterator[Fault]:
    """The AI provider that jobs use by default. It may be away for a while, so this is only a warning."""
    name = settings().provider_name
    try:
        provider_named().probe()
    except JobError as error:
        yield Fault(f"the provider {name} does not answer: {_line(error)}.", "See its address and its key.", is_warning=True)


def _line(error: Exception) -> str:
    return str(error).split("\n")[0].split(", Timeout:")[0].rstrip(".")[:200]
