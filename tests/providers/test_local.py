"""What only the local provider promises; what every provider promises stands in the conformance suite."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from jobs.errors import Cancelled
from providers.base import Provider
from providers.local import LocalProvider
from providers.local_article import escape
from providers.local_caption import NOTE, caption_layers
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from providers.words import count_words
from tests.providers.calls import RecordingCall

TOPIC = "Fantasy Football Strategies"
OUTLINE = ["Introduction", "Choosing Seeds", "What to do in Winter", "Conclusion"]
KEYWORDS = ["espresso", "milk steaming", "grinders", "water"]
ORDERS: dict[str, dict[str, Any]] = {
    "a topic": {"topic": TOPIC},
    "a question in another language": {"topic": "How to bake bread?", "language": "de"},
    "keywords": {"mode": "keywords", "keywords": KEYWORDS, "tone": "casual"},
    "an outline": {"mode": "outline", "outline": OUTLINE, "topic": "urban gardening", "seo_optimization": True},
    "many headings": {"mode": "outline", "outline": [f"Heading number {number}" for number in range(50)]},
    "many keywords": {"mode": "keywords", "keywords": [f"key word {number}" for number in range(20)]},
    "nothing but length": {
        "mode": "outline",
        "outline": [f"h{number} " * 70 for number in range(50)],
        "topic": "b " * 149,
        "keywords": [f"k{number} " * 70 for number in range(20)],
        "language": "fr",
    },
    "one endless word": {"topic": "x" * 300},
}
WORD_COUNTS = [*range(50, 130, 5), *range(140, 400, 37), 400, 555, 1000, 2750, 10_000]


def write(**order: Any) -> str:
    draft = LocalProvider(pace_seconds=0).write(ArticleRequest(**order), RecordingCall())
    return draft.content


def sections(content: str) -> list[str]:
    """The text under each heading, the introduction first."""
    return re.split(r"^## .*$", content.split("\n", 1)[1], flags=re.MULTILINE)


def headings(content: str) -> list[str]:
    return re.findall(r"^## (.*)$", content, re.MULTILINE)


def test_it_is_a_provider_of_all_three_kinds() -> None:
    provider: Provider = LocalProvider()
    assert provider.name == "local"
    assert provider.kinds == {"articles", "images", "videos"}
    provider.probe()
    provider.cancel({})


# Articles


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_an_article_has_the_asked_length_and_repeats_nothing(order: dict[str, Any]) -> None:
    for words in WORD_COUNTS:
        content = write(word_count=words, **order)
        assert abs(count_words(content) - words) <= words / 10
        assert len(re.findall(r"^# ", content, re.MULTILINE)) == 1
        assert content.startswith("# ")
        assert headings(content)
        paragraphs = Counter(content.strip().split("\n\n"))
        assert [paragraph for paragraph, times in paragraphs.items() if times > 1] == []


@pytest.mark.parametrize("order", [ORDERS["a topic"], ORDERS["a question in another language"], ORDERS["an outline"]])
def test_the_topic_is_in_every_section_and_no_sentence_comes_twice(order: dict[str, Any]) -> None:
    for words in WORD_COUNTS:
        content = write(word_count=words, **order)
        assert [part for part in sections(content) if order["topic"] not in part] == []
        sentences = Counter(re.split(r"(?<=[.!?])\s+|\n\n", "\n\n".join(sections(content)).strip()))
        assert [sentence for sentence, times in sentences.items() if sentence and times > 1] == []


def test_the_outline_gives_the_headings() -> None:
    assert headings(write(mode="outline", outline=OUTLINE, word_count=800)) == OUTLINE


def test_an_outline_too_long_for_the_words_is_cut_and_the_article_says_so() -> None:
    order = ORDERS["many headings"]
    content = write(word_count=100, **order)
    assert headings(content) == order["outline"][: len(headings(content))]
    assert "Not every heading" in content
    assert "Not every heading" not in write(word_count=2000, **order)


@pytest.mark.parametrize("words", [400, 1000, 5000])
def test_every_keyword_is_woven_in(words: int) -> None:
    content = write(mode="keywords", keywords=KEYWORDS, word_count=words)
    assert [keyword for keyword in KEYWORDS if keyword not in content] == []


def test_an_article_says_that_it_is_a_placeholder_and_in_which_language() -> None:
    assert write(topic=TOPIC, word_count=50).endswith("*Placeholder text by Pressroom's local provider.*\n")
    assert "Placeholder text in English" in write(topic=TOPIC, word_count=50, language="fr")


def test_the_tone_is_heard() -> None:
    assert "n't " in write(topic=TOPIC, tone="Friendly and casual")
    assert "n't " not in write(topic=TOPIC, tone="Professional")


def test_the_same_request_gives_the_same_article_and_another_one_another() -> None:
    assert write(topic=TOPIC) == write(topic=TOPIC)
    assert write(topic=TOPIC, word_count=1001) != write(topic=TOPIC)


@pytest.mark.parametrize(
    "topic",
    [
        "<script>alert(1)</script>",
        "*bold* _and_ `code`",
        "[a](javascript:x) ![b](c)",
        "one\n\n## two\n# three",
        "# x #",
        "1. x",
        "- y",
    ],
)
def test_a_topic_cannot_change_the_structure(topic: str) -> None:
    content = write(topic=topic, word_count=300)
    plain = write(topic="plain words", word_count=300)
    assert len(re.findall(r"^#+ ", content, re.MULTILINE)) == len(re.findall(r"^#+ ", plain, re.MULTILINE))
    assert "<" not in content
    for mark in ("*", "`", "[", "]"):
        unescaped = re.findall(rf"(?<!\\){re.escape(mark)}", content)
        assert len(unescaped) == plain.count(mark)


@pytest.mark.parametrize("harmless", ["snake_case in Python", "R&D", "C# and F#", "50-50", "it's (nearly) free, 3.5 times"])
def test_harmless_text_stays_as_it_is(harmless: str) -> None:
    assert escape(harmless) == harmless


def test_control_characters_are_left_out() -> None:
    content = write(topic="a\x00b\x1b[31m \u202ec", word_count=100)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", content)


def test_the_text_given_piece_by_piece_is_the_article() -> None:
    call = RecordingCall()
    draft = LocalProvider(pace_seconds=0).write(ArticleRequest(topic=TOPIC, word_count=400), call)
    assert call.written == draft.content
    assert len(call.texts) > 50
    assert call.percents == sorted(call.percents)
    assert call.percents[-1] == 100
    assert call.checks >= len(call.texts)


def test_a_cancelled_article_stops_between_two_pieces() -> None:
    call = RecordingCall(cancel_at_check=10)
    with pytest.raises(Cancelled):
        LocalProvider(pace_seconds=0).write(ArticleRequest(topic=TOPIC), call)
    assert call.checks == 10
    assert len(call.texts) < 10


@pytest.mark.parametrize("check", [2, 30, 120, 200])
def test_the_next_attempt_goes_on_after_the_last_section_kept(check: int) -> None:
    request = ArticleRequest(topic=TOPIC, word_count=1200)
    provider = LocalProvider(pace_seconds=0)
    whole = provider.write(request, RecordingCall())
    first = RecordingCall(cancel_at_check=check)
    with pytest.raises(Cancelled):
        provider.write(request, first)
    second = first.next_attempt()
    kept = second.checkpoint.get("content", "")
    assert provider.write(request, second) == whole
    assert second.written == whole.content
    assert first.written.startswith(kept)
    if kept:
        assert second.texts[0] == kept


def test_a_checkpoint_of_another_text_is_not_continued() -> None:
    request = ArticleRequest(topic=TOPIC, word_count=200)
    call = RecordingCall(checkpoint={"content": "# Something else\n\n"})
    draft = LocalProvider(pace_seconds=0).write(request, call)
    assert call.written == draft.content
    assert "Something else" not in draft.content


# Images

SIZES = ["64x64", "65x4096", "4096x64", "1024x1024", "1280x720"]
PROMPTS = ["A quiet harbour at dawn", "x" * 4000, "many words " * 360, "東京の夜景", "مدينة", "<b>\x00\n\t\U0001f600"]


def drawn(prompt: str, size: str = "320x200", style: str | None = None) -> bytes:
    generated = LocalProvider().draw(ImageRequest(prompt=prompt, size=size, style=style), RecordingCall())
    with generated.files[0].file as file:
        return file.read()


@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_a_png_of_the_asked_size(size: str) -> None:
    call = RecordingCall()
    generated = LocalProvider().draw(ImageRequest(prompt="A quiet harbour", size=size), call)
    [media] = generated.files
    assert f"{media.width}x{media.height}" == size
    assert (media.content_type, generated.usage.images) == ("image/png", 1)
    with media.file as file, Image.open(file) as image:
        image.load()
        assert image.format == "PNG"
        assert image.size == (media.width, media.height)
        colors = image.convert("RGB").resize((64, 64)).getcolors(4096)
    assert colors is not None
    assert len(colors) > 100
    assert call.percents[-1] == 100


def test_the_prompt_and_the_style_decide_the_picture() -> None:
    assert drawn("A quiet harbour") == drawn("A quiet harbour")
    assert len({drawn("A quiet harbour"), drawn("A loud harbour"), drawn("A quiet harbour", style="noir")}) == 3


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("size", ["64x64", "64x300", "300x64", "640x480"])
def test_the_caption_stays_within_the_picture(prompt: str, size: str) -> None:
    width, height = map(int, size.split("x"))
    _, text = caption_layers((width, height), prompt)
    box = text.getbbox()
    assert box is not None
    assert text.size[0] == width
    assert text.size[1] <= height
    assert box[0] > 0
    assert box[1] > 0
    assert box[2] < width
    assert box[3] < text.size[1]


def test_the_caption_says_that_the_picture_is_a_placeholder() -> None:
    assert "Placeholder" in NOTE
    assert caption_layers((640, 480), "")[1].getbbox() is not None


def test_a_cancelled_image_is_not_made() -> None:
    with pytest.raises(Cancelled):
        LocalProvider().draw(ImageRequest(prompt="x", size="64x64"), RecordingCall(cancel_at_check=1))


# Videos


@pytest.mark.parametrize(
    ("size", "duration", "true_size"), [("320x180", 2, (320, 180)), ("64x65", 1, (64, 64)), ("2050x65", 1, (2050, 64))]
)
def test_a_video_is_an_mp4_that_plays_as_long_as_asked(size: str, duration: int, true_size: tuple[int, int]) -> None:
    call = RecordingCall()
    generated = LocalProvider().film(VideoRequest(prompt="Sunset over the sea", size=size, duration=duration), call)
    [media] = generated.files
    assert media.content_type == "video/mp4"
    assert (media.width, media.height) == true_size
    assert media.duration_seconds == generated.usage.video_seconds == duration
    with media.file as file, av.open(file, "r") as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 24
        assert len(frames) == 24 * duration
        assert (frames[0].width, frames[0].height) == true_size
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == duration
        assert bytes(frames[0].planes[0]) != bytes(frames[-1].planes[0])
    assert call.percents == sorted(call.percents)
    assert call.percents[-1] == 100


def test_a_video_can_begin_to_play_before_it_is_loaded() -> None:
    generated = LocalProvider().film(VideoRequest(prompt="x", size="64x64", duration=1), RecordingCall())
    with generated.files[0].file as file:
        data = file.read()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_video_lies_in_no_directory_so_that_a_kill_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    generated = LocalProvider().film(VideoRequest(prompt="x", size="64x64", duration=1), RecordingCall())
    assert list(tmp_path.iterdir()) == []
    generated.files[0].file.close()


def test_a_cancelled_video_stops_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    call = RecordingCall(cancel_at_check=3)
    with pytest.raises(Cancelled):
        LocalProvider().film(VideoRequest(prompt="x", size="64x64", duration=60), call)
    assert call.checks == 3
    assert list(tmp_path.iterdir()) == []
