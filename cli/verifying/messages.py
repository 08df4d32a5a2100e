"""What may happen to messages: many at once, twice, unreadable."""

from __future__ import annotations

from functools import partial

from cli.verifying.play import USER, Play, Scenario, article, video
from queues.queue import Outgoing, queue_for
from queues.wire import JobMessage

PLAIN = 30
DOUBLED = 12
COPIES = 3


def plain(play: Play) -> None:
    play.submit(*(article() for _ in range(PLAIN - 5)), *(video() for _ in range(5)))
    play.completed()


def duplicates(play: Play) -> None:
    """Copies come before, while and after the job runs."""
    orders = [article() for _ in range(DOUBLED)]
    for order in orders[: DOUBLED // 2]:
        play.treat(order, wait_seconds=2)
    job_ids = play.submit(*orders)
    for job_id in job_ids:
        play.send(job_id, "articles", COPIES)
    versions = {job.id: job.version for job in play.completed() if not job.effects}
    for job_id in job_ids:
        play.send(job_id, "articles", COPIES)
    play.did(f"{2 * COPIES * DOUBLED} duplicates")
    play.submit(article())
    play.completed()
    changed = [job_id for job_id, version in versions.items() if play.job(job_id).version != version]
    play.expect(not changed, f"a copy changed the completed job {changed[:1]}")


def unreadable(play: Play) -> None:
    """Into the dead-letter queue with the reason; the job behind them is not held up."""
    bodies = ["{", '{"userId": "verify", "type": "articles"}', JobMessage("of-nobody", USER, "articles").body()]
    for body in bodies:
        queue_for("articles").send(Outgoing(body))
    play.did(f"{len(bodies)} unreadable messages")
    play.submit(article())
    play.completed()
    for body in bodies:
        play.wait_for(partial(_is_set_aside, play, body), f"a dead letter of {body} with a reason")


def _is_set_aside(play: Play, body: str) -> bool:
    return any(letter.body == body and letter.reason for letter in play.stage.dead_letters.all())


MESSAGES = [
    Scenario("plain jobs", plain, together="calm"),
    Scenario("duplicates", duplicates, together="calm"),
    Scenario("unreadable messages", unreadable, together="calm"),
]
