"""SQS, MongoDB or the AI service away: everybody waits and goes on, and what a queue lost is sent again."""

from __future__ import annotations

from cli.verifying.play import Play, Scenario, article
from cli.verifying.ways import away
from queues.queue import queue_for
from settings import settings

JOBS = 20
RUN_SECONDS = 2
VISIBILITIES = 3


def queues_emptied(play: Play) -> None:
    """SQS goes away and comes back without a message, as a restarted one in memory does."""
    with away(play.stage.ways.sqs):
        ids = play.submit(*(article() for _ in range(JOBS)))
        queue_for("articles").purge()
    play.did(f"{JOBS} messages lost")
    play.completed(ids)


def messages_deleted(play: Play) -> None:
    """Somebody takes some of the messages off the queue."""
    taken = 0
    with away(play.stage.ways.sqs):
        ids = play.submit(*(article() for _ in range(JOBS)))
        while taken < JOBS // 2:
            messages = queue_for("articles").receive(JOBS // 2 - taken, visibility_seconds=60, wait_seconds=1)
            queue_for("articles").delete([message.receipt_handle for message in messages])
            taken += len(messages)
    play.did(f"{taken} messages lost")
    play.completed(ids)


def sqs_away(play: Play) -> None:
    """While jobs run: they come to their end, and those that were accepted meanwhile run afterwards."""
    _under_way(play)
    with away(play.stage.ways.sqs):
        play.stage.let_pass(play.stage.visibility_seconds)
        unsent = [play.accept_unsent(article()) for _ in range(JOBS // 2)]
    play.did(f"{play.stage.visibility_seconds} s without SQS")
    play.completed()
    play.completed(unsent)


def mongodb_away(play: Play) -> None:
    """For longer than a lease, while jobs run."""
    way = play.stage.ways.mongodb
    if way is None:
        play.did("left out: MongoDB is behind TLS")
        return
    _under_way(play)
    seconds = settings().lease_seconds + 2
    with away(way):
        play.stage.let_pass(seconds)
    play.did(f"{seconds} s without MongoDB")
    play.completed()


def service_away(play: Play) -> None:
    """For three visibility timeouts: no attempt is spent on it, no message becomes a dead letter."""
    seconds = VISIBILITIES * play.stage.visibility_seconds
    with away(play.stage.ways.ai):
        play.submit(*(article() for _ in range(JOBS)))
        play.stage.let_pass(seconds)
    play.did(f"{seconds} s without the AI service")
    play.completed()


def _under_way(play: Play) -> None:
    """Twenty jobs run, and will for a while."""
    orders = [article() for _ in range(JOBS)]
    for order in orders:
        play.treat(order, wait_seconds=RUN_SECONDS)
    ids = play.submit(*orders)
    play.wait_for(lambda: all(play.stage.service.generations_for[job_id] for job_id in ids), "all jobs to be under way")


OUTAGES = [
    Scenario("queues emptied", queues_emptied),
    Scenario("messages deleted", messages_deleted),
    Scenario("SQS away", sqs_away),
    Scenario("MongoDB away", mongodb_away),
    Scenario("the AI service away", service_away),
]
