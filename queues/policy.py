"""The rights that each part of the system needs at AWS, and no others, from the catalogue.

A batch needs the right of its single action; there is no right `…Batch`.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from queues.catalogue import KINDS, kind_named
from queues.clients import QueueRefused, make_client, session, translated
from settings import settings

Statement = dict[str, Any]


class Role(StrEnum):
    """Who asks AWS for something."""

    PRODUCER = "producer"
    """The web process: submits, looks at depths, gives out media."""
    WORKER = "worker"
    """Celery's workers."""
    RELAY = "relay"
    """`celery -A tasks relay`, where it runs by itself."""
    OPERATOR = "operator"
    """Whoever makes, empties and deletes queues, sends dead letters back and sets alarms."""


LOOK = ("GetQueueUrl", "GetQueueAttributes")
SEND = ("GetQueueUrl", "SendMessage")
RECEIVE = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
MAKE = ("CreateQueue", "SetQueueAttributes", "TagQueue", "ListQueueTags", "PurgeQueue", "DeleteQueue")

WORK_QUEUES: dict[Role, tuple[str, ...]] = {
    Role.PRODUCER: (*LOOK, "SendMessage"),
    Role.WORKER: (*LOOK, "SendMessage", *RECEIVE),
    Role.RELAY: (*LOOK, "SendMessage"),
    Role.OPERATOR: (*LOOK, "SendMessage", *MAKE),
}
OTHER_WORK_QUEUES: dict[Role, tuple[str, ...]] = {Role.WORKER: SEND, Role.RELAY: SEND}
"""Of kinds that are not theirs: a job's end submits what follows from it, and sends its user's next job, whatever its kind."""
DEAD_LETTER_QUEUES: dict[Role, tuple[str, ...]] = {
    Role.PRODUCER: LOOK,
    Role.WORKER: (*SEND, *RECEIVE),  # its rounds drop the dead letters of jobs that got on without them
    Role.RELAY: (*SEND, *RECEIVE),
    Role.OPERATOR: (*LOOK, "SendMessage", *RECEIVE, *MAKE),
}
MEDIA_OBJECTS: dict[Role, tuple[str, ...]] = {
    Role.PRODUCER: ("GetObject",),
    Role.WORKER: ("GetObject", "PutObject", "DeleteObject"),  # its rounds, as the relay's, delete what nobody needs any more
    Role.RELAY: ("DeleteObject",),
}
METRICS_NAMESPACE = "Pressroom"
"""What `CLOUDWATCH_METRICS=on` sends stands there, and a relay may write nowhere else."""
MEDIA_BUCKET: dict[Role, tuple[str, ...]] = {Role.PRODUCER: ("ListBucket",), Role.WORKER: ("ListBucket",)}
"""Without it S3 answers 403, not 404, where a file is gone."""


@dataclass(frozen=True)
class Need:
    """The actions that a role needs on a queue, which is named without `QUEUE_PREFIX`."""

    kind: str
    queue: str
    actions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the queues, the alarms and the bucket are."""

    account: str
    region: str
    prefix: str = ""
    partition: str = "aws"
    bucket: str | None = None
    given: Mapping[str, str] | None = None
    """By kind: the URL of its queue, where one is given outright."""
    sends_metrics: bool = False
    """Whether relays send metrics to CloudWatch."""

    def queue_arn(self, name: str) -> str:
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{self.prefix}{name}"

    def arn_of(self, need: Need) -> str:
        """The queue that is needed, perhaps given by its URL."""
        url = (self.given or {}).get(need.kind) if need.queue == kind_named(need.kind).queue_name() else None
        return self._arn_of(url) if url else self.queue_arn(need.queue)

    def alarm_arn(self, name: str) -> str:
        return f"arn:{self.partition}:cloudwatch:{self.region}:{self.account}:alarm:{name}"

    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    def _arn_of(self, url: str) -> str:
        """`https://sqs.eu-central-1.amazonaws.com/123456789012/articles` names region, account and queue."""
        address = urlsplit(url)
        host = (address.hostname or "").split(".")
        region = host[1] if host[0] == "sqs" and len(host) > 2 else self.region
        account, _, name = address.path.strip("/").rpartition("/")
        return f"arn:{self.partition}:sqs:{region}:{account.rpartition('/')[2] or self.account}:{name}"


def needs(role: Role, kinds: Collection[str] = ()) -> Iterator[Need]:
    """What a role needs on which queue, for these kinds or for all.

    Raises:
        KeyError: there is no such kind; the message names those there are.
    """
    own = {kind_named(name).name for name in kinds or KINDS}
    for kind in KINDS.values():
        actions = WORK_QUEUES[role] if kind.name in own else OTHER_WORK_QUEUES.get(role, ())
        for lane in kind.lanes if actions else ():
            yield Need(kind.name, kind.queue_name(lane), actions)
        if kind.name in own:
            yield Need(kind.name, kind.dead_letter_name, DEAD_LETTER_QUEUES[role])


def policy(role: Role, place: Place, kinds: Collection[str] = ()) -> dict[str, Any]:
    """The IAM policy of a role, for these kinds or for all.

    Raises:
        KeyError: there is no such kind; the message names those there are.
    """
    queues: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for need in needs(role, kinds):
        queues[need.actions].append(place.arn_of(need))
    statements = [_allow("sqs", actions, arns) for actions, arns in queues.items()]
    if place.bucket:
        statements += media_statements(role, place)
    if role is Role.RELAY and place.sends_metrics:  # the right knows no resources, only namespaces
        condition = {"StringEquals": {"cloudwatch:namespace": METRICS_NAMESPACE}}
        statements.append(_allow("cloudwatch", ("PutMetricData",), ["*"]) | {"Condition": condition})
    if role is Role.OPERATOR:  # CloudWatch reads alarms under the name of all of them
        statements.append(_allow("cloudwatch", ("DescribeAlarms",), [place.alarm_arn("*")]))
        own = [place.alarm_arn(f"{place.prefix}{kind}*") for kind in kinds or KINDS]
        statements.append(_allow("cloudwatch", ("PutMetricAlarm",), own))
    return {"Version": "2012-10-17", "Statement": statements}


def media_statements(role: Role, place: Place) -> list[Statement]:
    """What a role needs on the bucket of images and videos."""
    statements = []
    if actions := MEDIA_OBJECTS.get(role):
        statements.append(_allow("s3", actions, [f"{place.bucket_arn()}/*"]))
    if actions := MEDIA_BUCKET.get(role):
        statements.append(_allow("s3", actions, [place.bucket_arn()]))
    return statements


def _allow(service: str, actions: Iterable[str], resources: Iterable[str]) -> Statement:
    return {
        "Effect": "Allow",
        "Action": sorted(f"{service}:{action}" for action in actions),
        "Resource": sorted(set(resources)),
    }


def place_of_settings(account: str | None = None, region: str | None = None) -> Place:
    """The place that the settings name; the account is asked of AWS where it is not given.

    Raises:
        QueueError: AWS does not say whose account it is, or no region is set.
    """
    region = region or session().region_name
    if not region:
        raise QueueRefused("No AWS region is set. Give it with --region, or set AWS_REGION.")
    if account is None:
        with translated("The account's number (give it with --account)"):
            account = make_client("sts").get_caller_identity()["Account"]
    configured = settings()
    given = {name: url for name in KINDS if (url := configured.queue_url(name))}
    return Place(
        account=account,
        region=region,
        prefix=configured.queue_prefix,
        partition=session().get_partition_for_region(region),
        bucket=configured.media_bucket,
        given=given,
        sends_metrics=configured.cloudwatch_metrics is not None,
    )
