"""What is particular to Replicate: predictions that are waited on for, models with inputs of their own, files that go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.errors import Cancelled, ProviderRefused, ProviderUnavailable
from providers.replicate import ReplicateProvider
from providers.replicate_models import Model, Wish
from providers.requests import ImageRequest, VideoRequest
from settings import Settings
from tests.providers.calls import RecordingCall
from tests.providers.conftest import replicate_at
from tests.replicate_server import VERSION, ReplicateServer

IMAGE = ImageRequest(prompt="a lighthouse", size="192x128")
VIDEO = VideoRequest(prompt="a lighthouse", duration=1, size="128x96")


@pytest.fixture
def server() -> Iterator[ReplicateServer]:
    with ReplicateServer() as running:
        yield running


@pytest.fixture
def provider(server: ReplicateServer) -> ReplicateProvider:
    return replicate_at(server.base_url)


def test_an_attempt_after_an_interruption_waits_for_the_same_prediction(
    server: ReplicateServer, provider: ReplicateProvider
) -> None:
    server.make(polls=1_000_000)
    first = RecordingCall(cancel_at_check=12)
    with pytest.raises(Cancelled):
        provider.film(VIDEO, first)
    ((prediction_id, _),) = server.predictions.items()
    assert first.kept == [{"prediction_id": prediction_id}]
    server.make(polls=1)
    made = provider.film(VIDEO, first.next_attempt())
    assert len(server.predictions) == 1
    assert (made.usage.seconds, made.usage.model) == (1.25, "ours/filmer")
    made.files[0].file.close()


def test_a_look_that_fails_in_passing_costs_no_attempt(server: ReplicateServer, provider: ReplicateProvider) -> None:
    server.behave(path="/v1/predictions/", status=500, times=3)
    assert provider.draw(IMAGE, RecordingCall()).files
    assert server.generations == 1


def test_a_model_that_answers_with_an_address_of_ours_gets_nothing_from_it(
    server: ReplicateServer, environment: Callable[..., None]
) -> None:
    elsewhere = replicate_at(server.base_url.replace("127.0.0.1", "localhost"))  # its files are at 127.0.0.1
    with pytest.raises(ProviderRefused, match="public internet"):
        elsewhere.draw(IMAGE, RecordingCall())
    assert not server.received("/files")
    environment(ALLOW_PRIVATE_URLS="on")
    assert elsewhere.draw(IMAGE, RecordingCall()).files


def test_a_cancelled_prediction_is_stopped_and_one_that_is_over_is_let_be(
    server: ReplicateServer, provider: ReplicateProvider
) -> None:
    server.make(polls=1_000_000)
    call = RecordingCall(cancel_at_check=12)
    with pytest.raises(Cancelled):
        provider.film(VIDEO, call)
    provider.cancel(call.kept[-1])
    assert [each.status for each in server.predictions.values()] == ["canceled"]
    provider.cancel(call.kept[-1])
    provider.cancel({"prediction_id": "unknown"})


@pytest.mark.parametrize(
    ("ends", "error", "family", "words"),
    [
        ("failed", "NSFW content detected", ProviderRefused, "NSFW"),
        ("failed", "Prediction interrupted; please retry (code: PA)", ProviderUnavailable, "retry"),
        ("canceled", None, ProviderUnavailable, "stopped"),
        ("aborted", None, ProviderUnavailable, "stopped"),
    ],
)
def test_a_prediction_that_ended_badly_is_ordered_anew_by_the_next_attempt(
    server: ReplicateServer, provider: ReplicateProvider, ends: str, error: str | None, family: type, words: str
) -> None:
    server.make(polls=1, ends=ends, error=error)
    call = RecordingCall()
    with pytest.raises(family, match=words):
        provider.draw(IMAGE, call)
    assert call.kept[-1] == {}


def test_what_replicate_has_deleted_is_made_anew(server: ReplicateServer, provider: ReplicateProvider) -> None:
    call = RecordingCall()
    provider.draw(IMAGE, call)
    for prediction in server.predictions.values():
        prediction.data_removed = True
    assert provider.draw(IMAGE, call.next_attempt()).files
    assert len(server.predictions) == 2


def test_a_model_is_named_with_or_without_its_version(server: ReplicateServer, provider: ReplicateProvider) -> None:
    provider.draw(IMAGE, RecordingCall())
    provider.draw(IMAGE, RecordingCall(model_id=f"ours/painter:{VERSION}painter"))
    assert [request.path for request in server.requests if request.method == "POST"] == [
        "/v1/models/ours/painter/predictions",
        "/v1/predictions",
    ]
    for name, words in (("painter", "owner/name"), ("ours/unknown", "could not be found")):
        with pytest.raises(ProviderRefused, match=words):
            provider.draw(IMAGE, RecordingCall(model_id=name))


@pytest.mark.parametrize(("status", "words"), [(402, "credit"), (401, "REPLICATE_API_TOKEN")])
def test_an_account_that_is_refused_is_said_and_not_asked_again(
    server: ReplicateServer, provider: ReplicateProvider, status: int, words: str
) -> None:
    server.behave(status=status, detail="You have insufficient credit to run this model.")
    with pytest.raises(ProviderRefused, match=words):
        provider.draw(IMAGE, RecordingCall())


@pytest.mark.parametrize(
    ("inputs", "made"),
    [
        ({}, {}),
        ({"aspect_ratio": {"enum": ["1:1", "16:9", "9:16"]}}, {"aspect_ratio": "16:9"}),
        ({"size": {"enum": ["1024x1024", "1536x1024"]}}, {"size": "1536x1024"}),
        ({"width": {"maximum": 1000}, "height": {}}, {"width": 1000, "height": 720}),
        ({"duration": {"enum": [5, 10]}}, {"duration": 5}),
        ({"seconds": {"enum": ["4", "8"]}}, {"seconds": "8"}),
    ],
)
def test_size_and_length_are_told_in_the_models_own_words(inputs: dict[str, Any], made: dict[str, Any]) -> None:
    model = Model("/models/a/b", None, {"prompt": {}} | inputs)
    assert model.input_for(Wish("Bees", width=1280, height=720, seconds=7)) == {"prompt": "Bees"} | made


def test_without_a_token_it_is_said_what_is_missing() -> None:
    with pytest.raises(ProviderRefused, match="REPLICATE_API_TOKEN"):
        ReplicateProvider.from_settings(Settings())
