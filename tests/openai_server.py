"""A service that speaks the part of OpenAI's API that Pressroom uses, for tests and for trying things by hand:

    python -m tests.openai_server --port 9001
    AI_PROVIDER=openai OPENAI_API_KEY=any OPENAI_BASE_URL=http://127.0.0.1:9001/v1 make up

What it can be told over `/_control` is in `devstack.generating_server` and in `OpenAIMaking` below.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import signal
import time
from collections.abc import Iterator
from threading import Event
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from devstack import made
from devstack.generating_server import GeneratingServer, Making, Received, Refusal, Reply, body_of

KEY = "test-key"
MODELS = ("writer", "painter")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Message(_Body):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(min_length=1)]


class StreamOptions(_Body):
    include_usage: bool


class CompletionBody(_Body):
    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: Literal[True]
    stream_options: StreamOptions


class ImageBody(_Body):
    model: str
    prompt: Annotated[str, Field(min_length=1, max_length=32_000)]
    size: Annotated[str, Field(pattern=r"^\d+x\d+$")]
    n: Literal[1]


class OpenAIMaking(Making):
    """`text`: answered instead of an article. `finish_reason`: how the model ends. `refusal`: its words instead of a text."""

    text: str | None = None
    finish_reason: str | None = "stop"
    refusal: str | None = None
    image_as: Literal["b64_json", "url"] = "b64_json"
    image_size: str | None = None


class OpenAIServer(GeneratingServer):
    """The service. `base_url` is what the SDK is given. Only `KEY` opens it."""

    making_type = OpenAIMaking
    making: OpenAIMaking

    def __init__(self, *, port: int = 0, making: OpenAIMaking | None = None, any_key: bool = False) -> None:
        self._any_key = any_key
        self._pictures: list[bytes] = []
        super().__init__(port=port, making=making)
        self.base_url = f"{self.address}/v1"

    def error_body(self, status: int, detail: object) -> Any:
        message = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in detail) if isinstance(detail, list) else detail
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}

    def answer(self, request: Received, reply: Reply) -> None:
        if request.path.startswith("/pictures/"):
            reply.file(self._pictures[int(request.path.removeprefix("/pictures/"))], "image/png")
            return
        if not self._any_key and request.header("Authorization") != f"Bearer {KEY}":
            raise Refusal(401, f"Incorrect API key provided: {request.header('Authorization')}")
        match request.method, request.path:
            case "GET", "/v1/models":
                reply.json({"object": "list", "data": [{"id": model, "object": "model"} for model in MODELS]})
            case "POST", "/v1/chat/completions":
                self._complete(request, reply)
            case "POST", "/v1/images/generations":
                self._draw(request, reply)
            case _:
                raise Refusal(404, f"Invalid URL ({request.method} {request.path})")

    def _complete(self, request: Received, reply: Reply) -> None:
        order = body_of(request, CompletionBody)
        self._require_model(order.model)
        text = self.generated(request, reply, lambda: self.making.text or _written(order.messages))
        reply.events([*(json.dumps(chunk) for chunk in self._chunks(order.model, text)), "[DONE]"])

    def _chunks(self, model: str, text: str) -> Iterator[dict[str, Any]]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": int(time.time()), "model": model}

        def choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], "usage": None}

        yield choice({"role": "assistant", "content": ""})
        if self.making.refusal:
            yield choice({"refusal": self.making.refusal})
        else:
            yield from (choice({"content": piece}) for piece in made.pieces(text))
        yield choice({}, self.making.finish_reason)
        tokens = len(text) // 4
        yield {**head, "choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": tokens, "total_tokens": 50 + tokens}}

    def _draw(self, request: Received, reply: Reply) -> None:
        order = body_of(request, ImageBody)
        self._require_model(order.model)
        width, height = (int(side) for side in (self.making.image_size or order.size).split("x"))
        if width % 16 or height % 16:
            raise Refusal(400, f"Invalid size '{order.size}'. Width and height must both be divisible by 16.")
        picture = self.generated(request, reply, lambda: made.picture(width, height, order.prompt))
        if self.making.image_as == "url":
            self._pictures.append(picture)
            image = {"url": f"{self.address}/pictures/{len(self._pictures) - 1}"}
        else:
            image = {"b64_json": base64.b64encode(picture).decode()}
        usage = {"input_tokens": 12, "output_tokens": 34, "total_tokens": 46}
        details = {"input_tokens_details": {"image_tokens": 0, "text_tokens": 12}}
        reply.json({"created": int(time.time()), "data": [image], "usage": usage | details})

    def _require_model(self, model: str) -> None:
        if not self._any_key and model not in MODELS:
            raise Refusal(404, f"The model `{model}` does not exist or you do not have access to it.")


def _written(messages: list[Message]) -> str:
    """What a model that reads its orders writes; where a part is written already, the rest."""
    order = next(message.content for message in messages if message.role == "user")
    subject = re.search(r'"([^"]+)"', order) or re.search(r"^1\. (.+)$", order, re.MULTILINE)
    length = re.search(r"about (\d+) words", order)
    _, text = made.article(subject[1] if subject else "this", int(length[1]) if length else 300)
    written = next((message.content for message in messages if message.role == "assistant"), "")
    return text.removeprefix(written).lstrip()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.openai_server", description="OpenAI's API, for trying things by hand."
    )
    parser.add_argument("--port", type=int, default=9001)
    options = parser.parse_args()
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with OpenAIServer(port=options.port, any_key=True) as server:
        print(f"OpenAI's API at {server.base_url}", flush=True)  # noqa: T201 - a program for people
        stopped.wait()


if __name__ == "__main__":
    main()
