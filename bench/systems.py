"""The systems beside each other: Pressroom and its peers, each with its own worker and its own way to submit."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.environments import HERE, python_of, versions_of
from bench.ground import Ground, wait_until
from bench.processes import Running
from bench.work import JOBS, RESULTS, STARTS
from settings import CHECKOUT

SLOTS = 8
PEERS = HERE / "peers"


class System(ABC):
    """What is measured. Its jobs are documents of the bench's database, its queue one of its own."""

    name: str
    jobs_at_once = 1_000
    """How many jobs a drain takes. A slow one is spared the rest."""
    collection = JOBS
    queue: str

    @abstractmethod
    def worker(self, ground: Ground, slots: int = SLOTS, **variables: str) -> Running:
        """A worker with so many slots, just started."""

    @abstractmethod
    def submit(self, ground: Ground, count: int, payload: dict[str, Any] | None = None) -> list[str]:
        """Queue so many jobs."""

    def submit_one(self, ground: Ground) -> str:
        """Queue one job, as a request does."""
        return self.submit(ground, 1)[0]

    @abstractmethod
    def versions(self) -> str:
        """Its packages, for the table."""

    def began(self, ground: Ground, job_id: str) -> float | None:
        """When the work of a claimed job began; None: it is not done yet."""
        result = ground.database[RESULTS].find_one({"_id": job_id})
        return result["began"] if result else None

    def starts(self, ground: Ground) -> list[float]:
        """When jobs that note it began, each as often as it did."""
        return [start["began"] for start in ground.database[STARTS].find().sort("began")]

    def url(self, ground: Ground) -> str:
        return ground.make_queue(self.queue)

    def clear(self, ground: Ground) -> None:
        """Forget all jobs."""
        for name in (self.collection, RESULTS, STARTS):
            ground.database[name].delete_many({})

    def completed(self, ground: Ground) -> int:
        return ground.database[self.collection].count_documents({"status": "completed"})

    def wait_for(self, ground: Ground, count: int, seconds: float = 180) -> None:
        wait_until(lambda: self.completed(ground) >= count, f"{count} jobs of {self.name}", seconds, look_seconds=0.1)

    def wait_for_acknowledgements(self, ground: Ground) -> None:
        url = self.url(ground)
        wait_until(lambda: ground.messages_in(url) == 0, f"the messages of {self.name} to be deleted", look_seconds=0.1)

    def warm(self, ground: Ground, jobs: int = 40) -> None:
        """Return once a worker just started has done its first jobs."""
        self.clear(ground)
        self.submit(ground, jobs)
        self.wait_for(ground, jobs)
        self.wait_for_acknowledgements(ground)


@dataclass
class Peer(System):
    """Another system: its program in `peers/`, its environment, the words that start its worker."""

    name: str
    program: str
    environment: str
    packages: tuple[str, ...]
    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    jobs_at_once: int = 1_000

    def __post_init__(self) -> None:
        self.queue = "peer-" + self.name.replace(" ", "-")

    def worker(self, ground: Ground, slots: int = SLOTS, **variables: str) -> Running:
        python = python_of(self.environment)
        named = {
            "python": str(python),
            "bin": str(python.parent),
            "program": str(PEERS / self.program),
            "url": self.url(ground),
            "slots": str(slots),
            "visibility": variables.pop("visibility", "900"),
        }
        words = ground.listed([word.format(**named) for word in self.words])
        return Running(words, ground.log(self.queue), PEERS, self._environment(ground) | variables)

    def submit(self, ground: Ground, count: int, payload: dict[str, Any] | None = None) -> list[str]:
        run = secrets.token_hex(4)
        ids = [f"{run}-{place}" for place in range(count)]
        made = [{"_id": job_id, "status": "queued", "payload": payload or {}} for job_id in ids]
        ground.database[self.collection].insert_many(made)
        self._send(ground, ids, payload or {})
        return ids

    def _send(self, ground: Ground, ids: list[str], payload: dict[str, Any]) -> None:
        words = [python_of(self.environment), PEERS / self.program]
        subprocess.run(
            words, input="\n".join(ids), text=True, cwd=PEERS, env=self._environment(ground), check=True, capture_output=True
        )

    def _environment(self, ground: Ground) -> dict[str, str]:
        return ground.environment | {"BENCH_QUEUE_URL": self.url(ground), "PYTHONUNBUFFERED": "1"} | self.variables

    def versions(self) -> str:
        return f"{self.name}: {versions_of(self.environment, *self.packages)}"


class Loop(Peer):
    """The plain worker's messages are written here: it has no library that would."""

    def submit_one(self, ground: Ground) -> str:
        job_id = secrets.token_hex(8)
        ground.database[self.collection].insert_one({"_id": job_id, "status": "queued", "payload": {}})
        ground.client.send_message(QueueUrl=self._url, MessageBody=json.dumps({"jobId": job_id}))
        return job_id

    def _send(self, ground: Ground, ids: list[str], payload: dict[str, Any]) -> None:
        url = self._url = self.url(ground)
        for place in range(0, len(ids), 10):
            bodies = [json.dumps({"jobId": job_id} | payload) for job_id in ids[place : place + 10]]
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
            ground.client.send_message_batch(QueueUrl=url, Entries=entries)


@dataclass
class Pressroom(System):
    """This one, by its own worker; with a `checkout`, that of another one, to compare two states of it."""

    name: str = "pressroom"
    checkout: Path = CHECKOUT
    collection: str = "jobs"
    queue: str = "bench-tiny"

    def worker(self, ground: Ground, slots: int = SLOTS, **variables: str) -> Running:
        self.url(ground)  # workers make no queues
        celery = str(Path(sys.executable).with_name("celery"))
        words = [celery, "-A", "bench.app", "worker", "-Q", "tiny", "-c", str(slots)]
        environment = ground.environment | {"PYTHONPATH": str(self.checkout)} | variables
        return Running(ground.listed(words), ground.log(self.name), self.checkout, environment)

    def url(self, ground: Ground) -> str:
        import bench.app  # noqa: F401 - adds the kind
        from queues.catalogue import KINDS
        from queues.provision import carry_out
        from queues.queue import queue_for

        list(carry_out([KINDS["tiny"]]))
        return queue_for("tiny").url

    def submit_one(self, ground: Ground) -> str:
        """As a web process does: nobody waits until the message is named in the job."""
        from jobs.naming import naming
        from jobs.submit import Order, submit

        naming().start()
        return submit(Order(kind="tiny", payload={}, user_id="bench")).id

    def submit(self, ground: Ground, count: int, payload: dict[str, Any] | None = None) -> list[str]:
        from jobs.naming import naming
        from jobs.submit import Order, submit_many

        self.url(ground)
        ids: list[str] = []
        while (left := count - len(ids)) > 0:
            orders = [Order(kind="tiny", payload=payload or {}, user_id="bench")] * min(left, 1_000)
            ids += [job.id for job in submit_many(orders)]
        assert naming().flush(60)  # it belongs to submitting
        return ids

    def completed(self, ground: Ground) -> int:
        return ground.database[self.collection].count_documents({"kind": "tiny", "status": "completed"})

    def versions(self) -> str:
        from importlib.metadata import version

        packages = ("celery", "kombu", "boto3", "pymongo", "flask")
        return f"{self.name}: " + ", ".join(f"{package} {version(package)}" for package in packages)


LOOP = Loop(
    name="boto3 loop",
    program="loop.py",
    environment="loop",
    packages=("boto3", "pymongo"),
    words=("{python}", "{program}", "{url}", "{slots}", "single", "{visibility}"),
)
BATCHING_LOOP = Loop(
    name="boto3 loop batching",
    program="loop.py",
    environment="loop",
    packages=("boto3", "pymongo"),
    words=("{python}", "{program}", "{url}", "{slots}", "batch", "{visibility}"),
)
DRAMATIQ = Peer(
    name="dramatiq",
    program="dramatiq_app.py",
    environment="dramatiq",
    packages=("dramatiq", "dramatiq-sqs", "boto3"),
    words=("{bin}/dramatiq", "dramatiq_app", "--processes", "1", "--threads", "{slots}"),
)
TASKIQ = Peer(
    name="taskiq",
    program="taskiq_app.py",
    environment="taskiq",
    packages=("taskiq", "taskiq-aio-sqs", "aiobotocore"),
    words=(
        *("{bin}/taskiq", "worker", "taskiq_app:broker", "--workers", "1"),
        *("--max-async-tasks", "{slots}", "--max-threadpool-threads", "{slots}"),
    ),
)


def _celery(pool: str, prefetch: int, jobs: int) -> Peer:
    return Peer(
        name=f"celery {pool} {prefetch}",
        program="celery_app.py",
        environment="celery",
        packages=("celery", "kombu", "boto3"),
        words=("{bin}/celery", "-A", "celery_app", "worker", "-P", pool, "-c", "{slots}", "--loglevel", "INFO"),
        variables={"PREFETCH": str(prefetch)},
        jobs_at_once=jobs,
    )


CELERY = {(pool, prefetch): _celery(pool, prefetch, jobs) for pool, prefetch, jobs in [
    ("threads", 4, 1_000), ("threads", 1, 100), ("prefork", 4, 400), ("prefork", 1, 100),
]}  # fmt: skip
