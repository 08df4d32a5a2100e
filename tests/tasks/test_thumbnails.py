"""Thumbnails of images and videos: made by themselves, right side up, of what is the user's own; and what is refused."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.errors import InvalidPayload, Permanent
from jobs.files import files
from jobs.life import Status
from jobs.media import media_of, save_media
from jobs.store import store
from jobs.submit import Order, submit
from tests.site import Said, running
from tests.tasks.attempts import attempt
from tests.tasks.conftest import StartWorker
from tests.tasks.films import BLUE, RED, film
from tests.tasks.running import run_of
from tests.workers import finished, wait_for

SIZE = (400, 300)


@pytest.fixture(autouse=True)
def _on_disk(database: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def job_with(content: bytes, *, kind: str = "images", content_type: str = "image/png", user_id: str = "ada") -> str:
    """The id of a completed job that has made this file."""
    run = run_of(kind, {"prompt": "Bees"}, user_id)
    record = save_media(
        run.job, name="made", content_type=content_type, file=BytesIO(content), width=None, height=None, duration_seconds=None
    )
    assert store().complete(run.job.id, run.token, result={"media": [record]}, usage={})
    return run.job.id


def thumbnails(payload: dict[str, Any], user_id: str = "ada") -> list[tuple[str, Image.Image]]:
    """The names and pictures that a job with this payload makes."""
    job = store().insert(Order(kind="thumbnails", payload=payload, user_id=user_id).document(), by="test")
    made = attempt(job)
    return [(record.partition("/")[2], opened(f"{job.id}/{record}")) for record in made.result["media"]]


def opened(key: str) -> Image.Image:
    file = files().open(key)
    assert file is not None
    return Image.open(BytesIO(file.read()))


def picture(form: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Blue with a red upper left corner."""
    image = Image.new("RGB", SIZE, BLUE)
    image.paste(RED, (0, 0, 100, 75))
    if mode == "RGBA":
        image.putalpha(Image.new("L", SIZE, 0))
    file = BytesIO()
    image.convert(mode).save(file, form, **options)
    return file.getvalue()


def near(pixel: Any, colour: tuple[int, ...]) -> bool:
    return all(abs(has - wants) < 40 for has, wants in zip(pixel, colour, strict=True))


def test_of_a_pdf_its_first_page_is_shown() -> None:
    ((name, image),) = thumbnails(
        {"jobId": job_with(picture("PDF"), kind="documents", content_type="application/pdf"), "sizes": [160]}
    )
    assert (name, image.size) == ("thumbnail-160.jpg", (160, 120))
    assert near(image.getpixel((5, 5)), RED)
    assert near(image.getpixel((150, 110)), BLUE)
    with pytest.raises(InvalidPayload, match="no page that can be shown"):
        thumbnails({"jobId": job_with(b"%PDF-1.7 cut off", kind="documents", content_type="application/pdf")})


def test_an_image_gets_its_thumbnails_by_itself_and_they_are_linked(start_worker: StartWorker) -> None:
    worker = start_worker("images", "thumbnails", AI_PROVIDER="local")
    parent = submit(Order(kind="images", payload={"prompt": "A harbour", "size": "512x256"}, user_id="ada"))
    assert finished(parent.id, worker).status is Status.COMPLETED

    def related() -> list[str]:
        job = store().get(parent.id)
        return job.related_jobs if job else []

    (child_id,) = wait_for(related, "the image to be followed", worker)
    child = finished(child_id, worker)
    assert (child.kind, child.user_id, child.status) == ("thumbnails", "ada", Status.COMPLETED), child.error
    assert [(item.name, item.content_type, item.width, item.height) for item in media_of(child)] == [
        ("thumbnail-160.jpg", "image/jpeg", 160, 80),
        ("thumbnail-320.jpg", "image/jpeg", 320, 160),
        ("thumbnail-640.jpg", "image/jpeg", 512, 256),
    ]


def test_thumbnails_come_in_each_size_and_in_the_format_that_was_asked_for() -> None:
    source = job_with(picture(mode="RGBA"))
    for form, pixel in (("webp", (*BLUE, 0)), ("png", (*BLUE, 0)), ("jpeg", (255, 255, 255))):
        ((name, image),) = thumbnails({"jobId": source, "sizes": [80], "format": form})
        assert (image.format, image.size) == (form.upper(), (80, 60))
        assert name == f"thumbnail-80.{'jpg' if form == 'jpeg' else form}"
        assert image.getpixel((70, 50))[3:] == pixel[3:]


def test_a_picture_of_sixteen_bits_of_grey_keeps_its_tones() -> None:
    file = BytesIO()
    Image.new("I;16", SIZE, 0x8000).save(file, "PNG")
    ((_, image),) = thumbnails({"jobId": job_with(file.getvalue()), "sizes": [16]})
    assert near(image.getpixel((8, 6)), (128, 128, 128))


def test_a_photograph_that_was_taken_sideways_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it to the right
    ((_, image),) = thumbnails({"jobId": job_with(picture("JPEG", exif=exif)), "sizes": [100]})
    assert image.size == (75, 100)
    assert near(image.getpixel((70, 5)), RED)


def test_a_video_shows_a_frame_in_which_there_is_something(tmp_path: Path) -> None:
    content = film(tmp_path / "film.mp4", turned=90, black=0.4).read_bytes()
    source = job_with(content, kind="videos", content_type="video/mp4")
    ((_, image),) = thumbnails({"jobId": source, "sizes": [160]})
    assert image.size == (120, 160)
    assert near(image.getpixel((5, 150)), RED)


def test_what_is_at_an_address_is_fetched(environment: Callable[..., None], tmp_path: Path) -> None:
    environment(ALLOW_PRIVATE_URLS="on")
    with running() as site:
        site.answer = lambda asked: Said(body=picture())
        ((_, image),) = thumbnails({"mediaUrl": site.url("/picture"), "sizes": [16]})
    assert image.size == (16, 12)
    assert not [*tmp_path.glob("*/videos/*")]


def test_what_another_users_job_has_made_is_not_there() -> None:
    source = job_with(picture(), user_id="bob")
    with pytest.raises(InvalidPayload, match=f"You have no job {source}"):
        thumbnails({"jobId": source})


def test_a_job_that_is_not_completed_has_none() -> None:
    with pytest.raises(InvalidPayload, match=r"is processing\. Thumbnails can be made once it is completed"):
        thumbnails({"jobId": run_of("images", {"prompt": "Bees"}).job.id})


@pytest.mark.parametrize("content", ["bomb", "cut off", "text", "a program", "a playlist"])
def test_what_is_no_picture_or_a_hostile_one_is_refused(content: str) -> None:
    with pytest.raises(Permanent, match=r"Give (one|it|an image)"):
        thumbnails({"jobId": job_with(HOSTILE[content]())})


def bomb() -> bytes:
    """A PNG of 3,600 million pixels in a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


HOSTILE: dict[str, Callable[[], bytes]] = {
    "bomb": bomb,
    "cut off": lambda: picture("JPEG")[:2_000],
    "text": lambda: b"This is no picture.",
    "a program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
    "a playlist": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
}
