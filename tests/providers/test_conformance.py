"""What every provider promises (`providers.base`), held against all of them; and, of those behind a network, its troubles."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from threading import Thread
from typing import Any

import av
import pytest
from PIL import Image

from devstack.ai_service import AiService
from devstack.generating_server import GeneratingServer
from jobs.errors import (
    Cancelled,
    ProviderGatewayError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnreachable,
)
from providers.base import Provider
from providers.choice import PROVIDERS
from providers.guarded import GuardedProvider
from providers.local import LocalProvider
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from providers.words import count_words
from settings import Settings
from tests.openai_server import OpenAIServer
from tests.providers.calls import RecordingCall
from tests.providers.conftest import READ_SECONDS, openai_at, replicate_at, service_at
from tests.replicate_server import ReplicateServer

ARTICLE = ArticleRequest(topic="Fantasy Football Strategies", word_count=400)
IMAGE = ImageRequest(prompt="a lighthouse at dawn", size="192x128", style="woodcut")
VIDEO = VideoRequest(prompt="a lighthouse at dawn", duration=2, size="128x96")
KINDS = ("articles", "images", "videos")


@dataclass(frozen=True)
class Subject:
    """A provider, and the server behind it if there is one."""

    provider: Provider
    server: GeneratingServer | None = None
    make_impatient: Callable[[], Provider] | None = None
    """The same, waiting for less than a second."""


@contextmanager
def _local() -> Iterator[Subject]:
    yield Subject(LocalProvider.from_settings(Settings()))


@contextmanager
def _service() -> Iterator[Subject]:
    with AiService() as server:
        yield Subject(service_at(server.address), server, partial(service_at, server.address, timeout_seconds=0.2))


@contextmanager
def _openai() -> Iterator[Subject]:
    with OpenAIServer() as server:
        yield Subject(openai_at(server.base_url), server, partial(openai_at, server.base_url, timeout_seconds=0.2))


@contextmanager
def _replicate() -> Iterator[Subject]:
    with ReplicateServer() as server:
        yield Subject(replicate_at(server.base_url), server, partial(replicate_at, server.base_url, timeout_seconds=0.2))


@contextmanager
def _guarded() -> Iterator[Subject]:
    yield Subject(GuardedProvider(LocalProvider.from_settings(Settings())))


GUARDED = "local behind the guard"
SUBJECTS = {"local": _local, "service": _service, "openai": _openai, "replicate": _replicate, GUARDED: _guarded}
KINDS_OF = {"local": KINDS, "service": KINDS, "openai": ("articles", "images"), "replicate": KINDS, GUARDED: KINDS}
BEHIND_A_NETWORK = ("service", "openai", "replicate")
KNOWS_KEYS = ("service", "openai")
"""Those whose service, at least the one of these tests, generates once for an idempotency key."""


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == GUARDED:
        request.getfixturevalue("database")
    with SUBJECTS[request.param]() as made:
        yield made


@pytest.fixture
def provider(subject: Subject) -> Provider:
    return subject.provider


def _each_kind(names: Iterable[str]) -> pytest.MarkDecorator:
    pairs = [(name, kind) for name in names for kind in KINDS_OF[name]]
    return pytest.mark.parametrize(("subject", "kind"), pairs, indirect=["subject"])


networked = pytest.mark.parametrize("subject", BEHIND_A_NETWORK, indirect=True)
every_kind = _each_kind(SUBJECTS)
networked_every_kind = _each_kind(BEHIND_A_NETWORK)
filming = pytest.mark.parametrize("subject", [name for name, kinds in KINDS_OF.items() if "videos" in kinds], indirect=True)


def _order(provider: Provider, kind: str, call: RecordingCall) -> Any:
    """Order a little something of `kind`."""
    orders: dict[str, Callable[[], Any]] = {
        "articles": partial(provider.write, ARTICLE, call),
        "images": partial(provider.draw, IMAGE, call),
        "videos": partial(provider.film, VIDEO, call),
    }
    return orders[kind]()


def test_every_provider_that_can_be_chosen_is_held_to_this() -> None:
    assert {*SUBJECTS} == {*PROVIDERS, GUARDED}, "a provider without its place in SUBJECTS, or the other way round"


def test_a_provider_has_the_name_it_is_chosen_by(subject: Subject, request: pytest.FixtureRequest) -> None:
    chosen_by = request.node.callspec.params["subject"]
    assert subject.provider.name == ("local" if chosen_by == GUARDED else chosen_by)
    assert subject.provider.kinds == {*KINDS_OF[chosen_by]}


def test_an_article_starts_with_its_title_as_the_only_first_level_heading(provider: Provider) -> None:
    draft = provider.write(ARTICLE, RecordingCall())
    assert draft.title
    assert draft.content.startswith(f"# {draft.title}\n")
    assert len(re.findall(r"^# ", draft.content, re.MULTILINE)) == 1
    assert len(re.findall(r"^## ", draft.content, re.MULTILINE)) >= 2
    assert ARTICLE.subject.lower() in draft.content.lower()


def test_the_pieces_of_text_joined_are_the_article(provider: Provider) -> None:
    call = RecordingCall()
    draft = provider.write(ARTICLE, call)
    assert call.written == draft.content
    assert len(call.texts) > 3, "the text comes in pieces"


def test_an_article_is_about_as_long_as_asked(provider: Provider) -> None:
    assert count_words(provider.write(ARTICLE, RecordingCall()).content) == pytest.approx(ARTICLE.word_count, rel=0.1)


@pytest.mark.parametrize("mode", ["keywords", "outline"])
def test_an_article_is_made_from_keywords_or_an_outline(provider: Provider, mode: str) -> None:
    words = ["Draft order", "Waiver wire"]
    request = ArticleRequest.model_validate({"mode": mode, mode: words, "word_count": 200})
    draft = provider.write(request, RecordingCall())
    assert "draft order" in draft.content.lower()


@every_kind
def test_progress_only_grows_and_ends_at_a_hundred(provider: Provider, kind: str) -> None:
    call = RecordingCall()
    _order(provider, kind, call)
    assert call.percents == sorted(call.percents)
    assert call.percents[0] >= 0
    assert call.percents[-1] == 100
    assert all(stage for _, stage in call.stages)


def test_an_image_is_a_picture_of_the_asked_size(provider: Provider) -> None:
    generated = provider.draw(IMAGE, RecordingCall())
    (image,) = generated.files
    with Image.open(image.file) as picture:
        picture.load()
        assert picture.size == (192, 128) == (image.width, image.height)
        assert Image.MIME[str(picture.format)] == image.content_type == "image/png"
    assert image.name == "image.png"
    assert generated.usage.images == 1


@filming
def test_a_video_plays_and_is_as_long_and_as_large_as_asked(provider: Provider) -> None:
    generated = provider.film(VIDEO, RecordingCall())
    (video,) = generated.files
    with av.open(video.file, mode="r") as container:
        frames = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(frames) >= 2 * 12
    assert {*frames} == {(128, 96)} == {(video.width, video.height)}
    assert video.duration_seconds == pytest.approx(2, abs=0.1)
    assert (video.name, video.content_type) == ("video.mp4", "video/mp4")
    assert generated.usage.video_seconds == pytest.approx(2, abs=0.1)


@every_kind
def test_a_cancelled_call_stops_the_provider(provider: Provider, kind: str) -> None:
    with pytest.raises(Cancelled):
        _order(provider, kind, RecordingCall(cancel_at_check=1))


def test_a_call_cancelled_while_text_comes_stops_the_provider(provider: Provider) -> None:
    call = RecordingCall(cancel_at_check=5)
    with pytest.raises(Cancelled):
        provider.write(ARTICLE, call)
    assert count_words(call.written) < ARTICLE.word_count / 2


def test_kinds_that_a_provider_does_not_make_are_refused(provider: Provider) -> None:
    for kind in {*KINDS} - provider.kinds:
        with pytest.raises(ProviderRefused, match="makes no"):
            _order(provider, kind, RecordingCall())


def test_cancelling_what_nobody_knows_is_no_error(provider: Provider) -> None:
    provider.cancel({})
    provider.cancel({"task_id": "long-gone", "content": "# A title"})


def test_a_provider_that_is_there_can_be_probed(provider: Provider) -> None:
    provider.probe()


def test_one_provider_serves_many_threads(provider: Provider) -> None:
    calls = [RecordingCall(idempotency_key=f"job-{number}") for number in range(8)]
    requests = [ArticleRequest(topic=f"Subject number {number}", word_count=200) for number in range(8)]
    threads = [Thread(target=provider.write, args=pair) for pair in zip(requests, calls, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for request, call in zip(requests, calls, strict=True):
        assert {*re.findall(r"[Ss]ubject number \d", call.written)} <= {request.subject, request.subject.lower()}
        assert count_words(call.written) == pytest.approx(200, rel=0.15)


def _server(subject: Subject) -> GeneratingServer:
    assert subject.server
    return subject.server


@networked_every_kind
@pytest.mark.parametrize(
    ("status", "family"),
    [
        (408, ProviderUnavailable),
        (425, ProviderUnavailable),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (502, ProviderGatewayError),
        (503, ProviderGatewayError),
        (504, ProviderGatewayError),
        (400, ProviderRefused),
        (403, ProviderRefused),
        (422, ProviderRefused),
    ],
)
def test_an_answers_status_decides_whether_to_try_again(subject: Subject, kind: str, status: int, family: type) -> None:
    _server(subject).behave(status=status, detail="the prompt is\nnot decent")
    with pytest.raises(family) as raised:
        _order(subject.provider, kind, RecordingCall())
    assert type(raised.value) is family
    if family is ProviderRefused:
        assert str(raised.value) == "the prompt is not decent"
    _server(subject).behave()
    assert _order(subject.provider, kind, RecordingCall())


@networked
def test_a_service_that_asks_for_time_is_given_it(subject: Subject) -> None:
    _server(subject).behave(status=429, retry_after="17")
    with pytest.raises(ProviderRateLimited) as raised:
        subject.provider.write(ARTICLE, RecordingCall())
    assert raised.value.retry_after_seconds == 17


@networked
def test_a_service_may_ask_for_time_with_a_date(subject: Subject) -> None:
    _server(subject).behave(status=503, retry_after="Fri, 31 Dec 2100 23:59:59 GMT")
    with pytest.raises(ProviderUnavailable) as raised:
        subject.provider.draw(IMAGE, RecordingCall())
    assert raised.value.retry_after_seconds is not None
    assert raised.value.retry_after_seconds > 86_400


@networked_every_kind
def test_an_answer_cut_off_in_the_middle_is_tried_again(subject: Subject, kind: str) -> None:
    _server(subject).behave(cut=True)
    with pytest.raises(ProviderUnavailable, match="broke off"):
        _order(subject.provider, kind, RecordingCall())


@networked_every_kind
@pytest.mark.parametrize("hang", ["before", "midway"])
def test_a_service_that_falls_silent_is_given_up(subject: Subject, kind: str, hang: str) -> None:
    assert subject.make_impatient
    _server(subject).behave(hang=hang)
    with pytest.raises(ProviderUnavailable, match="in time"):
        _order(subject.make_impatient(), kind, RecordingCall())


@networked_every_kind
def test_an_answer_that_is_no_json_is_tried_again(subject: Subject, kind: str) -> None:
    _server(subject).behave(broken_json=True)
    with pytest.raises(ProviderUnavailable, match="no JSON"):
        _order(subject.provider, kind, RecordingCall())


@networked_every_kind
def test_a_cancelled_job_does_not_wait_for_a_silent_service(subject: Subject, kind: str) -> None:
    server = _server(subject)
    server.behave(hang="before")
    call = RecordingCall()
    failures: list[BaseException] = []

    def order() -> None:
        try:
            _order(subject.provider, kind, call)
        except Cancelled as error:
            failures.append(error)

    thread = Thread(target=order)
    thread.start()
    server.wait_for(lambda it: len(it.requests) > 0)
    call.cancel()
    thread.join(READ_SECONDS / 2)
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make, kind)
        for name, make in (("service", service_at), ("openai", openai_at), ("replicate", replicate_at))
        for kind in KINDS_OF[name]
    ],
)
def test_a_refused_connection_is_told_from_other_failures(make: Callable[[str], Provider], kind: str) -> None:
    with socket.socket() as silent:  # it has a port, which nobody else gets meanwhile, and does not listen
        silent.bind(("127.0.0.1", 0))
        provider = make(f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        with pytest.raises(ProviderUnreachable):
            _order(provider, kind, RecordingCall())
        with pytest.raises(ProviderUnreachable):
            provider.probe()


@_each_kind(KNOWS_KEYS)
def test_the_same_order_again_is_the_same_generation_where_the_service_promises_it(subject: Subject, kind: str) -> None:
    first = _order(subject.provider, kind, RecordingCall(idempotency_key="job-7"))
    again = _order(subject.provider, kind, RecordingCall(idempotency_key="job-7"))
    assert _server(subject).generations == 1
    assert _content(first) == _content(again)
    _order(subject.provider, kind, RecordingCall(idempotency_key="job-8"))
    assert _server(subject).generations == 2


def _content(made: Any) -> Any:
    return BytesIO(made.files[0].file.read()).getvalue() if hasattr(made, "files") else made.content


@networked_every_kind
def test_the_trace_goes_on_at_the_service(subject: Subject, kind: str) -> None:
    call = RecordingCall(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    _order(subject.provider, kind, call)
    posted = [request for request in _server(subject).requests if request.method == "POST"]
    assert [request.header("traceparent") for request in posted] == [call.traceparent]
    assert [request.header("Idempotency-Key") for request in posted] == ["job-1"]
