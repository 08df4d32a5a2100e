"""Checks of the queues: that they are there, as the catalogue describes them, and that we may use them."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from cli.doctoring.findings import Fault
from cli.doctoring.subject import DENIED, Subject, at_once, code_of
from queues.catalogue import prefixed
from queues.clients import translated
from queues.limits import DELAY_SECONDS
from queues.plan import ENCRYPTED
from queues.policy import needs
from queues.receiver import VISIBILITY_BEYOND_LEASE_SECONDS
from queues.wanted import ALLOWED, DEAD_LETTERS, TAG, in_words
from settings import settings

APPLY = "celery -A tasks queues apply"
MADE_UP = "no-such-handle"


def queues_exist(subject: Subject) -> Iterator[Fault]:
    """Every queue of the catalogue is there."""
    for wanted in subject.expected:
        name = wanted.queue.name
        if name not in subject.urls:
            what = "dead-letter queue" if wanted.lane == DEAD_LETTERS else "queue"
            yield Fault(f"the {what} {name} does not exist, or you may not know of it.", f"Make it: {APPLY}")
        elif wanted.given and name not in subject.attributes:
            yield Fault(f"{wanted.variable} names a queue that does not exist, or that you may not look at.", "Correct it.")


def attributes_as_described(subject: Subject) -> Iterator[Fault]:
    """The queues are as the catalogue describes them."""
    for wanted in subject.expected:
        found = in_words(subject.attributes.get(wanted.queue.name, {}))
        if not found:
            continue  # it is missing, or we may not look: other checks say so
        unknown = {name for name in (ENCRYPTED, ALLOWED) if name not in found}  # of local servers
        for name, value in wanted.in_words().items():
            if name.startswith(TAG) or name in unknown or found.get(name, "false") == value:
                continue
            is_ours_to_encrypt = name == ENCRYPTED and "KmsMasterKeyId" not in found
            if name != ENCRYPTED or is_ours_to_encrypt:
                now = found.get(name, "missing")
                yield Fault(f"{name} of {wanted.queue.name} is {now}; the catalogue says {value}.", f"Put it right: {APPLY}")


def visibility_outlasts_lease(subject: Subject) -> Iterator[Fault]:
    """Who receives without asking for a visibility, and does not renew it, should keep a message as long as a lease lasts."""
    needed = settings().lease_seconds + VISIBILITY_BEYOND_LEASE_SECONDS
    for wanted in subject.expected:
        visibility = int(wanted.attributes.get("VisibilityTimeout", needed))
        if wanted.lane != DEAD_LETTERS and visibility < needed:
            yield Fault(
                f"{wanted.queue.name} shows a message again after {visibility} s, before a lease ends: consumers that don't "
                "renew it (Lambda, the AWS command line) get jobs that others still hold.",
                f"Lower LEASE_SECONDS ({settings().lease_seconds}), or raise visibility_seconds in the catalogue.",
                is_warning=True,
            )


def rights_suffice(subject: Subject) -> Iterator[Fault]:
    """What the role needs is allowed. Each action is tried in a way that SQS can only refuse, so nothing is done."""
    tried = [
        (prefixed(need.queue), action)
        for need in needs(subject.role)
        for action in need.actions
        if prefixed(need.queue) in subject.urls
    ]
    with translated("SQS"):
        answers = at_once(lambda each: _is_denied(subject, each[0], each[1]), tried)
    denied: dict[str, list[str]] = {}
    for (name, action), is_denied in zip(tried, answers, strict=True):
        if is_denied:
            denied.setdefault(name, []).append(f"sqs:{action}")
    for name, actions in denied.items():
        yield Fault(
            f"{', '.join(actions)} on {name} is not allowed, which a {subject.role} needs.",
            f"Allow it; the whole policy: celery -A tasks policy {subject.role}",
        )


def _is_denied(subject: Subject, name: str, action: str) -> bool:
    url, client = subject.urls[name], subject.sqs
    try:
        match action:
            case "GetQueueUrl":
                client.get_queue_url(QueueName=url.rpartition("/")[2])
            case "GetQueueAttributes":
                client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            case "SendMessage":  # empty, and later than a message can be
                client.send_message(QueueUrl=url, MessageBody="", DelaySeconds=DELAY_SECONDS + 1)
            case "ReceiveMessage":  # none
                client.receive_message(QueueUrl=url, MaxNumberOfMessages=0, WaitTimeSeconds=0)
            case "DeleteMessage":
                client.delete_message(QueueUrl=url, ReceiptHandle=MADE_UP)
            case "ChangeMessageVisibility":
                client.change_message_visibility(QueueUrl=url, ReceiptHandle=MADE_UP, VisibilityTimeout=0)
            case _:
                raise ValueError(f"no harmless way to try {action}")
    except ClientError as error:
        return code_of(error) in DENIED
    return False
