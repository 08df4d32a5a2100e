"""What a fleet goes through as a whole: deploys, crashes, a poison job, jobs longer than any time-out."""

from __future__ import annotations

import signal

from cli.verifying.fleet import WorkerProcess
from cli.verifying.play import Play, Scenario, article, video
from jobs.life import Status
from queues.steps import Step

UNDER_LOAD = 20
LOAD_SECONDS = 2
INNOCENTS = 50
VISIBILITIES = 3


def longer_than_visible(play: Play) -> None:
    """Its lease and its message are kept while it runs, so that nobody starts it a second time."""
    order = article()
    seconds = VISIBILITIES * play.stage.visibility_seconds
    play.treat(order, wait_seconds=seconds)
    play.submit(order)
    play.did(f"{seconds} s long")
    (job,) = play.completed()
    claims = [entry for entry in job.history if entry["verb"] == "claim"]
    play.expect(len(claims) == 1, f"job {job.id} was claimed {len(claims)} times")


def deploy(play: Play) -> None:
    """SIGTERM to every worker's process group, others in their place: no attempt is lost, nothing is paid for twice."""
    leaving = _load_and(play, signal.SIGTERM, UNDER_LOAD)
    play.did(f"{len(leaving)} SIGTERM")
    play.completed()
    for worker in leaving:
        code = worker.ended()
        play.expect(code == 0, f"a worker ended with {code} ({worker.log_file})")


def power_cut(play: Play) -> None:
    """SIGKILL to every worker at once, with all that it runs."""
    leaving = _load_and(play, signal.SIGKILL, UNDER_LOAD // 2)  # each of them goes on in a process of its own
    play.did(f"{len(leaving)} kills")
    play.completed()


def poison(play: Play) -> None:
    """A job that kills whatever process runs it ends failed; its neighbours keep their attempts."""
    innocents = [article() for _ in range(INNOCENTS)]
    poisonous = article()
    for order in innocents:
        play.treat(order, wait_seconds=LOAD_SECONDS / 2)
    planted = play.plant("kill", Step.CALLING, poisonous.job_id, always=True)
    try:
        ids = play.submit(*innocents[: INNOCENTS // 2], poisonous, *innocents[INNOCENTS // 2 :])
        play.did("1 poison job")
        play.completed([job_id for job_id in ids if job_id != poisonous.job_id])
        (job,) = play.ended([str(poisonous.job_id)])
    finally:
        planted.unlink(missing_ok=True)
    play.expect(job.status is Status.FAILED, f"the poison job {job.id} is {job.status}, not failed")


def _load_and(play: Play, number: signal.Signals, jobs: int) -> list[WorkerProcess]:
    """Send the fleet this signal while it runs so many jobs, a quarter of them videos."""
    orders = [video() if place % 4 == 0 else article() for place in range(jobs)]
    for order in orders:
        play.treat(order, wait_seconds=LOAD_SECONDS)
    ids = play.submit(*orders)
    play.wait_for(lambda: all(play.stage.service.generations_for[job_id] for job_id in ids), "all jobs to be under way")
    return play.stage.fleet.replaced(number)


HARDSHIPS = [
    Scenario("a job longer than its visibility", longer_than_visible, together="calm"),
    Scenario("a deploy under load", deploy),
    Scenario("all workers killed under load", power_cut),
    Scenario("a poison job among fifty", poison),
]
