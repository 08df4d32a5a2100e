"""What we ask a language model for, in its own words."""

from __future__ import annotations

from providers.requests import ArticleRequest, ImageRequest

WRITER = """\
You are an experienced writer. You write complete, accurate articles that say something on every line: no filler, no \
repetition, no invented facts, sources or quotations. Where you are not sure, you leave it out.

Form of your answer:
- Markdown, and nothing but the article: no word before or after it, no code fence around it.
- The first line is the title, as the only heading of the first level: "# Title".
- Then a short introduction, then sections with headings of the second level ("## …"), then a short conclusion.
- No pictures and no links."""

GO_ON = """\
Your answer was interrupted. Go on exactly where your text ends, with the next section: begin with its heading of the second \
level, repeat nothing of what is written, and keep to the length asked for in all. Answer with the rest of the article only."""


def article_prompt(request: ArticleRequest) -> str:
    """The order of an article, a line for each wish."""
    wishes = [_matter(request), f"Length: about {request.word_count} words in all.", f"Tone: {request.tone}."]
    wishes.append(f"Language of the article, title and headings included: {request.language} (BCP 47).")
    if request.keywords and request.mode != "keywords":
        wishes.append(f"Use these keywords where they fit: {_listed(request.keywords)}.")
    if request.outline and request.mode != "outline":
        wishes.append("Follow this outline, one section for each entry, in this order:\n" + _numbered(request.outline))
    if request.seo_optimization:
        wishes.append(
            "Optimise for search engines: the main keyword in the title, in the first sentence and in some headings; headings "
            "that answer what people search for; short paragraphs; natural language, no stuffing."
        )
    return "\n".join(wishes)


def picture_prompt(request: ImageRequest) -> str:
    """The order of a picture; its style is told in words, which every model takes."""
    return f"{request.prompt}\n\nStyle: {request.style}" if request.style else request.prompt


def _matter(request: ArticleRequest) -> str:
    if request.mode == "topic":
        return f'Write an article about "{request.topic}".'
    about = f' about "{request.topic}"' if request.topic else ""
    if request.mode == "keywords":
        return f"Write an article{about} that covers these keywords, each of them in the text: {_listed(request.keywords)}."
    return (
        f"Write an article{about} with this outline, one section for each entry, in this order:\n{_numbered(request.outline)}"
    )


def _listed(words: list[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _numbered(entries: list[str]) -> str:
    return "\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, 1))
