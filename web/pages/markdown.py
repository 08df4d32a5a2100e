"""Articles as HTML. What a provider wrote is not ours: raw HTML in it is text, and what comes out is cleaned besides."""

from __future__ import annotations

from functools import cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "s"),
    *("a", "table", "thead", "tbody", "tr", "th", "td"),
}
"""No images: one from elsewhere would tell its server who reads."""


def as_html(markdown: str) -> Markup:
    """Markdown as HTML that is safe to show."""
    made = _reader().render(markdown)
    return Markup(  # cleaned just here
        nh3.clean(
            made,
            tags=TAGS,
            attributes={"a": {"href", "title"}, "ol": {"start"}},
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
