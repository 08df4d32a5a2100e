"""The transcoder at work on real files: what comes out, what is refused, and that it dies when it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Thread
from typing import Any

import av
import pytest

from jobs.errors import Cancelled, InvalidPayload, WorkerLost
from tasks.hold import Hold
from tasks.media import transcoder
from tasks.media.transcoding import PROGRAM, Measures, transcode
from tasks.run import Run
from tests.tasks.films import BLUE, RED, film
from tests.tasks.running import run_of
from tests.workers import PATIENCE_SECONDS, wait_for

MOST_BYTES = 50_000_000


@pytest.fixture
def run(database: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return run_of("videos", {"videoUrl": "https://example.org/film.mp4"})


def transcoded(run: Run, source: Path, quality: int = 480, most_bytes: int = MOST_BYTES) -> tuple[Measures, Path]:
    target = source.with_name("made.mp4")
    measures = transcode(run, source, target, quality=quality, most_bytes=most_bytes, from_percent=30)
    return measures, target


def looks_like(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return all(abs(has - wants) < 40 for has, wants in zip(pixel, colour, strict=True))


@pytest.mark.parametrize(
    ("name", "options", "size", "red_corner"),
    [
        ("large.mp4", {"size": (854, 480), "seconds": 1}, (640, 360), "upper left"),
        ("small.webm", {"seconds": 1}, (320, 240), "upper left"),
        ("turned.mov", {"turned": 90, "seconds": 1}, (240, 320), "lower left"),
        ("wide.mkv", {"size": (720, 576), "aspect": Fraction(16, 11), "sound": False, "seconds": 1}, (654, 360), "upper left"),
    ],
)
def test_what_comes_out_is_h264_and_aac_in_a_streamable_mp4_upright_in_square_pixels_and_no_larger_than_it_was(
    run: Run, tmp_path: Path, name: str, options: dict[str, Any], size: tuple[int, int], red_corner: str
) -> None:
    measures, made = transcoded(run, film(tmp_path / name, **options), quality=360)
    assert (measures.width, measures.height) == size
    assert measures.seconds == pytest.approx(1, abs=0.1)
    content = made.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    with av.open(str(made)) as container:
        assert container.format.name.startswith("mov,mp4")
        video = container.streams.video[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", *size)
        assert video.sample_aspect_ratio in (None, 1)
        assert [each.codec_context.name for each in container.streams.audio] == ["aac"] * options.get("sound", True)
        frames = list(container.decode(video=0))
        assert len(frames) == 24
        image: Any = frames[-1].to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
    width, height = size
    assert looks_like(image.getpixel((5, height - 6 if red_corner == "lower left" else 5)), RED)
    assert looks_like(image.getpixel((width - 6, 5)), BLUE)


def heard(made: Path) -> Iterator[tuple[float, bool]]:
    """Each piece of the film's sound: when it begins, and whether anything is to be heard in it."""
    with av.open(str(made)) as container:
        for frame in container.decode(audio=0):
            samples = array("f", bytes(frame.planes[0]))
            assert frame.time is not None
            yield frame.time, max(map(abs, samples)) > 0.02


def test_sound_whose_times_are_coarse_is_taken_as_it_comes(run: Run, tmp_path: Path) -> None:
    _, made = transcoded(run, film(tmp_path / "film.avi", seconds=1, sounds="libmp3lame"))  # AVI counts MP3's frames
    assert all(is_heard for at, is_heard in heard(made) if 0.1 < at < 0.9)


def test_where_sound_is_missing_it_is_silent(run: Run, tmp_path: Path) -> None:
    _, made = transcoded(run, film(tmp_path / "film.mp4", seconds=2, sound_from=1))
    pieces = [*heard(made)]
    assert {is_heard for at, is_heard in pieces if at < 0.9} == {False}
    assert {is_heard for at, is_heard in pieces if 1.1 < at < 1.9} == {True}


def test_sound_that_changes_its_layout_on_its_way_goes_on(run: Run, tmp_path: Path) -> None:
    parts = [
        film(tmp_path / f"{layout}.ts", seconds=1, begins=begins, sounds="ac3", layout=layout).read_bytes()
        for begins, layout in enumerate(("stereo", "mono"))
    ]
    both = tmp_path / "film.ts"
    both.write_bytes(b"".join(parts))
    measures, made = transcoded(run, both)
    assert measures.seconds == pytest.approx(2, abs=0.2)
    assert all(is_heard for at, is_heard in heard(made) if 0.1 < at < 1.9)


def test_a_recording_that_does_not_say_how_long_it_is_tells_how_far_it_is_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoder, "TELL_SECONDS", 0)
    endless = film(tmp_path / "film.webm", seconds=1, is_live=True)
    with av.open(str(endless)) as container:
        assert not container.duration
    told = [word["share"] for word in transcoder.transcode(str(endless), str(tmp_path / "made.mp4"), 360) if "share" in word]
    assert told == sorted(told)
    assert 0 < told[-1] <= 1


def playlist(path: Path) -> Path:
    film(path.with_name("secret.mp4"), seconds=1, sound=False)
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    return path


def page(path: Path) -> Path:
    path.write_text("<!doctype html><title>Not found</title>")
    return path


def cut_off(path: Path) -> Path:
    whole = film(path.with_name("whole.mp4"), seconds=1).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def only_sound(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (page, "no video, or cut off"),
        (playlist, "no video, or cut off"),
        (cut_off, "no video, or cut off"),
        (only_sound, "no moving picture"),
    ],
)
def test_what_is_no_video_is_refused_whatever_it_is_called(run: Run, tmp_path: Path, make: Any, words: str) -> None:
    with pytest.raises(InvalidPayload, match=f"can't be used as a video: .*{words}.*Give another one"):
        transcoded(run, make(tmp_path / "film.mp4"))


def test_what_gets_too_large_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidPayload, match="too large"):
        transcoded(run, film(tmp_path / "film.mp4"), most_bytes=4_000)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file whose reader waits for ever: nobody writes to it."""
    path = tmp_path / "endless.mp4"
    os.mkfifo(path)
    return path


class Transcoding:
    """Under way, in a thread as a slot's."""

    def __init__(self, run: Run, source: Path) -> None:
        self.error: Exception | None = None
        self._thread = Thread(target=self._transcode, args=(run, source), daemon=True)
        self._thread.start()
        self.pid = wait_for(transcoder_pid, "the transcoder to start")

    def _transcode(self, run: Run, source: Path) -> None:
        try:
            transcoded(run, source)
        except Exception as error:  # noqa: BLE001 - the test judges it
            self.error = error

    def outcome(self) -> Exception | None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        return self.error


def transcoder_pid() -> int | None:
    """Of the child of this process that transcodes."""
    table = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in table.splitlines()]
    return next((int(pid) for pid, parent, args in rows if parent == str(os.getpid()) and str(PROGRAM) in args), None)


@pytest.fixture
def transcoding(run: Run, endless: Path) -> Iterator[Transcoding]:
    yield Transcoding(run, endless)
    assert transcoder_pid() is None


def test_a_cancel_kills_it(run: Run, transcoding: Transcoding) -> None:
    assert isinstance(run.hold, Hold)
    run.hold.finish("cancelled")
    assert isinstance(transcoding.outcome(), Cancelled)


def test_its_death_is_a_failed_attempt_that_is_worth_another(transcoding: Transcoding) -> None:
    os.kill(transcoding.pid, signal.SIGKILL)
    assert isinstance(transcoding.outcome(), WorkerLost)


def test_it_ends_when_whoever_started_it_goes_away(endless: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(PROGRAM), str(endless), str(tmp_path / "made.mp4"), "480", str(MOST_BYTES)]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS, check=False).returncode == 1
