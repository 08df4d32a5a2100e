"""`make demo`, from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from settings import CHECKOUT
from tests.devstack.running import PATIENCE_SECONDS, is_running, until, without_addresses


def demo(directory: Path) -> list[str]:
    return [sys.executable, "-m", "devstack", "demo", "--home", str(directory / "home"), "--output", str(directory / "output")]


def run_demo(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = without_addresses() | variables
    return subprocess.run(demo(directory), cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def test_an_article_an_image_and_a_video_are_made_for_real(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "article.md").write_text("of an earlier demo")
    done = run_demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    article, image, video = (tmp_path / "output" / name for name in ("article.md", "image.png", "video.mp4"))
    assert {*(tmp_path / "output").iterdir()} == {article, image, video}
    assert 360 <= len(article.read_text().split()) <= 440
    assert "earlier demo" not in article.read_text()
    with Image.open(image) as picture:
        assert (picture.format, picture.size) == ("PNG", (1024, 1024))
    with av.open(str(video)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", Fraction(24))
        assert sum(1 for _ in film.decode(stream)) == 72
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["ok"] is True
    assert {*summary["files"]} == {"article.md", "image.png", "video.mp4"}
    assert not (tmp_path / "home" / "mongodb").exists()
    assert "Traceback" not in done.stdout + done.stderr


def test_what_fails_is_said_in_one_line(tmp_path: Path) -> None:
    done = run_demo(tmp_path, AI_PROVIDER="service", AI_SERVICE_URL="")
    assert done.returncode == 1
    assert done.stderr.startswith("make demo: AI_PROVIDER=service needs AI_SERVICE_URL")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_stop_in_the_middle_stops_what_it_started(tmp_path: Path) -> None:
    output = tmp_path / "said"
    with output.open("wb") as file:
        process = subprocess.Popen(demo(tmp_path), cwd=CHECKOUT, env=without_addresses(), stdout=file, stderr=file)
    processes = tmp_path / "home" / "processes"
    until(lambda: processes.exists() and "app" in processes.read_text(), output.read_text, process)
    groups = [int(line.split()[1]) for line in processes.read_text().splitlines()]
    os.kill(process.pid, 15)
    assert process.wait(PATIENCE_SECONDS) != 0
    assert not [group for group in groups if is_running(group)]
    assert "Traceback" not in output.read_text()
