"""A queue at SQS and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast
from uuid import uuid4

from queues.catalogue import NORMAL, kind_named, prefixed
from queues.clients import QueueError, QueueRefused, QueueUnavailable, sqs, sqs_receiving, translated
from queues.limits import BATCH_MESSAGES
from settings import settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

T = TypeVar("T")
Told = Literal["sent", "received", "deleted"]


@dataclass(frozen=True)
class Message:
    """A message as SQS gave it. `sent_milliseconds` is SQS's own time of the send."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int = 1
    sent_milliseconds: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    typed_attributes: Mapping[str, Any] = field(default_factory=dict)
    """The attributes as boto3 takes them, to send the message on as it was."""


@dataclass(frozen=True)
class Outgoing:
    """A message to send."""

    body: str
    attributes: dict[str, Any] = field(default_factory=dict)
    group: str | None = None
    """Whose message it is: for SQS to be fair between them, and on FIFO queues what is kept in order. Left out: nobody's, and
    on FIFO queues in order with no other."""
    deduplication: str | None = None
    """On FIFO queues: SQS takes a message with this id once within five minutes. Left out: it is taken whatever was before."""
    delay_seconds: int | None = None
    """How long it is not to be received, up to 900. FIFO queues refuse it."""

    def entry(self, *, fifo: bool = False) -> dict[str, Any]:
        """The message as boto3 takes it."""
        made: dict[str, Any] = {"MessageBody": self.body, "MessageAttributes": self.attributes}
        group = self.group or (uuid4().hex if fifo else None)
        if group:
            made["MessageGroupId"] = group
        if fifo:
            made["MessageDeduplicationId"] = self.deduplication or uuid4().hex
        if self.delay_seconds is not None:
            made["DelaySeconds"] = self.delay_seconds
        return made


@dataclass(frozen=True)
class Depth:
    """About how many messages a queue holds."""

    visible: int = 0
    """To be received now."""
    in_flight: int = 0
    """Received and neither deleted nor let go."""
    delayed: int = 0
    """Not to be received yet."""

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed

    def __add__(self, other: Depth) -> Depth:
        return Depth(self.visible + other.visible, self.in_flight + other.in_flight, self.delayed + other.delayed)


class Queue:
    """One SQS queue. Its URL is looked up when first needed; its calls raise `queues.clients.QueueError`s."""

    tell: ClassVar[Callable[[Told, Queue, int], None]] = lambda what, queue, n: None
    """Is told of messages that were sent, received or deleted, and of which queue: for whoever counts them."""

    def __init__(self, name: str, url: str | None = None, *, kind: str | None = None, lane: str = NORMAL) -> None:
        self.name = url.rpartition("/")[2] if url else name
        self.kind = kind
        """Whose jobs it carries; None of a dead-letter queue."""
        self.lane = lane
        self._given_url = url

    def __repr__(self) -> str:
        return f"Queue({self.name!r})"

    @cached_property
    def url(self) -> str:
        if self._given_url:
            return self._given_url
        with translated(self.name):
            return sqs().get_queue_url(QueueName=self.name)["QueueUrl"]

    @property
    def is_fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def send(self, outgoing: Outgoing) -> str:
        """Send one message and return SQS's id of it."""
        with translated(self.name):
            answer = sqs().send_message(QueueUrl=self.url, **cast(Any, outgoing.entry(fifo=self.is_fifo)))
        self._tell("sent", 1)
        return answer["MessageId"]

    def send_batch(self, outgoing: Sequence[Outgoing]) -> list[str | None]:
        """Send up to ten messages in one request; an id for each, None for one that SQS did not take."""
        entries = [{"Id": str(place), **message.entry(fifo=self.is_fifo)} for place, message in enumerate(outgoing)]
        with translated(self.name):
            answer = sqs().send_message_batch(QueueUrl=self.url, Entries=cast(Any, entries))
        ids = {entry["Id"]: entry["MessageId"] for entry in answer.get("Successful", [])}
        self._tell("sent", len(ids))
        return [ids.get(str(place)) for place in range(len(outgoing))]

    def receive(self, most: int, *, visibility_seconds: int, wait_seconds: int | None = None) -> list[Message]:
        """Receive up to `most` messages (10 at the most), waiting for the first up to `SQS_WAIT_TIME_SECONDS`."""
        configured = settings()
        with translated(self.name):
            answer = sqs_receiving().receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(most, configured.sqs_max_messages),
                VisibilityTimeout=visibility_seconds,
                WaitTimeSeconds=configured.sqs_wait_time_seconds if wait_seconds is None else wait_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        messages = [_message(raw) for raw in answer.get("Messages", [])]
        self._tell("received", len(messages))
        return messages

    def delete(self, receipt_handles: Iterable[str]) -> None:
        """Delete received messages, ten a request.

        Raises:
            QueueError: some could not be deleted, its `handles`; the others were.
        """

        def request(entries: list[Any]) -> Any:
            return sqs().delete_message_batch(QueueUrl=self.url, Entries=entries)

        wanted = [{"ReceiptHandle": handle} for handle in receipt_handles]
        try:
            self._by_tens("delete", wanted, request)
        except QueueError as error:
            self._tell("deleted", len(wanted) - len(error.handles))
            raise
        self._tell("deleted", len(wanted))

    def change_visibility(self, seconds_by_handle: dict[str, int], client: SQSClient | None = None) -> None:
        """Make received messages visible again after the given seconds from now, ten a request; with a client of one's own.

        Raises:
            QueueError: some could not be changed, its `handles`; the others were.
        """

        def request(entries: list[Any]) -> Any:
            return (client or sqs()).change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

        wanted = [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle, seconds in seconds_by_handle.items()]
        self._by_tens("change the visibility of", wanted, request)

    def attributes(self) -> dict[str, str]:
        """All of the queue's attributes, as SQS names them."""
        with translated(self.name):
            answer = sqs().get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}

    def depth(self) -> Depth:
        """What the queue holds, as SQS counts it: on AWS the numbers may lag by a minute."""
        held = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
        found = self.attributes()
        return Depth(*(int(found.get(name, 0)) for name in held))

    def count(self) -> int:
        """About how many messages the queue holds: visible, in flight and delayed."""
        return self.depth().total

    def purge(self) -> None:
        """Delete every message. SQS allows one purge a minute."""
        with translated(self.name):
            sqs().purge_queue(QueueUrl=self.url)

    def remove(self) -> None:
        """Delete the queue itself with all it holds. SQS takes no new one of that name for a minute."""
        with translated(self.name):
            sqs().delete_queue(QueueUrl=self.url)

    def _tell(self, what: Told, n: int) -> None:
        if n and self.kind is not None:
            type(self).tell(what, self, n)

    def _by_tens(self, verb: str, entries: Sequence[Mapping[str, Any]], request: Callable[[list[Any]], Any]) -> None:
        """An entry that fails stops no other; a request that fails is the last, for the next would wait as long for nothing."""
        undone: set[str] = set()
        error: QueueError | None = None
        for place in range(0, len(entries), BATCH_MESSAGES):
            chunk = [{"Id": str(n), **entry} for n, entry in enumerate(entries[place : place + BATCH_MESSAGES])]
            try:
                with translated(self.name):
                    failed = request(chunk).get("Failed", [])
            except QueueError as fault:
                error = error or fault
                undone.update(entry["ReceiptHandle"] for entry in entries[place:])
                break
            if failed:
                error = error or self._refusal(verb, failed)
                undone.update(chunk[int(entry["Id"])]["ReceiptHandle"] for entry in failed)
        if error is not None:
            error.handles = frozenset(undone)
            raise error

    def _refusal(self, verb: str, failed: Sequence[Any]) -> QueueError:
        first = failed[0]
        error = QueueRefused if first.get("SenderFault") else QueueUnavailable
        return error(f"{self.name}: SQS did not {verb} {len(failed)} messages: {first.get('Code')} {first.get('Message', '')}")


def in_tens(things: Iterable[T]) -> Iterator[list[T]]:
    """The things in lists of ten, SQS's batch."""
    chunk: list[T] = []
    for thing in things:
        chunk.append(thing)
        if len(chunk) == BATCH_MESSAGES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _message(raw: MessageTypeDef) -> Message:
    system = raw.get("Attributes", {})
    return Message(
        message_id=raw["MessageId"],
        receipt_handle=raw["ReceiptHandle"],
        body=raw["Body"],
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_milliseconds=int(system.get("SentTimestamp", 0)),
        attributes={name: value.get("StringValue", "") for name, value in raw.get("MessageAttributes", {}).items()},
        typed_attributes=cast(Mapping[str, Any], raw.get("MessageAttributes", {})),
    )


@cache
def queue_for(kind: str, lane: str = NORMAL) -> Queue:
    """The queue of a kind's lane; a lane that the kind has not is the normal one."""
    name = kind_named(kind).queue_name(lane)
    is_normal = name == kind_named(kind).queue_name()
    url = settings().queue_url(kind) if is_normal else None
    return Queue(prefixed(name), url, kind=kind, lane=NORMAL if is_normal else lane)


@cache
def dead_letters_of(kind: str) -> Queue:
    """The dead-letter queue of a kind."""
    return Queue(prefixed(kind_named(kind).dead_letter_name))
