"""What counts as a word of an article."""

from __future__ import annotations

import re

HEADING_MARKS = re.compile(r"^ {0,3}#{1,6}(?=\s|$)", re.MULTILINE)


def count_words(markdown: str) -> int:
    """The words of `markdown`: what stands between white space, headings included, their `#` marks not."""
    return len(HEADING_MARKS.sub("", markdown).split())
