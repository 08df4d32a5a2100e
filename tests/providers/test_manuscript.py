"""An article's title and headings, however the text is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ProviderUnavailable
from providers.base import Usage
from providers.manuscript import Manuscript
from tests.providers.calls import RecordingCall

TEXT = """

# On C# #

Intro with # and ``` in it.

## First

# A second title

```python
# a comment
```

   # indented
#hashtag
~~~
# in here
~~~
#
last"""
ARTICLE = """# On C# #

Intro with # and ``` in it.

## First

## A second title

```python
# a comment
```

## indented
#hashtag
~~~
# in here
~~~
##
last"""


@given(st.lists(st.integers(min_value=0, max_value=len(TEXT)), max_size=40))
def test_where_the_text_is_cut_makes_no_difference(cuts: list[int]) -> None:
    call = RecordingCall()
    manuscript = Manuscript(call, word_count=20)
    edges = [0, *sorted(cuts), len(TEXT)]
    for start, end in pairwise(edges):
        manuscript.add(TEXT[start:end])
    draft = manuscript.draft(Usage())
    assert draft.content == call.written == ARTICLE
    assert draft.title == "On C#"
    assert call.percents == sorted(call.percents)


def test_nothing_is_held_back_longer_than_its_meaning_is_open() -> None:
    call = RecordingCall()
    manuscript = Manuscript(call, word_count=20)
    manuscript.add("# Title\n\nSome wor")
    assert call.written == "# Title\n\nSome wor"
    manuscript.add("ds\n#")
    assert call.written == "# Title\n\nSome words\n"
    manuscript.add("# Next")
    assert call.written == "# Title\n\nSome words\n## Next"


def test_sections_are_finished_when_the_next_begins() -> None:
    manuscript = Manuscript(RecordingCall(), word_count=20)
    manuscript.add("# T\n\nIntro.\n\n## One\n\nText.\n")
    assert manuscript.finished_sections == "# T\n\nIntro."
    manuscript.add("\n##")
    manuscript.add(" Two")
    assert manuscript.finished_sections == "# T\n\nIntro.\n\n## One\n\nText."


def test_a_text_that_finds_no_end_is_given_up() -> None:
    manuscript = Manuscript(RecordingCall(), word_count=50)
    manuscript.add("and so on " * 150_000)
    with pytest.raises(ProviderUnavailable, match="no end"):
        manuscript.add("and so on " * 60_000)


def test_a_title_told_at_the_end_is_put_before_the_text() -> None:
    manuscript = Manuscript(RecordingCall(), word_count=20)
    manuscript.add("Text.")
    assert manuscript.draft(Usage(), title="T").content == "# T\n\nText."


@pytest.mark.parametrize("text", ["", " \n\n", "Text, but no title."])
def test_what_is_no_article_is_no_draft(text: str) -> None:
    manuscript = Manuscript(RecordingCall(), word_count=20)
    manuscript.add(text)
    with pytest.raises(ProviderUnavailable):
        manuscript.draft(Usage())
