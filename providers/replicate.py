"""Replicate: articles, images and videos by any of its models that takes a `prompt`. https://replicate.com/docs/reference/http

A generation is a prediction: it is created, asked for until it has ended, and its files are fetched; Replicate deletes them
after an hour. The prediction's id is kept at once, so an attempt after an interruption waits on for the same one. Replicate
knows no idempotency key: a kill between the order and the keeping of its id may pay twice.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import requests

from jobs.errors import ProviderRateLimited, ProviderRefused, ProviderUnavailable
from providers.answers import count, plain
from providers.base import Call, Checkpoint, Draft, Generated, Usage
from providers.http import (
    CONNECT_SECONDS,
    Json,
    json_answer,
    not_as_agreed,
    our_errors,
    raise_for_status,
    session_for_threads,
)
from providers.manuscript import Manuscript
from providers.media import IMAGE_BYTES, VIDEO_BYTES, fetch, fetch_public, fetching, image_file, is_at, video_file
from providers.prompts import WRITER, article_prompt, picture_prompt
from providers.replicate_models import Model, Wish
from providers.requests import ArticleRequest, ImageRequest, VideoRequest, pixels
from providers.waiting import looked, waited, waiting
from settings import Settings

PROBE_SECONDS = 5.0
CANCEL_SECONDS = 10.0
POLL_SECONDS = 1.0
LOOK_SECONDS = 30.0
UNDER_WAY = frozenset({"starting", "processing"})
STOPPED = frozenset({"canceled", "aborted"})
OVER_ALREADY = frozenset({requests.codes.not_found, requests.codes.conflict, requests.codes.unprocessable})
PASSING = ("retry", "interrupted", "try again")
"""What Replicate says in the error of a prediction that failed for no fault of its input."""
BEFORE_DOWNLOAD = 95


class ReplicateProvider:
    """Replicate's API at `url`. The models are `owner/name` or `owner/name:version`."""

    name = "replicate"
    kinds = frozenset({"articles", "images", "videos"})
    pays_once = False

    def __init__(
        self,
        *,
        token: str,
        url: str,
        text_model: str,
        image_model: str,
        video_model: str,
        timeout_seconds: float = 300,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._url = url.rstrip("/")
        self._authorization = {"Authorization": f"Bearer {token}"}
        self._text_model = text_model
        self._image_model = image_model
        self._video_model = video_model
        self._timeout_seconds = timeout_seconds
        self._poll_seconds = poll_seconds
        self._session = session_for_threads()
        self._known: dict[str, Model] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> ReplicateProvider:
        """The account that the settings name.

        Raises:
            ProviderRefused: there is no token.
        """
        if not settings.replicate_api_token:
            raise ProviderRefused("The provider 'replicate' is not set up: REPLICATE_API_TOKEN is missing.")
        return cls(
            token=settings.replicate_api_token,
            url=settings.replicate_base_url,
            text_model=settings.replicate_text_model,
            image_model=settings.replicate_image_model,
            video_model=settings.replicate_video_model,
            timeout_seconds=settings.ai_timeout_seconds,
        )

    def write(self, request: ArticleRequest, call: Call) -> Draft:
        """Write an article; its text comes as far as it is there at each look."""
        manuscript = Manuscript(call, word_count=request.word_count, title=request.subject)
        model = call.model_id or self._text_model
        written = ""
        for prediction in self._looks(Wish(article_prompt(request), system=WRITER), model, call):
            text = _text_of(prediction.get("output"))
            manuscript.add(text.removeprefix(written))
            written = text
        return manuscript.draft(_usage(prediction, model))

    def draw(self, request: ImageRequest, call: Call) -> Generated:
        """Make an image, of the size asked for or the nearest that the model makes."""
        model = call.model_id or self._image_model
        width, height = pixels(request.size)
        prediction = self._made(Wish(picture_prompt(request), width=width, height=height), model, call, "Making the image")
        picture = BytesIO()
        self._fetch(prediction, picture, IMAGE_BYTES, call)
        image = image_file(picture.getvalue())
        call.progress(100, "Made")
        return Generated(files=[image], usage=replace(_usage(prediction, model), images=1))

    def film(self, request: VideoRequest, call: Call) -> Generated:
        """Make a video, of the size and length asked for or the nearest that the model makes."""
        model = call.model_id or self._video_model
        width, height = pixels(request.size)
        wish = Wish(request.prompt, width=width, height=height, seconds=request.duration)
        prediction = self._made(wish, model, call, "Making the video")
        file = cast(BinaryIO, TemporaryFile())  # noqa: SIM115 - the caller closes it, or the handler below
        try:
            self._fetch(prediction, file, VIDEO_BYTES, call)
            video = video_file(file)
        except BaseException:
            file.close()
            raise
        call.progress(100, "Made")
        seconds = video.duration_seconds or request.duration
        return Generated(files=[video], usage=replace(_usage(prediction, model), video_seconds=seconds))

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Stop the prediction that `checkpoint` names."""
        if prediction_id := checkpoint.get("prediction_id"):
            with self._sent("POST", _path(prediction_id) + "/cancel", seconds=CANCEL_SECONDS) as answer:
                if answer.status_code not in OVER_ALREADY:
                    raise_for_status(answer)

    def probe(self) -> None:
        """Return when Replicate answers, be it with a refusal."""
        try:
            with self._sent("GET", "/account", seconds=PROBE_SECONDS) as answer:
                raise_for_status(answer)
        except (ProviderRefused, ProviderRateLimited):
            return

    def _made(self, wish: Wish, model: str, call: Call, stage: str) -> Json:
        """The prediction that has succeeded."""
        for looks, prediction in enumerate(self._looks(wish, model, call)):
            waits = prediction.get("status") == "starting"
            # Replicate does not say how far it is: the nearer the end, the slower
            call.progress(BEFORE_DOWNLOAD * looks / (looks + 20), "Waiting for the AI service" if waits else stage)
        call.progress(BEFORE_DOWNLOAD, "Fetching what was made")
        return prediction

    def _looks(self, wish: Wish, model: str, call: Call) -> Iterator[Json]:
        """The prediction as it is at each look; the last has succeeded."""
        prediction = self._earlier(call) or self._new(wish, model, call)
        prediction_id = _id(prediction)
        while prediction.get("status") in UNDER_WAY:
            yield prediction
            call.pause(self._poll_seconds)
            found = self._found(prediction_id, call)
            if found is None:
                call.keep({})
                raise ProviderUnavailable("The AI service has forgotten what it was making.")
            prediction = found
        if fault := _fault(prediction):
            call.keep({})  # the next attempt orders anew
            raise fault
        yield prediction

    def _earlier(self, call: Call) -> Json | None:
        """The prediction of an earlier attempt, if there was one that Replicate still has with all it made."""
        prediction_id = call.checkpoint.get("prediction_id")
        found = self._found(str(prediction_id), call) if prediction_id else None
        return None if found and found.get("data_removed") else found

    def _new(self, wish: Wish, name: str, call: Call) -> Json:
        model = waited(call, lambda: self._model(name, call))
        made = waited(call, lambda: self._ordered(model, {"input": model.input_for(wish)}, call))
        call.keep({"prediction_id": _id(made)}, resumes=True)
        return made

    def _model(self, name: str, call: Call) -> Model:
        """What the model takes; asked once for each process."""
        if name not in self._known:
            path = Model.path_of(name)
            with self._sent("GET", path, call) as answer:
                raise_for_status(answer)
                self._known[name] = Model.read(name, json_answer(answer))
        return self._known[name]

    def _ordered(self, model: Model, body: Json, call: Call) -> Json:
        path, body = (
            ("/predictions", body | {"version": model.version}) if model.version else (f"{model.path}/predictions", body)
        )
        with self._sent("POST", path, call, body) as answer:
            raise_for_status(answer)
            return json_answer(answer)

    def _found(self, prediction_id: str, call: Call) -> Json | None:
        return looked(call, lambda: self._prediction(prediction_id, call), pause_seconds=self._poll_seconds)

    def _prediction(self, prediction_id: str, call: Call) -> Json | None:
        with self._sent("GET", _path(prediction_id), call, seconds=LOOK_SECONDS) as answer:
            if answer.status_code == requests.codes.not_found:
                return None
            raise_for_status(answer)
            return json_answer(answer)

    def _fetch(self, prediction: Json, file: BinaryIO, most_bytes: int, call: Call) -> None:
        """The file that was made, from wherever Replicate keeps it; the token is for Replicate alone.

        A model may be anybody's and answer with any address: elsewhere only the public internet is asked.
        """
        url = _url_of(prediction.get("output"))
        seconds = self._timeout_seconds

        def work() -> Generator[int, None, None]:
            with fetching(url, service=self._url):
                if is_at(url, self._url):
                    yield from fetch(self._session, url, file, most_bytes=most_bytes, silent_seconds=seconds)
                else:
                    yield from fetch_public(url, file, most_bytes=most_bytes, silent_seconds=seconds)

        for _ in waiting(call, work):
            pass

    @contextmanager
    def _sent(
        self, method: str, path: str, call: Call | None = None, body: Json | None = None, *, seconds: float = math.inf
    ) -> Iterator[requests.Response]:
        headers = dict(self._authorization)
        if call is not None and method == "POST":
            headers["Idempotency-Key"] = call.idempotency_key  # for a service before Replicate that honours it
        if call is not None and call.traceparent:
            headers["traceparent"] = call.traceparent
        timeout = (CONNECT_SECONDS, min(seconds, self._timeout_seconds))
        with (
            our_errors(),
            self._session.request(
                method, self._url + path, headers=headers, json=body, timeout=timeout, stream=True, allow_redirects=False
            ) as answer,
        ):
            if answer.status_code == requests.codes.unauthorized:
                raise ProviderRefused("The AI service does not accept the token in REPLICATE_API_TOKEN.")
            yield answer


def _path(prediction_id: object) -> str:
    return f"/predictions/{quote(str(prediction_id), safe='')}"


def _id(prediction: Json) -> str:
    found = prediction.get("id")
    if not isinstance(found, str) or not found:
        raise not_as_agreed("it has no 'id'")
    return found


def _fault(prediction: Json) -> ProviderUnavailable | ProviderRefused | None:
    """Why there is nothing to be had of a prediction that has ended; None: there is."""
    status = prediction.get("status")
    if status == "succeeded":
        if prediction.get("data_removed") or prediction.get("output") is None:
            return ProviderUnavailable("The AI service has deleted what it made. It is made anew.")
        return None
    if status == "failed":
        reason = plain(prediction.get("error"))
        if any(word in reason.lower() for word in PASSING):
            return ProviderUnavailable(reason)
        return ProviderRefused(reason or "The AI service could not make this, and does not say why.")
    if status in STOPPED:
        return ProviderUnavailable("The generation was stopped at the AI service.")
    return not_as_agreed(f"a prediction is {status!r}")


def _text_of(output: object) -> str:
    """A text model's output: a text, or a list of pieces."""
    pieces = output if isinstance(output, list) else [output or ""]
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) < len(pieces):
        raise ProviderRefused("This model of the AI service writes no text. Name another one.")
    return "".join(texts)


def _url_of(output: object) -> str:
    """The address of the first file that was made."""
    found = output[0] if isinstance(output, list) and output else output
    if not isinstance(found, str) or not found.startswith(("https://", "http://")):
        raise ProviderRefused("This model of the AI service makes no file. Name another one.")
    return found


def _usage(prediction: Json, model: str) -> Usage:
    metrics = prediction.get("metrics")
    told: Mapping[str, Any] = metrics if isinstance(metrics, dict) else {}
    seconds = told.get("predict_time")
    return Usage(
        model=model,
        seconds=seconds if isinstance(seconds, int | float) and seconds > 0 else 0,
        input_tokens=count(told, "input_token_count"),
        output_tokens=count(told, "output_token_count"),
    )
