"""kill -9 of a worker at every step of a delivery: another one goes on with its job, on the same attempt, paid for once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from cli.verifying.play import Play, Scenario, article, video
from cli.verifying.stage import KIND_APART
from jobs.database import database
from jobs.life import Status
from queues.steps import Step

MOST_CRASHES_BEFORE_A_KILL = 2
"""A kill hits every job that its worker runs, and the fifth ends a job: such as were hit oftener are let go first."""
NEEDS_A_FAILURE = {Step.PUT_OFF}
NEEDS_THE_RELAY = {Step.DISPATCHED, Step.SENT}
OF_NO_JOB = {Step.POLLING}


@contextmanager
def one_kill_at_a_time(play: Play) -> Iterator[None]:
    """The block plants a kill, and ends when it has happened."""
    hit_often = {"finished_at": None, "crashes": {"$gt": MOST_CRASHES_BEFORE_A_KILL}}
    with play.stage.killing:
        play.wait_for(lambda: not database().collection("jobs").count_documents(hit_often), "jobs hit by several kills to end")
        yield


def kill_at(step: Step, play: Play) -> None:
    order = video() if step is Step.KEPT else article(includeImages=step is Step.EFFECT_PERFORMED)
    with one_kill_at_a_time(play):
        if step in NEEDS_A_FAILURE:
            play.treat(order, status=500, times=1)
        planted = play.plant("kill", step, None if step in OF_NO_JOB else order.job_id)
        if step in NEEDS_THE_RELAY:
            play.accept_unsent(order)
        else:
            play.submit(order)
        play.wait_for(lambda: not planted.exists(), f"a worker to reach the step {step}")
    play.did("1 kill")
    (job,) = play.completed([str(order.job_id)], attempts=2 if step in NEEDS_A_FAILURE else 1)
    if step is Step.EFFECT_PERFORMED:
        play.expect(len(job.related_jobs) == 1, f"job {job.id} has {len(job.related_jobs)} follow-ups, not 1")
        with play.stage.worker(KIND_APART).serving():
            play.completed(job.related_jobs)


def kill_of_a_cancelled_jobs_worker(play: Play) -> None:
    """Its worker is dead when the user cancels: somebody else ends the job, and the provider's work too."""
    order = video()
    service = play.stage.service
    with one_kill_at_a_time(play):
        planted = play.plant("kill", Step.KEPT, order.job_id)
        play.submit(order)
        play.wait_for(lambda: not planted.exists(), "a worker to die with the job")
    play.did("1 kill, 1 cancel")
    play.expect(play.cancel(str(order.job_id)), "the cancel came too late")
    (job,) = play.ended()
    play.expect(job.status is Status.CANCELLED, f"job {job.id} is {job.status}, not cancelled")
    task = next(task for task in service.tasks.values() if task.idempotency_key == job.id)
    play.wait_for(lambda: task.error == "cancelled", "the provider to be told of the cancel")


KILLS = [
    *(Scenario(f"kill -9 at {step}", partial(kill_at, step), together="kills") for step in Step),
    Scenario("cancel after kill -9", kill_of_a_cancelled_jobs_worker, together="kills"),
]
