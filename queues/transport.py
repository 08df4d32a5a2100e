"""Celery's way to SQS: a kombu transport whose messages are ours.

    broker_url = "sqs://"    broker_transport = "queues.transport:Transport"

Receivers (threads with boto3's long poll) fill the registry of deliveries; this transport turns each delivery into a Celery
message whose task id is the job's id and hands it to Celery's consumer, on the consumer's own thread. Acknowledging settles the
delivery. Celery's prefetch count is the process's number of slots; nothing is prefetched beyond it. SQS being away never shows
as a connection error, so Celery never restarts its consumer for it.
"""

from __future__ import annotations

import socket
from queue import Empty
from typing import Any

from kombu.message import Message
from kombu.transport import virtual

from queues.catalogue import kind_named
from queues.clients import sqs
from queues.deliveries import Delivery, Leave, Visible, deliveries
from queues.receiver import Receiver
from queues.settling import settler
from queues.turns import Turns

HOST = socket.gethostname()


class QoS(virtual.QoS):
    """Acknowledging goes to the registry of deliveries; a closed channel restores nothing."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """The registry holds it already."""

    def can_consume(self) -> bool:
        return True

    def ack(self, delivery_tag: str) -> None:
        deliveries().settle(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        deliveries().settle(delivery_tag, Visible(0) if requeue else Leave())


class TaskMessage(Message):
    """A delivery as a message of Celery's task protocol 2, the job's id as the task's, and its one argument.

    Its body is what a body says, not text: nothing is encoded here to be decoded at once, twice for each task. Celery takes a
    body without a content type as it is.
    Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
    """

    def __init__(self, delivery: Delivery, channel: Channel) -> None:
        job_id, kind = delivery.job.job_id, delivery.job.kind
        body: Any = ((job_id,), {}, {})
        super().__init__(
            body=body,
            channel=channel,
            delivery_tag=delivery.tag,
            delivery_info={"exchange": "", "routing_key": kind},
            properties={"correlation_id": job_id, "delivery_tag": delivery.tag},
            headers={
                "lang": "py",
                "task": kind,
                "id": job_id,
                "root_id": job_id,
                "parent_id": None,
                "group": None,
                "retries": 0,
                "eta": None,
                "expires": None,
                "timelimit": [None, None],
                "argsrepr": f"('{job_id}',)",
                "kwargsrepr": "{}",
                "origin": HOST,
                "ignore_result": True,
                "headers": {},  # or Celery looks for custom ones, in a fiftieth of a tiny job's time
            },
        )
        self._decoded_cache = body


class Channel(virtual.Channel):
    """Consumes kinds by receivers, one for each lane; a lane is no affair of Celery's."""

    Message = TaskMessage
    QoS = QoS
    do_restore = False

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._receivers: dict[str, list[Receiver]] = {}

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:
        """Nothing is asked of SQS: queues are made by provisioning alone, and looked up when used."""
        return virtual.base.queue_declare_ok_t(queue, 0, 0)

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> None:
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)
        lanes = kind_named(queue).lanes
        turns = Turns() if len(lanes) > 1 else None
        self._receivers[consumer_tag] = [Receiver(queue, deliveries(), lane, turns) for lane in lanes]
        for receiver in self._receivers[consumer_tag]:
            receiver.start()

    def basic_cancel(self, consumer_tag: str) -> None:
        for receiver in self._receivers.pop(consumer_tag, []):
            receiver.stop()
        super().basic_cancel(consumer_tag)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        super().basic_qos(prefetch_size, prefetch_count, apply_global)
        deliveries().set_capacity(prefetch_count)


class Transport(virtual.Transport):
    """kombu's view of SQS."""

    Channel = Channel
    driver_type = "sqs"
    driver_name = "pressroom"
    default_port = None
    can_parse_url = True
    connection_errors = ()
    channel_errors = ()

    implements = virtual.Transport.implements.extend(asynchronous=False, exchange_type=frozenset({"direct"}), heartbeats=False)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        deliveries().on_settled = settler().put

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {}

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Where the queues are, for Celery's banner and log."""
        return f"sqs+{sqs().meta.endpoint_url}"

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Hand one delivery to its consumer.

        Raises:
            socket.timeout: none came within `timeout` seconds.
        """
        try:
            delivery = deliveries().next_arrival(timeout)
        except Empty:
            raise TimeoutError from None
        if delivery is None:
            return
        if delivery.job.kind not in self._callbacks:  # cancelled since: somebody else's
            deliveries().settle(delivery.tag, Visible(0))
            return
        self._deliver(delivery, delivery.job.kind)
