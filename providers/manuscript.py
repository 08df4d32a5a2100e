"""An article while it is being written: pieces come in, the user sees them, and in the end it is a `Draft`.

Models and services differ in what they do about the title, so this is where a draft's promise is kept: Markdown that starts
with the title as its only first-level heading. Other first-level headings become second-level ones; code is left alone.
"""

from __future__ import annotations

import re

from jobs.errors import ProviderUnavailable
from providers.base import Call, Draft, Usage

_FENCE = re.compile(r" {0,3}(```|~~~)")
_TITLE = re.compile(r" {0,3}#[ \t]+(?P<words>.*?)(?:[ \t]+#+)?[ \t]*$")
_FIRST_LEVEL = re.compile(r" {0,3}#(?=\s)")
_UNDECIDED = re.compile(r" {0,3}(#?|`{0,2}|~{0,2})$")
_PERCENT_BEFORE_END = 95
MOST_CHARACTERS = 2_000_000
"""Twenty times the longest article that can be ordered; more would not fit into its document either."""


class Manuscript:
    """Takes an article piece by piece, tells `call` its text and how far it is.

    `title` is for texts that begin without one; it is written first. Without it, such a text gets its title in `draft` only,
    after the user has seen the rest.
    """

    def __init__(self, call: Call, *, word_count: int, title: str | None = None) -> None:
        self._call = call
        self._word_count = word_count
        self._given_title = title
        self._found_title: str | None = None
        self._text = ""
        self._begun = False
        self._held = ""  # the start of a line that may turn out to be a heading or a fence
        self._inside_line = False
        self._in_code = False
        self._words = 0
        self._percent = -1
        self._finished_until = 0

    @property
    def finished_sections(self) -> str:
        """The text before the heading of the section that is being written; `""` while that is the first."""
        return self._text[: self._finished_until].rstrip()

    def add(self, piece: str) -> None:
        """Take the next piece. Pieces may be cut anywhere.

        Raises:
            ProviderUnavailable: the text finds no end.
        """
        self._held += piece
        if len(self._text) + len(self._held) > MOST_CHARACTERS:
            raise ProviderUnavailable("The AI service's article finds no end.")
        if not self._begun:
            self._held = self._held.lstrip()
        self._emit(self._settled())

    def draft(self, usage: Usage, title: str | None = None) -> Draft:
        """The whole article. `title` is used where the text has none.

        Raises:
            ProviderUnavailable: there is no text.
        """
        if self._held:  # a last line without its end
            self._emit(self._line(self._held))
            self._held = ""
        if not self._text.strip():
            raise ProviderUnavailable("The AI service answered without a text.")
        self._call.progress(100, "Written")
        if self._found_title is not None:
            return Draft(title=self._found_title, content=self._text, usage=usage)
        if not title:
            raise ProviderUnavailable("The AI service answered without a title.")
        return Draft(title=title, content=f"# {title}\n\n{self._text}", usage=usage)

    def _settled(self) -> str:
        """Takes from what is held all that no later piece can change the meaning of."""
        settled = ""
        while self._held:
            line, newline, rest = self._held.partition("\n")
            if self._inside_line:
                settled += line + newline
            elif newline:
                settled += self._line(line + newline)
            elif _UNDECIDED.match(line) or (not self._begun and line.startswith("#")):
                break
            else:
                settled += self._line(line)
            self._inside_line = not newline
            self._held = rest
        return settled

    def _line(self, line: str) -> str:
        """A line, or enough of its start to know what it is, as the article has it."""
        if self._begun:
            return self._body(line)
        self._begun = True
        heading = _TITLE.match(line.rstrip("\r\n"))
        if heading and heading["words"]:
            self._found_title = heading["words"]
            return line
        if self._given_title:
            self._found_title = self._given_title
            return f"# {self._given_title}\n\n" + self._body(line)
        return self._body(line)

    def _body(self, line: str) -> str:
        if _FENCE.match(line):
            self._in_code = not self._in_code
        elif not self._in_code and _FIRST_LEVEL.match(line):
            return "#" + line.lstrip(" ")
        return line

    def _emit(self, text: str) -> None:
        if not text:
            return
        searched = max(0, len(self._text) - len("\n## "))
        self._text += text
        self._call.text(text)
        self._finished_until = max(self._finished_until, self._text.rfind("\n## ", searched))
        self._words += sum(map(str.isspace, text))
        percent = min(_PERCENT_BEFORE_END, _PERCENT_BEFORE_END * self._words // self._word_count)
        if percent > self._percent:
            self._percent = percent
            self._call.progress(percent, "Writing")
