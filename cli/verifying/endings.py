"""The ends of jobs that are not completed: refused, given up, cancelled, expired, too long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from cli.verifying.play import Play, Scenario, article, image, video
from cli.verifying.stage import KIND_APART
from jobs.life import Status
from queues.steps import Step

RACES = 20
RACE_SECONDS = 1.0
RETRY_AFTER_SECONDS = 12
HUNG_SECONDS = 3
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def failures(play: Play) -> None:
    """What the provider refuses fails at once, what it can't do after the last attempt; both are dead letters."""
    refused, hopeless, flaky = article(), article(), article()
    for order, status, times in ((refused, 400, None), (hopeless, 500, None), (flaky, 500, 1)):
        play.treat(order, status=status, times=times)
    ids = play.submit(refused, hopeless, flaky)
    play.did("service errors")
    ended = play.ended()
    found = [(job.status.value, (job.error or {}).get("code"), job.attempts) for job in ended]
    wanted = [("failed", "provider_refused", 1), ("failed", "attempts_exhausted", 3), ("completed", None, 2)]
    play.expect(found == wanted, f"the jobs {ids} ended as {found}, not as {wanted}")


def cancels(play: Play) -> None:
    """In every state before the end."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    waiting = play.accept_unsent(article(), not_before=soon)
    scheduled = play.accept_unsent(article(), not_before=soon, status=Status.SCHEDULED.value)
    retrying, writing, filming = article(), article(), video()
    play.treat(retrying, status=500, retry_after=str(RETRY_AFTER_SECONDS), times=1)
    play.treat(writing, wait_seconds=play.stage.patience_seconds)
    running = play.submit(retrying, writing, filming)
    play.wait_for_status(running[0], Status.RETRYING)
    play.wait_for_status(running[1], Status.PROCESSING)
    for job_id in (waiting, scheduled, *running[:2]):
        play.expect(play.cancel(job_id), f"the cancel of job {job_id} came too late")
    done = play.completed([running[2]])[0]
    play.expect(not play.cancel(done.id), "a completed job was cancelled")
    play.did("5 cancels")
    for job in play.ended():
        wanted = Status.COMPLETED if job.id == done.id else Status.CANCELLED
        play.expect(job.status is wanted, f"job {job.id} is {job.status}, not {wanted}")


def races(play: Play) -> None:
    """Cancel against complete: one wins, and the other says so."""
    orders = [article() for _ in range(RACES)]
    for number, order in enumerate(orders):
        play.treat(order, wait_seconds=RACE_SECONDS * number / RACES)
    answers = {}
    for job_id in play.submit(*orders):
        play.wait_for(partial(play.stage.service.generations_for.get, job_id), f"job {job_id} to be under way")
        answers[job_id] = play.cancel(job_id)
    play.did(f"{RACES} cancels")
    for job in play.ended():
        play.expect(
            answers[job.id] or job.status is Status.COMPLETED, f"job {job.id} is {job.status}, but its cancel was refused"
        )


def expiry(play: Play) -> None:
    """What never started in time is not started any more: with its message, or without."""
    play.send(play.accept_unsent(article(), expires_at=PAST), "articles")
    play.accept_unsent(article(), expires_at=PAST)
    for job in play.ended():
        play.expect(job.status is Status.EXPIRED, f"job {job.id} is {job.status}, not expired")


def too_long(play: Play) -> None:
    """A service that never answers, and a handler that never asks whether to go on: both end timed out."""
    silent, deaf = image(), image()
    play.treat(silent, hang="before")
    planted = play.plant("hang", Step.CALLING, deaf.job_id, always=True)
    worker = play.stage.worker(KIND_APART, slots=16, PRESSROOM_FAULTS=f"max_seconds={HUNG_SECONDS}")
    try:
        with worker.serving():
            play.submit(silent, deaf)
            play.did("2 hung handlers")
            for job in play.ended():
                play.expect(job.status is Status.FAILED, f"job {job.id} is {job.status}, not failed")
                codes = {entry.get("code") for entry in job.history if entry["verb"] == "retry_later"}
                play.expect(codes == {"timed_out"}, f"the attempts of job {job.id} ended as {codes}, not timed out")
            play.completed(play.submit(image()))
    finally:
        planted.unlink(missing_ok=True)


ENDINGS = [
    Scenario("failures", failures, together="calm"),
    Scenario("cancels", cancels, together="calm"),
    Scenario("cancels that race", races, together="calm"),
    Scenario("expiry", expiry, together="calm"),
    Scenario("hung jobs", too_long, together="calm"),
]
