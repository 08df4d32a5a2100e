"""The provider `service`: what is particular to its contract."""

from __future__ import annotations

import socket
from threading import Thread

import pytest

from devstack.ai_service import AiService
from jobs.errors import Cancelled, ProviderGatewayError, ProviderRefused, ProviderUnavailable
from providers.base import Usage
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from providers.service import ServiceProvider
from settings import Settings
from tests.providers.calls import RecordingCall
from tests.providers.conftest import READ_SECONDS, service_at

ARTICLE = ArticleRequest(topic="Bees", word_count=200, tone="Casual", language="de", keywords=["hive"], seo_optimization=True)
IMAGE = ImageRequest(prompt="a bee", size="96x64")
VIDEO = VideoRequest(prompt="a bee", duration=1, size="96x64")


def test_the_request_is_that_of_the_contract(ai_service: AiService) -> None:
    service_at(ai_service.address).write(ARTICLE, RecordingCall())
    (request,) = ai_service.received("/api/generation/topic")
    assert request.json() == {
        "topic": "Bees",
        "word_count": 200,
        "tone": "Casual",
        "seo_optimization": True,
        "include_images": False,
        "keywords": ["hive"],
        "outline": [],
        "language": "de",
    }


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("title_in_text", [True, False])
def test_the_title_stands_once_wherever_the_service_puts_it(ai_service: AiService, streams: bool, title_in_text: bool) -> None:
    ai_service.make(streams=streams, title_in_text=title_in_text)
    draft = service_at(ai_service.address).write(ARTICLE, RecordingCall())
    assert draft.title == "All about Bees"
    assert draft.content.startswith("# All about Bees\n\n## ")
    assert draft.content.count("All about Bees") == 1
    assert draft.usage.input_tokens > 0
    assert draft.usage.output_tokens > 0


def test_text_is_given_while_the_service_still_writes(ai_service: AiService) -> None:
    ai_service.behave(hang="midway")
    call = RecordingCall()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            service_at(ai_service.address).write(ARTICLE, call)
        except Cancelled as error:
            failures.append(error)

    class Seen(RecordingCall):
        """Cancels when half of the article is there, which the service never ends."""

        def text(self, piece: str) -> None:
            super().text(piece)
            if len(self.written.split()) > 50:
                self.cancel()

    call = Seen()
    thread = Thread(target=write)
    thread.start()
    thread.join(READ_SECONDS / 2)
    assert len(failures) == 1
    assert call.written.startswith("# All about Bees\n")


def test_a_stream_without_its_end_is_no_article(ai_service: AiService) -> None:
    ai_service.behave(cut=True, times=1)
    call = RecordingCall()
    provider = service_at(ai_service.address)
    with pytest.raises(ProviderUnavailable, match="broke off"):
        provider.write(ARTICLE, call)
    assert call.written, "a part had come"
    assert provider.write(ARTICLE, call.next_attempt()).title == "All about Bees"


@pytest.mark.parametrize("image_as", ["url", "base64"])
def test_a_picture_comes_by_address_or_in_the_answer(ai_service: AiService, image_as: str) -> None:
    ai_service.make(image_as=image_as)
    (image,) = service_at(ai_service.address).draw(IMAGE, RecordingCall()).files
    assert (image.width, image.height, image.content_type) == (96, 64, "image/png")


def test_a_picture_of_another_size_is_reported_as_it_is(ai_service: AiService) -> None:
    ai_service.make(image_size="80x48")
    (image,) = service_at(ai_service.address).draw(IMAGE, RecordingCall()).files
    assert (image.width, image.height) == (80, 48)


def test_a_file_that_is_cut_off_is_no_picture(ai_service: AiService) -> None:
    ai_service.behave(path="/files", cut=True)
    with pytest.raises(ProviderUnavailable, match="broke off"):
        service_at(ai_service.address).draw(IMAGE, RecordingCall())


def test_a_missing_file_is_not_the_orders_fault(ai_service: AiService) -> None:
    ai_service.behave(path="/files", status=404)
    with pytest.raises(ProviderUnavailable, match="can't be fetched"):
        service_at(ai_service.address).film(VIDEO, RecordingCall())


def test_the_task_is_kept_before_it_is_waited_for(ai_service: AiService) -> None:
    call = RecordingCall()
    ai_service.behave(path="/api/videos/task", status=500)
    with pytest.raises(ProviderUnavailable):
        service_at(ai_service.address).film(VIDEO, call)
    assert call.kept == [{"task_id": next(iter(ai_service.tasks))}]


def test_a_look_that_fails_in_passing_costs_no_attempt(ai_service: AiService) -> None:
    ai_service.behave(path="/api/videos/task", status=500, times=3)
    assert service_at(ai_service.address).film(VIDEO, RecordingCall()).files
    assert ai_service.generations == 1


def test_the_next_attempt_goes_on_with_the_kept_task(ai_service: AiService) -> None:
    provider = service_at(ai_service.address)
    call = RecordingCall()
    ai_service.behave(path="/api/videos/task", status=503)
    with pytest.raises(ProviderGatewayError):
        provider.film(VIDEO, call)
    ai_service.behave()
    generated = provider.film(VIDEO, call.next_attempt())
    assert generated.files[0].duration_seconds == pytest.approx(1, abs=0.1)
    assert ai_service.generations == 1
    assert len(ai_service.received("/api/videos/generate")) == 1


def test_a_kept_task_that_the_service_has_forgotten_is_made_anew(ai_service: AiService) -> None:
    call = RecordingCall(checkpoint={"task_id": "../of/last year?"})
    assert service_at(ai_service.address).film(VIDEO, call).files
    assert ai_service.generations == 1
    assert call.kept == [{"task_id": next(iter(ai_service.tasks))}]
    assert ai_service.requests[0].path == "/api/videos/..%2Fof%2Flast%20year%3F"


def test_a_video_that_the_service_can_not_make_is_refused_and_not_kept(ai_service: AiService) -> None:
    provider = service_at(ai_service.address)
    ai_service.make(video_error="too many bees")
    call = RecordingCall()
    with pytest.raises(ProviderRefused, match="too many bees"):
        provider.film(VIDEO, call)
    ai_service.make(video_error=None)
    assert provider.film(VIDEO, call.next_attempt()).files, "a retry by the user starts a new one"


def test_cancelling_stops_the_video_at_the_service(ai_service: AiService) -> None:
    ai_service.make(video_polls=1_000_000)
    provider = service_at(ai_service.address)
    call = RecordingCall(cancel_at_check=8)
    with pytest.raises(Cancelled):
        provider.film(VIDEO, call)
    provider.cancel(call.kept[-1])
    (task,) = ai_service.tasks.values()
    assert (task.status, task.error) == ("failed", "cancelled")
    provider.cancel(call.kept[-1])  # 409: it has ended


def test_cancelling_at_a_service_that_is_down_says_so(ai_service: AiService) -> None:
    ai_service.behave(status=503)
    with pytest.raises(ProviderGatewayError):
        service_at(ai_service.address).cancel({"task_id": "task-1"})


def test_a_probe_fails_while_the_service_is_ill(ai_service: AiService) -> None:
    for status in (400, 429, 500, 503):
        ai_service.behave(status=status, path="/health")
        with pytest.raises(Exception, match=r"\w") as raised:
            service_at(ai_service.address).probe()
        assert isinstance(raised.value, ProviderUnavailable)


def test_a_redirect_is_not_followed_with_the_order(ai_service: AiService) -> None:
    ai_service.behave(status=302)
    with pytest.raises(ProviderUnavailable, match="302"):
        service_at(ai_service.address).write(ARTICLE, RecordingCall())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"title": 3, "content": "x"}',
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {"text": 1}\n\n',
        b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {"done": true, "title": "T"}\n\n',
        b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {"text": "x"}\n\ndata: {"done": true}\n\n',
        b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {"text": "# T\\n\\nHalf an art"}\n\n',
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{}",
        b"220 smtp.example.org ESMTP\r\n",
        b"",
    ],
)
def test_whatever_a_service_answers_the_job_can_be_tried_again(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=_answer_once, args=(listener, answer))
        thread.start()
        provider = service_at(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ProviderUnavailable):
            provider.write(ARTICLE, RecordingCall())
        thread.join()


def test_a_stream_without_chunks_and_with_carriage_returns_is_read_as_well() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n: hello\r\n\r\n"
        b'event: text\r\ndata: {"text":\r\ndata: "# B\xc3\xa4r\\n\\nBrumm."}\r\n\r\n'
        b'data: {"done": true, "title": "B\xc3\xa4r"}\r\n\r\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=_answer_once, args=(listener, answer))
        thread.start()
        draft = service_at(f"http://127.0.0.1:{listener.getsockname()[1]}").write(ARTICLE, RecordingCall())
        thread.join()
    assert (draft.title, draft.content, draft.usage) == ("Bär", "# Bär\n\nBrumm.", Usage())


def _answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        request = b""
        while b"language" not in request:  # the body's last field
            request += connection.recv(65_536)
        connection.sendall(answer)


def test_a_service_that_is_not_set_up_says_what_is_missing() -> None:
    with pytest.raises(ProviderRefused, match="AI_SERVICE_URL"):
        ServiceProvider.from_settings(Settings())


def test_the_settings_say_where_the_service_is(ai_service: AiService) -> None:
    ServiceProvider.from_settings(Settings(ai_service_url=ai_service.address + "/")).probe()
    assert [request.path for request in ai_service.requests] == ["/health"]
