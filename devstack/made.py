"""What the tests' AI servers make: articles, pictures and videos, small and real."""

from __future__ import annotations

import re
from fractions import Fraction
from io import BytesIO

import av
from PIL import Image, ImageDraw

FRAMES_PER_SECOND = 24
WORDS_PER_SECTION = 120

_SENTENCES = (
    "Remark {n} on {subject} starts with what can be seen at first sight.",
    "People who know {subject} well would put point {n} differently, and they would be right to.",
    "Step {n} is small, takes an afternoon, and shows at once whether it was worth it.",
    "There are {n} ways to look at this, and most of them agree about {subject}.",
    "Whoever reads this far has seen {n} examples and may want to try one.",
)


def article(subject: str, word_count: int, headings: list[str] | None = None) -> tuple[str, str]:
    """Title and Markdown of about `word_count` words, the same for the same arguments; no paragraph comes twice."""
    title = f"All about {subject}"
    headings = headings or [f"Part {n} of {subject}" for n in range(1, max(2, word_count // WORDS_PER_SECTION) + 1)]
    share = max(1, (word_count - len(title.split())) // len(headings))
    number = 0
    parts = [f"# {title}"]
    for heading in headings:
        parts.append(f"## {heading}")
        words = len(heading.split())
        while words < share:
            paragraph = []
            for sentence in _SENTENCES:
                if words < share:
                    number += 1
                    paragraph.append(sentence.format(n=number, subject=subject))
                    words += len(paragraph[-1].split())
            parts.append(" ".join(paragraph))
    return title, "\n\n".join(parts) + "\n"


def pieces(text: str, words: int = 4) -> list[str]:
    """The text in pieces, as a model gives it."""
    tokens = re.findall(r"\s*\S+\s*?", text) + re.findall(r"\s+$", text)
    return ["".join(tokens[start : start + words]) for start in range(0, len(tokens), words)]


def picture(width: int, height: int, words: str, *, file_format: str = "PNG") -> bytes:
    image = Image.new("RGB", (width, height), _colour(words))
    ImageDraw.Draw(image).text((8, 8), words, fill="white")
    file = BytesIO()
    image.save(file, file_format)
    return file.getvalue()


def video(width: int, height: int, seconds: int, words: str) -> bytes:
    """An MP4 (H.264) in which a bar moves from left to right. Odd sides get a pixel more, as H.264 wants."""
    width, height = width + width % 2, height + height % 2
    file = BytesIO()
    with av.open(file, mode="w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, FRAMES_PER_SECOND)
        frames = seconds * FRAMES_PER_SECOND
        for number in range(frames):
            image = Image.new("RGB", (width, height), _colour(words))
            left = number * width // frames
            ImageDraw.Draw(image).rectangle((left, 0, left + width // 16, height), fill="white")
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # PyAV leaves this one without types
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _colour(words: str) -> tuple[int, int, int]:
    total = sum(words.encode())
    return total % 128, total // 2 % 128, total // 3 % 128
