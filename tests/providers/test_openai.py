"""The provider `openai`: what is particular to its API."""

from __future__ import annotations

import pytest

from jobs.errors import ProviderRateLimited, ProviderRefused, ProviderUnavailable
from providers.openai import OpenAIProvider
from providers.requests import ArticleRequest, ImageRequest
from settings import Settings
from tests.openai_server import KEY, OpenAIServer
from tests.providers.calls import RecordingCall
from tests.providers.conftest import openai_at

ARTICLE = ArticleRequest(topic="Bees", word_count=400, tone="Casual", language="de", keywords=["hive"], seo_optimization=True)
IMAGE = ImageRequest(prompt="a bee", size="96x64", style="woodcut")


def test_the_order_tells_the_model_every_wish(openai_server: OpenAIServer) -> None:
    openai_at(openai_server.base_url).write(ARTICLE, RecordingCall())
    (request,) = openai_server.requests
    system, user = (message["content"] for message in request.json()["messages"])
    assert "Markdown" in system
    for wish in ('"Bees"', "about 400 words", "Casual", ": de ", '"hive"', "search engines"):
        assert wish in user
    openai_at(openai_server.base_url).draw(IMAGE, RecordingCall())
    picture = openai_server.received("/v1/images")[0].json()
    assert picture == {"model": "painter", "prompt": "a bee\n\nStyle: woodcut", "size": "96x64", "n": 1}


def test_what_was_used_is_told(openai_server: OpenAIServer) -> None:
    provider = openai_at(openai_server.base_url)
    usage = provider.write(ARTICLE, RecordingCall()).usage
    assert (usage.input_tokens, usage.output_tokens > 100) == (50, True)
    usage = provider.draw(IMAGE, RecordingCall()).usage
    assert (usage.images, usage.input_tokens, usage.output_tokens) == (1, 12, 34)


def test_a_job_may_name_its_model(openai_server: OpenAIServer) -> None:
    with pytest.raises(ProviderRefused, match="The model `scribbler` does not exist"):
        openai_at(openai_server.base_url).write(ARTICLE, RecordingCall(model_id="scribbler"))
    openai_at(openai_server.base_url).write(ARTICLE, RecordingCall(model_id="painter"))
    assert openai_server.requests[-1].json()["model"] == "painter"


def test_an_interrupted_article_goes_on_from_its_last_finished_section(openai_server: OpenAIServer) -> None:
    provider = openai_at(openai_server.base_url)
    whole = provider.write(ARTICLE, RecordingCall(idempotency_key="another job")).content
    call = RecordingCall()
    openai_server.behave(cut=True, times=1)
    with pytest.raises(ProviderUnavailable, match="broke off"):
        provider.write(ARTICLE, call)
    kept = call.kept[-1]["content"]
    assert whole.startswith(kept + "\n\n## ")
    assert kept.count("\n## ") >= 1
    second = call.next_attempt()
    draft = provider.write(ARTICLE, second)
    assert draft.content == second.written == whole
    sent = openai_server.requests[-1].json()["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[2]["content"] == kept


def test_the_rest_of_an_article_is_another_order_than_the_whole(openai_server: OpenAIServer) -> None:
    provider = openai_at(openai_server.base_url)
    call = RecordingCall()
    openai_server.behave(cut=True, times=1)
    with pytest.raises(ProviderUnavailable):
        provider.write(ARTICLE, call)
    provider.write(ARTICLE, call.next_attempt())
    keys = [request.header("Idempotency-Key") for request in openai_server.requests]
    assert keys[0] == "job-1"
    assert keys[1] != "job-1"


def test_finished_sections_are_kept_at_most_every_so_often(openai_server: OpenAIServer) -> None:
    provider = OpenAIProvider(
        api_key=KEY, base_url=openai_server.base_url, text_model="writer", image_model="painter", keep_seconds=3600
    )
    call = RecordingCall()
    provider.write(ARTICLE, call)
    assert call.kept == []
    openai_server.behave(cut=True)
    with pytest.raises(ProviderUnavailable):
        provider.write(ARTICLE, call)
    assert len(call.kept) == 1, "what is finished is kept at the end of a failed attempt all the same"


def test_an_answer_at_its_longest_is_gone_on_with(openai_server: OpenAIServer) -> None:
    openai_server.make(finish_reason="length")
    call = RecordingCall()
    with pytest.raises(ProviderUnavailable, match="longest answer"):
        openai_at(openai_server.base_url).write(ARTICLE, call)
    assert call.next_attempt().checkpoint["content"].startswith("# All about Bees")


def test_a_stream_that_ends_without_saying_so_is_no_article(openai_server: OpenAIServer) -> None:
    openai_server.make(finish_reason=None)
    with pytest.raises(ProviderUnavailable, match="broke off"):
        openai_at(openai_server.base_url).write(ARTICLE, RecordingCall())


def test_a_model_that_declines_is_a_refusal_in_its_words(openai_server: OpenAIServer) -> None:
    openai_server.make(refusal="I can't write about bees.")
    with pytest.raises(ProviderRefused, match="I can't write about bees"):
        openai_at(openai_server.base_url).write(ARTICLE, RecordingCall())
    openai_server.make(refusal=None, finish_reason="content_filter")
    with pytest.raises(ProviderRefused, match="content filter"):
        openai_at(openai_server.base_url).write(ARTICLE, RecordingCall())


def test_a_text_without_a_title_gets_the_subject_as_its_title(openai_server: OpenAIServer) -> None:
    openai_server.make(text="Bees fly.\n\n# More\n\nThey do.\n")
    call = RecordingCall()
    draft = openai_at(openai_server.base_url).write(ARTICLE, call)
    assert draft.title == "Bees"
    assert draft.content == call.written == "# Bees\n\nBees fly.\n\n## More\n\nThey do.\n"


def test_a_size_that_the_service_refuses_is_refused_in_its_words(openai_server: OpenAIServer) -> None:
    with pytest.raises(ProviderRefused, match="Invalid size '100x100'"):
        openai_at(openai_server.base_url).draw(ImageRequest(prompt="a bee", size="100x100"), RecordingCall())


@pytest.mark.parametrize("image_as", ["b64_json", "url"])
def test_the_pictures_true_size_is_told(openai_server: OpenAIServer, image_as: str) -> None:
    openai_server.make(image_size="64x32", image_as=image_as)
    (image,) = openai_at(openai_server.base_url).draw(IMAGE, RecordingCall()).files
    assert (image.width, image.height) == (64, 32)


def test_a_wrong_key_is_named_and_not_shown(openai_server: OpenAIServer) -> None:
    with pytest.raises(ProviderRefused, match="OPENAI_API_KEY") as raised:
        openai_at(openai_server.base_url, api_key="secret-key").write(ARTICLE, RecordingCall())
    assert "secret" not in str(raised.value)


def test_each_attempt_asks_once(openai_server: OpenAIServer) -> None:
    openai_server.behave(status=429, retry_after="1")
    with pytest.raises(ProviderRateLimited):
        openai_at(openai_server.base_url).draw(IMAGE, RecordingCall())
    assert len(openai_server.requests) == 1


def test_a_lock_at_the_service_passes(openai_server: OpenAIServer) -> None:
    openai_server.behave(status=409)
    with pytest.raises(ProviderUnavailable):
        openai_at(openai_server.base_url).draw(IMAGE, RecordingCall())


def test_a_probe_asks_whether_the_service_answers(openai_server: OpenAIServer) -> None:
    openai_at(openai_server.base_url, api_key="wrong").probe()
    openai_server.behave(status=429)
    openai_at(openai_server.base_url).probe()
    openai_server.behave(status=500)
    with pytest.raises(ProviderUnavailable):
        openai_at(openai_server.base_url).probe()


def test_a_provider_without_a_key_says_what_is_missing() -> None:
    with pytest.raises(ProviderRefused, match="OPENAI_API_KEY"):
        OpenAIProvider.from_settings(Settings())


def test_the_settings_say_where_the_service_is(openai_server: OpenAIServer) -> None:
    settings = Settings(openai_api_key=KEY, openai_base_url=openai_server.base_url, openai_text_model="writer")
    assert OpenAIProvider.from_settings(settings).write(ARTICLE, RecordingCall()).title == "All about Bees"
