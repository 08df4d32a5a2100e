"""An AI service that follows the contract of `AI_SERVICE_URL` to the letter, for tests and for trying things by hand:

    python -m devstack.ai_service --port 9000
    AI_SERVICE_URL=http://127.0.0.1:9000 make up

What it can be told over `/_control` is in `devstack.generating_server` and in `AiMaking` below.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import signal
from dataclasses import dataclass
from threading import Event
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from devstack import made
from devstack.generating_server import GeneratingServer, Making, Received, Refusal, Reply, body_of

Sides = Annotated[str, Field(pattern=r"^\d{2,4}x\d{2,4}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ArticleBody(_Body):
    topic: str | None
    word_count: Annotated[int, Field(ge=1)]
    tone: str
    seo_optimization: bool
    include_images: bool
    keywords: list[str]
    outline: list[str]
    language: str


class ImageBody(_Body):
    prompt: Annotated[str, Field(min_length=1)]
    size: Sides
    style: str | None


class VideoBody(_Body):
    prompt: Annotated[str, Field(min_length=1)]
    duration: Annotated[int, Field(ge=1, le=60)]
    size: Sides


class AiMaking(Making):
    """`video_polls`: how often a video is asked for until it is done; it then fails if there is a `video_error`."""

    streams: bool = True
    title_in_text: bool = True
    image_as: Literal["url", "base64"] = "url"
    image_size: Sides | None = None
    video_polls: Annotated[int, Field(ge=1)] = 3
    video_error: str | None = None


@dataclass
class Task:
    """A video that is being made."""

    order: VideoBody
    idempotency_key: str | None
    status: str = "queued"
    polls: int = 0
    error: str | None = None


class AiService(GeneratingServer):
    """The service. `tasks` are its videos by their id."""

    making_type = AiMaking
    making: AiMaking

    def __init__(self, *, port: int = 0, making: AiMaking | None = None) -> None:
        self.tasks: dict[str, Task] = {}
        self._files: dict[str, tuple[bytes, str]] = {}
        super().__init__(port=port, making=making)

    def answer(self, request: Received, reply: Reply) -> None:
        if request.method == "GET":
            self._get(request.path, reply)
        elif mode := re.fullmatch(r"/api/generation/(topic|keywords|outline)", request.path):
            self._write(mode[1], request, reply)
        elif request.path == "/api/images/generate":
            self._draw(request, reply)
        elif request.path == "/api/videos/generate":
            self._film(request, reply)
        elif task := re.fullmatch(r"/api/videos/([^/]+)/cancel", request.path):
            self._cancel(task[1], reply)
        else:
            raise Refusal(404, "Not Found")

    def _get(self, path: str, reply: Reply) -> None:
        if path == "/health":
            reply.json({"status": "ok"})
        elif task := re.fullmatch(r"/api/videos/([^/]+)", path):
            self._poll(task[1], reply)
        elif file := re.fullmatch(r"/files/(.+)", path):
            self._send_file(file[1], reply)
        else:
            raise Refusal(404, "Not Found")

    def _write(self, mode: str, request: Received, reply: Reply) -> None:
        order = body_of(request, ArticleBody)
        if not getattr(order, mode):
            raise Refusal(422, f"mode {mode!r} needs {mode!r}")
        _require_key(request)
        subject = order.topic or (order.keywords or order.outline)[0]
        title, content = self.generated(request, reply, lambda: made.article(subject, order.word_count, order.outline))
        if not self.making.title_in_text:
            content = content.partition("\n\n")[2]
        usage = {"input_tokens": len(request.body) // 4, "output_tokens": len(content) // 4}
        if self.making.streams and "text/event-stream" in (request.header("Accept") or ""):
            events: list[dict[str, Any]] = [{"text": piece} for piece in made.pieces(content)]
            reply.events(json.dumps(event) for event in [*events, {"done": True, "title": title, "usage": usage}])
        else:
            reply.json({"title": title, "content": content, "word_count": len(content.split()), "usage": usage})

    def _draw(self, request: Received, reply: Reply) -> None:
        order = body_of(request, ImageBody)
        _require_key(request)
        width, height = _sides(self.making.image_size or order.size)
        content = self.generated(request, reply, lambda: made.picture(width, height, order.prompt))
        if self.making.image_as == "base64":
            reply.json({"image_base64": base64.b64encode(content).decode(), "content_type": "image/png"})
        else:
            name = f"{uuid4().hex}.png"
            self._files[name] = content, "image/png"
            reply.json({"url": f"{self.address}/files/{name}"})

    def _film(self, request: Received, reply: Reply) -> None:
        order = body_of(request, VideoBody)
        _require_key(request)
        reply.json({"task_id": self.generated(request, reply, lambda: self._new_task(order, request))}, status=202)

    def _new_task(self, order: VideoBody, request: Received) -> str:
        task_id = f"task-{uuid4().hex}"
        self.tasks[task_id] = Task(order, request.header("Idempotency-Key"))
        return task_id

    def _poll(self, task_id: str, reply: Reply) -> None:
        task = self._task(task_id)
        if task.status in ("queued", "processing"):
            task.polls += 1
            if task.polls >= self.making.video_polls:
                task.status = "completed"
                if self.making.video_error:
                    self._fail(task, self.making.video_error)
            elif task.polls > 1:
                task.status = "processing"
        done = task.status == "completed"
        progress = 100 if done else min(99, 100 * (task.polls - 1) // self.making.video_polls)
        url = f"{self.address}/files/{task_id}.mp4" if done else None
        reply.json({"status": task.status, "progress": progress, "url": url, "error": task.error})

    def _cancel(self, task_id: str, reply: Reply) -> None:
        task = self._task(task_id)
        if task.status not in ("queued", "processing"):
            raise Refusal(409, f"the task is {task.status}")
        self._fail(task, "cancelled")
        reply.json({"status": task.status})

    def _fail(self, task: Task, error: str) -> None:
        task.status, task.error = "failed", error
        self.forget("/api/videos/generate", task.idempotency_key)

    def _task(self, task_id: str) -> Task:
        if task_id not in self.tasks:
            raise Refusal(404, "no such task")
        return self.tasks[task_id]

    def _send_file(self, name: str, reply: Reply) -> None:
        task_id = name.removesuffix(".mp4")
        if task_id in self.tasks and name not in self._files:
            order = self.tasks[task_id].order
            self._files[name] = made.video(*_sides(order.size), order.duration, order.prompt), "video/mp4"
        if name not in self._files:
            raise Refusal(404, "no such file")
        reply.file(*self._files[name])


def _require_key(request: Received) -> None:
    if not request.header("Idempotency-Key"):
        raise Refusal(400, "the header Idempotency-Key is missing")


def _sides(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m devstack.ai_service", description="An AI service for trying things by hand."
    )
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with AiService(port=options.port) as service:
        print(f"AI service at {service.address}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
