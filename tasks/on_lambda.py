"""The tasks behind AWS Lambda: `tasks.on_lambda.handler` for the queues, `tasks.on_lambda.relay` for a schedule.

Lambda receives and deletes; everything in between is a worker's: the same tasks, claims, leases, attempts. What is not to be
deleted is answered as `batchItemFailures`, so the event source mapping must have `ReportBatchItemFailures`. Before the time of
the function is over, running jobs are handed back, as by a worker that is told to stop. See docs/lambda.md.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any, Protocol

import structlog

import providers.cancelling  # noqa: F401 - performs the cancels of generations
from jobs import counters
from jobs.database import forget_sleep
from jobs.relay import Relay
from jobs.samples import take_sample
from jobs.spending import wake_affordable
from monitoring import cloudwatch
from monitoring.logs import configure_logging
from monitoring.tracing import flush_spans, start_tracing
from providers.outages import probe_due
from queues.catalogue import KINDS, Kind
from queues.deliveries import Delete, Delivery, SetAside, Visible, deliveries
from queues.queue import Message, Queue, queue_for
from queues.receiver import read
from queues.settling import is_set_aside, put_off
from queues.wire import JobMessage
from settings import settings
from tasks import leaving
from tasks.attending import attend, hold

log = structlog.get_logger()

ANSWER_SECONDS = 5.0
"""Of the function's time, so much is left for the last writes and the answer."""
GRACE_SHARE = 0.25
"""Calls under way get at most this share of the function's time to end; before it, nothing is handed back."""

Record = Mapping[str, Any]
Line = list[Delivery]
"""Deliveries that are done one after the other."""


class Context(Protocol):
    """What Lambda tells of an invocation.
    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Do what a batch of messages is there for; which of them Lambda must not delete.

    Event and answer: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html and …/services-sqs-errorhandling.html

    Raises:
        ValueError: the messages come from no queue of the catalogue.
    """
    _wake()
    leaving.come_back()
    settled: list[Delivery] = []
    deliveries().on_settled = settled.append
    lines = _lines(event["Records"])
    _work_through(lines, context.get_remaining_time_in_millis() / 1_000)
    failed = _failed(settled)
    counters.flush()  # a frozen process flushes nothing
    flush_spans()
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def relay(event: object, context: object) -> str:
    """One round of the relay, for an EventBridge schedule of a minute; what it did."""
    _wake()
    report = str(_relay().round())
    counters.flush()
    return report


def _work_through(lines: Sequence[Line], seconds: float) -> None:
    """Attend to the lines side by side. On return nothing is held any more, whatever is still under way."""
    if not lines:
        return
    grace = min(settings().shutdown_grace_seconds, seconds * GRACE_SHARE)
    slots = KINDS[lines[0][0].job.kind].slots
    pool = ThreadPoolExecutor(min(len(lines), slots), "slot")
    try:
        under_way = [pool.submit(_go_through, line) for line in lines]
        wait(under_way, timeout=max(seconds - grace - ANSWER_SECONDS, 0))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if _running(under_way):
        leaving.leave(lambda: _running(under_way), grace_seconds=grace)
    leaving.release()


def _go_through(line: Line) -> None:
    """One after the other. Behind one that comes again, those of its group come again with it: else they would overtake it."""
    for place, delivery in enumerate(line):
        attend(delivery, _name())
        if not isinstance(delivery.settlement, Delete | SetAside):
            for later in line[place + 1 :]:
                deliveries().settle(later.tag, delivery.settlement)
            return


def _running(futures: Sequence[Future[None]]) -> int:
    return sum(not future.done() for future in futures)


def _failed(settled: Sequence[Delivery]) -> list[str]:
    """The ids of the messages that must come again, each made visible when its job may start, where SQS lets us."""
    put_off(delivery for delivery in settled if isinstance(delivery.settlement, Visible))
    return [
        delivery.message.message_id
        for delivery in settled
        if not isinstance(delivery.settlement, Delete) and not is_set_aside(delivery)
    ]


def _lines(records: Sequence[Record]) -> list[Line]:
    """The deliveries that the records are; those of a group, where an order is kept, in one line."""
    lines: dict[str, Line] = {}
    put_back: dict[str, Visible] = {}
    for record in records:
        kind, queue = _origin(str(record["eventSourceARN"]))
        message = _message(record)
        line = record["attributes"].get("MessageGroupId", "") if kind.fifo else message.message_id
        said = put_back.get(line) or read(kind.name, message)
        if not isinstance(said, JobMessage):
            deliveries().turn_away(queue, message, kind.name, said)
            if isinstance(said, Visible):  # what is behind it in its group waits with it
                put_back[line] = said
            continue
        lines.setdefault(line, []).append(hold(queue, message, said))
    return [*lines.values()]


def _origin(arn: str) -> tuple[Kind, Queue]:
    name = arn.rpartition(":")[2]
    for kind in KINDS.values():
        for lane in kind.lanes:
            queue = queue_for(kind.name, lane)
            if queue.name == name:
                return kind, queue
    raise ValueError(
        f"The queue {name} is none of the catalogue's. Is QUEUE_PREFIX the function's and the queue's? "
        "A queue of another name is named by SQS_<KIND>_QUEUE_URL."
    )


def _message(record: Record) -> Message:
    typed = {name: _attribute(value) for name, value in record.get("messageAttributes", {}).items()}
    system = record["attributes"]
    return Message(
        message_id=record["messageId"],
        receipt_handle=record["receiptHandle"],
        body=record["body"],
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_milliseconds=int(system.get("SentTimestamp", 0)),
        attributes={name: value.get("StringValue", "") for name, value in typed.items()},
        typed_attributes=typed,
    )


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    """As boto3 takes it, from the spelling that Lambda's events have."""
    made: dict[str, Any] = {"DataType": value["dataType"]}
    if value.get("stringValue") is not None:
        made["StringValue"] = value["stringValue"]
    if value.get("binaryValue") is not None:
        made["BinaryValue"] = base64.b64decode(value["binaryValue"])
    return made


def _wake() -> None:
    """Begin a call: the first of this process, or after it was frozen since the last."""
    _prepare()
    forget_sleep()


@cache
def _prepare() -> None:
    settings()
    configure_logging()
    start_tracing("worker")


@cache
def _name() -> str:
    return f"lambda@{socket.gethostname()}"


@cache
def _relay() -> Relay:
    """Kept between invocations: it remembers since when a queue has shown too few messages."""
    return Relay(KINDS, also=[probe_due, wake_affordable, cloudwatch.publish, take_sample])
