"""A service that speaks the part of Replicate's API that Pressroom uses, by https://replicate.com/docs/reference/http:

python -c 'from tests.replicate_server import ReplicateServer; print(ReplicateServer(port=9002).base_url); input()'
AI_PROVIDER=replicate REPLICATE_API_TOKEN=r8_test REPLICATE_BASE_URL=http://127.0.0.1:9002/v1 make up
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from devstack import made
from devstack.generating_server import GeneratingServer, Making, Received, Refusal, Reply, body_of

TOKEN = "r8_test"
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
SIDES = {name: {"type": "integer", "minimum": 64, "maximum": 1440} for name in ("width", "height")}
PROMPT = {"prompt": {"type": "string"}}
INPUTS: dict[str, dict[str, Any]] = {
    "writer": PROMPT | {"system_prompt": {"type": "string"}, "max_tokens": {"type": "integer", "maximum": 8192}},
    "painter": PROMPT | SIDES | {"aspect_ratio": {"allOf": [{"$ref": "#/components/schemas/aspect_ratio"}]}},
    "filmer": PROMPT | SIDES | {"duration": {"type": "integer", "minimum": 1, "maximum": 10}},
}
CHOICES = {"aspect_ratio": {"enum": ["1:1", "16:9", "custom"], "type": "string"}}
OFFICIAL = ("ours/writer", "ours/painter")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictionBody(_Body):
    input: dict[str, Any]
    version: str | None = None


class ReplicateMaking(Making):
    """`polls`: how often a prediction is asked for until it ends. `ends`: how it does, with `error` if it failed."""

    polls: Annotated[int, Field(ge=1)] = 8
    ends: Literal["succeeded", "failed", "canceled", "aborted"] = "succeeded"
    error: str | None = None


@dataclass
class Prediction:
    """One that was ordered."""

    model: str
    version: str | None
    input: dict[str, Any]
    pieces: list[str] = field(default_factory=list)
    id: str = field(default_factory=lambda: uuid4().hex)
    status: str = "starting"
    polls: int = 0
    error: str | None = None
    data_removed: bool = False


class ReplicateServer(GeneratingServer):
    """The service; `base_url` is what the provider is given, and only `TOKEN` opens it."""

    making_type = ReplicateMaking
    making: ReplicateMaking

    def __init__(self, *, port: int = 0) -> None:
        self.predictions: dict[str, Prediction] = {}
        super().__init__(port=port)
        self.base_url = f"{self.address}/v1"

    def error_body(self, status: int, detail: object) -> Any:
        words = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in detail) if isinstance(detail, list) else detail
        return {"title": "An error", "detail": words, "status": status}

    def answer(self, request: Received, reply: Reply) -> None:
        if file := re.fullmatch(r"/files/(\w+)\.(png|mp4)", request.path):
            self._send_file(request, self._prediction(file[1]), reply)
            return
        if request.header("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "You did not pass a valid authentication token")
        path = request.path.removeprefix("/v1")
        if (request.method, path) == ("GET", "/account"):
            reply.json({"type": "user", "username": "ours"})
        elif request.method == "GET" and (model := re.fullmatch(r"/models/([\w.-]+/[\w.-]+)(?:/versions/(\w+))?", path)):
            reply.json(self._described(model[1], model[2]))
        elif request.method == "POST" and (model := re.fullmatch(r"/models/([\w.-]+/[\w.-]+)/predictions", path)):
            if model[1] not in OFFICIAL:
                raise Refusal(404, "The requested resource could not be found.")
            self._create(model[1], None, request, reply)
        elif (request.method, path) == ("POST", "/predictions"):
            version = body_of(request, PredictionBody).version or ""
            if not version.startswith(VERSION):
                raise Refusal(422, "- version does not exist")
            self._create(f"ours/{version.removeprefix(VERSION)}", version, request, reply)
        elif request.method == "GET" and (known := re.fullmatch(r"/predictions/(\w+)", path)):
            reply.json(self._polled(self._prediction(known[1])))
        elif request.method == "POST" and (known := re.fullmatch(r"/predictions/(\w+)/cancel", path)):
            prediction = self._prediction(known[1])
            prediction.status = "canceled" if prediction.status in ("starting", "processing") else prediction.status
            reply.json(self._told(prediction))
        else:
            raise Refusal(404, "The requested resource could not be found.")

    def _described(self, model: str, version: str | None) -> dict[str, Any]:
        name = model.removeprefix("ours/")
        if name not in INPUTS or version not in (None, f"{VERSION}{name}"):
            raise Refusal(404, "The requested resource could not be found.")
        schemas = {"Input": {"type": "object", "properties": INPUTS[name]}, **CHOICES}
        described = {"id": f"{VERSION}{name}", "openapi_schema": {"components": {"schemas": schemas}}}
        if version:
            return described
        return {"owner": "ours", "name": name, "is_official": model in OFFICIAL, "latest_version": described}

    def _create(self, model: str, version: str | None, request: Received, reply: Reply) -> None:
        order = body_of(request, PredictionBody).input
        known = INPUTS[model.removeprefix("ours/")]
        for name, value in order.items():
            if name not in known:
                raise Refusal(422, f"- input: Additional property {name} is not allowed")
            if "maximum" in known[name] and not known[name].get("minimum", 0) <= value <= known[name]["maximum"]:
                raise Refusal(422, f"- input.{name}: Must be less than or equal to {known[name]['maximum']}")

        def make() -> Prediction:
            prediction = Prediction(model, version, order)
            if model == "ours/writer":
                subject = re.search(r'"([^"]+)"|^1\. (.+)$', order["prompt"], re.MULTILINE)
                length = re.search(r"about (\d+) words", order["prompt"])
                text = made.article(subject[1] or subject[2] if subject else "this", int(length[1]) if length else 300)[1]
                prediction.pieces = list(made.pieces(text))
            self.predictions[prediction.id] = prediction
            return prediction

        reply.json(self._told(self._make(reply, make, "")), status=201)

    def _polled(self, prediction: Prediction) -> dict[str, Any]:
        if prediction.status in ("starting", "processing"):
            prediction.polls += 1
            prediction.status = "processing" if prediction.polls < self.making.polls else self.making.ends
            prediction.error = self.making.error if prediction.status == "failed" else None
        return self._told(prediction)

    def _told(self, prediction: Prediction) -> dict[str, Any]:
        url = f"{self.base_url}/predictions/{prediction.id}"
        return {
            "id": prediction.id,
            "model": prediction.model,
            "version": prediction.version or "hidden",
            "input": prediction.input,
            "logs": "",
            "output": self._output(prediction),
            "data_removed": prediction.data_removed,
            "error": prediction.error,
            "status": prediction.status,
            "metrics": {"predict_time": 1.25, "total_time": 1.5} if prediction.status == "succeeded" else {},
            "urls": {"get": url, "cancel": f"{url}/cancel"},
        }

    def _output(self, prediction: Prediction) -> Any:
        is_done = prediction.status == "succeeded"
        if prediction.data_removed or prediction.status not in ("processing", "succeeded"):
            return None
        if prediction.pieces:
            shown = len(prediction.pieces) if is_done else len(prediction.pieces) * prediction.polls // self.making.polls
            return prediction.pieces[:shown]
        if not is_done:
            return None
        url = f"{self.address}/files/{prediction.id}"
        return [f"{url}.png"] if prediction.model == "ours/painter" else f"{url}.mp4"

    def _send_file(self, request: Received, prediction: Prediction, reply: Reply) -> None:
        if request.header("Authorization"):
            raise Refusal(400, "the file's host was told the token")
        order = prediction.input
        if prediction.model == "ours/painter":
            reply.file(made.picture(order["width"], order["height"], order["prompt"]), "image/png")
        else:
            reply.file(made.video(order["width"], order["height"], order["duration"], order["prompt"]), "video/mp4")

    def _prediction(self, prediction_id: str) -> Prediction:
        if prediction_id not in self.predictions:
            raise Refusal(404, "The requested resource could not be found.")
        return self.predictions[prediction_id]
