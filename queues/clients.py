"""The boto3 clients, patient with nothing, and what they raise in our words.

Addresses, region and credentials are AWS's own variables, read by boto3. A client is made once for each use and shared by all
threads (boto3's clients are thread-safe).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, NoRegionError

from settings import settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CONNECT_SECONDS = 1
READ_SECONDS = 5
CONNECTIONS = 50
THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequestsException", "KmsThrottled"})
MISSING = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})

WITHOUT_AWS = " (With BROKER=none no SQS is needed: web processes run the jobs themselves.)"

IN_PLAIN_WORDS = {
    "QueueDeletedRecently": "it was deleted less than a minute ago, and SQS makes no new one of that name so soon. "
    "Try again in a minute.",
    "PurgeQueueInProgress": "it was purged less than a minute ago, and SQS does that once a minute. Try again in a minute.",
    "InvalidClientTokenId": "AWS does not know these credentials. Correct AWS_ACCESS_KEY_ID.",
    "UnrecognizedClientException": "AWS does not know these credentials. Correct AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "the credentials don't match each other. Correct AWS_SECRET_ACCESS_KEY.",
    "ExpiredToken": "the credentials have expired. Sign in to AWS again.",
    "ExpiredTokenException": "the credentials have expired. Sign in to AWS again.",
}
"""By AWS's code, where its own text names no remedy."""


class QueueError(Exception):
    """SQS did not do what it was asked."""

    handles: frozenset[str] = frozenset()
    """The receipt handles that it was not done for; empty where it was done for none."""

    def concerns(self, handle: str) -> bool:
        """Whether it was not done for this receipt handle."""
        return not self.handles or handle in self.handles


class QueueUnavailable(QueueError):
    """SQS does not answer, or asks us to slow down. It passes by itself."""


class QueueMissing(QueueError):
    """The queue does not exist. `python -m queues.provision` makes it."""


class NoQueues(QueueMissing):
    """There is no SQS by design (`BROKER=none`)."""


class QueueRefused(QueueError):
    """SQS refuses the call: a missing right, wrong credentials, or a wrong value."""


@cache
def session() -> Any:
    """The process's boto3 session."""
    return boto3.session.Session(region_name=settings().aws_region)


_making = Lock()  # sessions are not thread-safe, clients are


def make_client(service: str, *, read_seconds: float = READ_SECONDS, connections: int = CONNECTIONS) -> Any:
    """A client of its own: one try, short waits. Retrying is for whoever knows what it means."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
        tcp_keepalive=True,
        parameter_validation=False,  # a tenth of a request's time, for what the service checks anyway
        user_agent=f"pressroom boto3/{boto3.__version__}",  # or botocore composes one for each request, a twentieth of its time
    )
    if service == "sqs" and not settings().uses_sqs:
        raise NoQueues("BROKER=none: there are no queues, because web processes run the jobs. Unset BROKER to use SQS.")
    with translated(service.upper()), _making:
        try:
            return session().client(service, config=config)
        except ValueError as error:  # botocore's word for an address that is none
            raise QueueRefused(
                f"{service.upper()}: {error}. Correct AWS_ENDPOINT_URL, or leave it out for AWS itself."
            ) from error


@cache
def sqs() -> SQSClient:
    """For everything that answers at once."""
    client: SQSClient = make_client("sqs")
    return client


@cache
def sqs_receiving() -> SQSClient:
    """For long polls, which stay open as long as they were told to."""
    client: SQSClient = make_client("sqs", read_seconds=settings().sqs_wait_time_seconds + READ_SECONDS)
    return client


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours; `what` names the queue or service in their text."""
    try:
        yield
    except ClientError as error:
        raise _translate(what, error) from error
    except NoRegionError as error:
        raise QueueRefused(
            f"{what}: no AWS region is set. Set AWS_REGION, as in AWS_REGION=eu-central-1.{WITHOUT_AWS}"
        ) from error
    except NoCredentialsError as error:
        raise QueueRefused(
            f"{what}: no AWS credentials are found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.{WITHOUT_AWS}"
        ) from error
    except (HTTPClientError, BotoCoreError) as error:
        raise QueueUnavailable(f"{what}: {error}") from error


def _translate(what: str, error: ClientError) -> QueueError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in MISSING:
        return QueueMissing(f"{what}: the queue does not exist. Make it with `python -m queues.provision`.")
    if status >= 500 or code in THROTTLED:
        return QueueUnavailable(f"{what}: {error}")
    return QueueRefused(f"{what}: {IN_PLAIN_WORDS.get(code.rpartition('.')[2], error)}")
