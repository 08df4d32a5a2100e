"""`make demo`: one real run of everything. An article, an image and a video are ordered over HTTP and end up as files.

It is a client like any other. The stack is a process of its own, on free ports, with data that is thrown away; nothing of a
`make up` in the same checkout is used or disturbed.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import av
import requests
from PIL import Image
from pymongo import MongoClient
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from devstack.errors import StackError
from devstack.server import free_port
from devstack.stack import HOME, SHARED, names_sqs, without_aws
from devstack.stopping import Stopped, ignore_signals, stop_on_signals
from settings import CHECKOUT

DEMO_HOME = HOME / "demo"
OUTPUT = CHECKOUT / "demo-output"
READY_SECONDS = 90
JOBS_SECONDS = 180
LOOK_SECONDS = 0.25
STOP_SECONDS = 60
FINAL = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass
class Order:
    """One thing the demo orders, and what has become of it."""

    name: str
    submit_at: str
    look_at: str
    request: Mapping[str, Any]
    job_id: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        return self.job.get("status") in FINAL

    @property
    def line(self) -> str:
        """Where it stands, in words."""
        return str(self.job.get("message") or self.job.get("status") or "submitted")


def orders() -> list[Order]:
    media = "/api/media/generate"
    article = {"mode": "topic", "topic": "Lighthouses and the people who kept them", "wordCount": 400, "tone": "Professional"}
    image = {"type": "image", "prompt": "A lighthouse at dusk, waves below", "size": "1024x1024"}
    video = {"type": "video", "prompt": "A lighthouse turning its light", "duration": 3, "size": "640x360"}
    return [
        Order("article.md", "/api/content/generate", "/api/content/jobs/{}", article),
        Order("image.png", media, media + "?jobId={}", image),
        Order("video.mp4", media, media + "?jobId={}", video),
    ]


def run(home: Path = DEMO_HOME, output: Path = OUTPUT) -> int:
    """The whole demo; the exit code. The files go to `output`; the last line on stdout is a JSON summary.

    Raises:
        StackError: why it did not come to its end, in one line.
    """
    stop_on_signals()
    began = time.monotonic()
    wanted = orders()
    output.mkdir(parents=True, exist_ok=True)
    for order in wanted:
        (output / order.name).unlink(missing_ok=True)
    console = Console()
    console.print("Starting MongoDB, SQS and every process of the Procfile …")
    with running_stack(home) as stack:
        stack.wait_until_ready()
        for order in wanted:
            order.job_id = str(stack.call("POST", order.submit_at, json=order.request)["jobId"])
        follow(stack, wanted, console)
        files = {order.name: describe(save(stack, order, output)) for order in wanted}
        console.print("Stopping …")
    console.print(f"\nMade by the provider {stack.provider}, in {output}:", soft_wrap=True, highlight=False)
    for name, facts in files.items():
        console.print(f"  {name:<12}{in_words(facts)}", soft_wrap=True, highlight=False)
    seconds = round(time.monotonic() - began, 1)
    summary = {"ok": True, "seconds": seconds, "provider": stack.provider, "directory": str(output), "files": files}
    print(json.dumps(summary), flush=True)
    return 0


class RunningStack:
    """A stack of the demo's own, spoken to over HTTP."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = home / "stack.log"
        environment = _environment(port)
        self.provider = environment["AI_PROVIDER"]
        self._borrowed = (environment["MONGODB_URI"], environment["MONGODB_DATABASE"]) if "MONGODB_URI" in environment else None
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the shell has no business on loopback
        self._parent = os.getppid()
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "devstack", "up", "--home", str(home), "--throwaway"]
            self._process = subprocess.Popen(
                command, cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def check(self) -> None:
        """Raise what keeps the demo from going on."""
        if os.getppid() != self._parent:
            raise Stopped
        if self._process.poll() is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            reason = lines[-1].removeprefix("make up: ") if lines else "The stack did not start."
            raise StackError(f"{reason} (log: {self.log})")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with suppress(requests.RequestException):
                if self._http.get(f"{self.url}/readyz", timeout=5).ok:
                    return
            time.sleep(LOOK_SECONDS)
        raise StackError(f"The web process was not ready after {READY_SECONDS} s (log: {self.log}).")

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON answer of the API; what the API refuses ends the demo with its words."""
        response = self._get(method, path, **options)
        answer: dict[str, Any] = response.json()
        return answer

    def download(self, path: str) -> bytes:
        return self._get("GET", path).content

    def _get(self, method: str, path: str, **options: Any) -> requests.Response:
        self.check()
        try:
            response = self._http.request(method, urljoin(self.url, path), timeout=30, **options)
        except requests.RequestException as error:
            self.check()
            raise StackError(f"{method} {path}: no answer ({type(error).__name__}; log: {self.log})") from None
        if not response.ok:
            raise StackError(f"{method} {path}: {response.status_code} {_problem(response)} (log: {self.log})")
        return response

    def stop(self) -> None:
        """On return everything has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its watchdog ends the others
            self._process.wait()
        if self._borrowed:
            uri, database = self._borrowed
            with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5000) as client:
                client.drop_database(database)


@contextmanager
def running_stack(home: Path) -> Iterator[RunningStack]:
    stack = RunningStack(home)
    try:
        yield stack
    finally:
        ignore_signals()
        stack.stop()


def _environment(port: int) -> dict[str, str]:
    """The caller's environment, but nothing that leads to another stack's jobs and queues."""
    kept = {"MONGODB_URI"} | ({name for name in SHARED if name.startswith("AWS_")} if names_sqs(os.environ) else set())
    inherited = dict(os.environ) if names_sqs(os.environ) else without_aws(os.environ)
    environment = {name: value for name, value in inherited.items() if name not in SHARED or name in kept}
    environment["AI_PROVIDER"] = environment.get("AI_PROVIDER") or "local"
    name = f"demo-{secrets.token_hex(3)}"
    ports = {"PORT": str(port), "FLOWER_PORT": str(free_port())}  # nobody looks at this Flower, and others want its usual port
    return environment | ports | {"MONGODB_DATABASE": f"pressroom-{name}", "QUEUE_PREFIX": f"{name}-"}


def _problem(response: requests.Response) -> str:
    with suppress(ValueError, AttributeError):
        problem = response.json()
        return str(problem.get("detail") or problem.get("title") or problem)
    return response.text[:200]


def follow(stack: RunningStack, wanted: list[Order], console: Console) -> None:
    """Look at the jobs until all have ended, and show how far they are.

    Raises:
        StackError: a job did not complete; its own words say why.
    """
    deadline = time.monotonic() + JOBS_SECONDS
    with shown(wanted, console) as show:
        while not all(order.is_final for order in wanted):
            if time.monotonic() > deadline:
                late = ", ".join(order.name for order in wanted if not order.is_final)
                raise StackError(f"Not done after {JOBS_SECONDS} s: {late} (log: {stack.log}).")
            for order in wanted:
                if not order.is_final:
                    order.answer = stack.call("GET", order.look_at.format(order.job_id))
                    order.job = order.answer.get("job", order.answer)
                    show(order)
            time.sleep(LOOK_SECONDS)
    for order in wanted:
        if order.job["status"] != "completed":
            error = order.job.get("error") or {}
            raise StackError(
                f"{order.name}: {order.job['status']}: {error.get('message', 'no reason given')} (log: {stack.log})"
            )


class _Bars:
    """Live bars for people."""

    def __init__(self, progress: Progress, wanted: list[Order]) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {
            order.name: progress.add_task(order.name, total=100, line="submitted") for order in wanted
        }

    def __call__(self, order: Order) -> None:
        self._progress.update(self._bars[order.name], completed=float(order.job.get("progress") or 0), line=order.line)


class _Lines:
    """A line for each change, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, str] = {}

    def __call__(self, order: Order) -> None:
        if self._last.get(order.name) != order.line:
            self._last[order.name] = order.line
            self._console.print(f"  {order.name:<12}{order.job.get('progress') or 0:>4} %  {order.line}")


@contextmanager
def shown(wanted: list[Order], console: Console) -> Iterator[_Bars | _Lines]:
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.fields[line]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield _Bars(progress, wanted)


def save(stack: RunningStack, order: Order, output: Path) -> Path:
    """The finished job's product as a file of the demo's output."""
    path = output / order.name
    if order.name.endswith(".md"):
        path.write_text(order.answer["result"]["content"])
    else:
        path.write_bytes(stack.download(order.answer["media"][0]["url"]))
    return path


def describe(path: Path) -> dict[str, Any]:
    """What the file holds, read from the file itself.

    Raises:
        StackError: it is not what its name says.
    """
    try:
        return {"bytes": path.stat().st_size, **_READERS[path.suffix](path)}
    except (OSError, av.FFmpegError, IndexError) as error:
        raise StackError(f"{path.name} can't be read: {error}") from None


def in_words(facts: Mapping[str, Any]) -> str:
    """What `describe` found, for people: `1024x1024, 1,220,848 bytes`."""
    said = []
    if "words" in facts:
        said.append(f"{facts['words']} words")
    if "width" in facts:
        said.append(f"{facts['width']}x{facts['height']}")
    if "frames" in facts:
        said.append(f"{facts['seconds']:g} s at {facts['fps']:g} frames a second")
    return ", ".join([*said, f"{facts['bytes']:,} bytes"])


def _read_article(path: Path) -> dict[str, Any]:
    return {"words": len(path.read_text().split())}


def _read_image(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        image.load()
        return {"width": image.width, "height": image.height}


def _read_video(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        frames = sum(1 for _ in video.decode(stream))
        rate = float(stream.average_rate or 0)
        return {
            "width": stream.width,
            "height": stream.height,
            "frames": frames,
            "fps": rate,
            "seconds": round(frames / (rate or 1), 2),
        }


_READERS = {".md": _read_article, ".png": _read_image, ".mp4": _read_video}
