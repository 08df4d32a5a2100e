"""What stands on a resume's pages, in its order: plain values, the same for every template.

A sheet has the name, what leads to its owner, and sections. A section has entries (a job, a degree) or terms (a skill and what
belongs to it). What a resume leaves out is not there: no heading without something below it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from tasks.resume_pdf.json_resume import (
    Award,
    Basics,
    Certificate,
    Education,
    Interest,
    JsonResume,
    Language,
    Project,
    Publication,
    Reference,
    Skill,
    Volunteer,
    Work,
)

Plain = dict[str, Any]

MONTHS = "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
LETTER_COUNTRIES = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE"})
"""Where the paper is called Letter."""
SHOWN_URL_CHARACTERS = 60
"""A longer address is shown by its host, a longer profile by its network and name."""
TURNS = frozenset(map(chr, chain(range(0x202A, 0x202F), range(0x2066, 0x206A), [0xFEFF])))
"""Characters that turn the direction of the text after them, and the mark of a file's beginning."""


def sheet(resume: JsonResume) -> Plain:
    """`{"name", "label", "reads", "paper", "contacts", "profile", "sections"}`, ready for a template."""
    basics = resume.basics
    return {
        "name": _line(basics.name),
        "label": _line(basics.label),
        "reads": _direction(basics),
        "paper": "us-letter" if basics.location.country_code.upper() in LETTER_COUNTRIES else "a4",
        "contacts": [*_contacts(basics)],
        "profile": _paragraphs(basics.summary),
        "sections": [*_sections(resume)],
    }


def _contacts(basics: Basics) -> Iterator[Plain]:
    """`{"text", "link"}`; `link` is empty where there is nothing to open."""
    if place := _joined(", ", basics.location.city, basics.location.region):
        yield {"text": place, "link": ""}
    if basics.email:
        yield {"text": _line(basics.email), "link": f"mailto:{basics.email}"}
    if basics.phone:
        number = re.sub(r"[^\d+]", "", basics.phone)
        yield {"text": _line(basics.phone), "link": f"tel:{number}" if number else ""}
    if basics.url:
        yield _link(basics.url)
    for profile in basics.profiles:
        called = _joined(": ", profile.network, profile.username)
        if profile.url:
            yield _link(profile.url, called if profile.username else "")
        elif called:
            yield {"text": called, "link": ""}


def _sections(resume: JsonResume) -> Iterator[Plain]:
    for title, entries in (
        ("Experience", map(_work, resume.work)),
        ("Projects", map(_project, resume.projects)),
        ("Volunteering", map(_volunteer, resume.volunteer)),
        ("Education", map(_education, resume.education)),
    ):
        yield from _section(title, entries=entries)
    yield from _section("Skills", terms=map(_skill, resume.skills))
    yield from _section("Languages", terms=map(_language, resume.languages))
    for title, entries in (
        ("Certificates", map(_certificate, resume.certificates)),
        ("Publications", map(_publication, resume.publications)),
        ("Awards", map(_award, resume.awards)),
    ):
        yield from _section(title, entries=entries)
    yield from _section("Interests", terms=map(_interest, resume.interests))
    yield from _section("References", entries=map(_reference, resume.references))


def _section(title: str, *, entries: Iterable[Plain] = (), terms: Iterable[Plain] = ()) -> Iterator[Plain]:
    """The section, if anything stands in it."""
    kept = [entry for entry in entries if any(entry.values())], [term for term in terms if any(term.values())]
    if any(kept):
        yield {"title": title, "entries": kept[0], "terms": kept[1]}


def _entry(
    heading: Iterable[str],
    *,
    place: Iterable[str] = (),
    dates: str = "",
    url: str = "",
    text: str = "",
    points: Iterable[str] = (),
    words: Iterable[str] = (),
) -> Plain:
    """The first of `heading` that is there is the heading, the others stand below it."""
    heads = [*filter(None, map(_line, heading))]
    return {
        "heading": heads[0] if heads else "",
        "detail": _joined(", ", *heads[1:]),
        "place": _joined(", ", *place),
        "dates": dates,
        "link": _link(url) if url else None,
        "text": _paragraphs(text),
        "points": [lines for point in points if (lines := _paragraphs(point))],
        "words": _joined(", ", *words),
    }


def _work(each: Work) -> Plain:
    return _entry(
        (each.position, _joined(" – ", each.name, each.description)),
        place=[each.location],
        dates=_span(each.start_date, each.end_date, goes_on=True),
        url=each.url,
        text=each.summary,
        points=each.highlights,
    )


def _volunteer(each: Volunteer) -> Plain:
    return _entry(
        (each.position, each.organization),
        place=[each.location],
        dates=_span(each.start_date, each.end_date, goes_on=True),
        url=each.url,
        text=each.summary,
        points=each.highlights,
    )


def _project(each: Project) -> Plain:
    return _entry(
        (each.name, *each.roles, each.entity),
        dates=_span(each.start_date, each.end_date),
        url=each.url,
        text=each.description,
        points=each.highlights,
        words=each.keywords,
    )


def _education(each: Education) -> Plain:
    return _entry(
        (_joined(", ", each.study_type, each.area), each.institution),
        place=[each.score if re.search(r"[^\W\d]", each.score) else _joined(" ", "Grade", each.score) if each.score else ""],
        dates=_span(each.start_date, each.end_date),
        url=each.url,
        words=each.courses,
    )


def _certificate(each: Certificate) -> Plain:
    return _entry((each.name, each.issuer), dates=_month(each.date), url=each.url)


def _publication(each: Publication) -> Plain:
    return _entry((each.name, each.publisher), dates=_month(each.release_date), url=each.url, text=each.summary)


def _award(each: Award) -> Plain:
    return _entry((each.title, each.awarder), dates=_month(each.date), text=each.summary)


def _reference(each: Reference) -> Plain:
    return _entry((each.name,), text=each.reference)


def _skill(each: Skill) -> Plain:
    return _term(
        _joined(" ", each.name, f"({each.level})") if each.name and each.level else each.name or each.level, *each.keywords
    )


def _language(each: Language) -> Plain:
    return _term(each.language, each.fluency)


def _interest(each: Interest) -> Plain:
    return _term(each.name, *each.keywords)


def _term(name: str, *words: str) -> Plain:
    return {"term": _line(name), "words": _joined(", ", *words)}


def _span(start: str, end: str, *, goes_on: bool = False) -> str:
    """`Mar 2021 – present`; what goes on has a start and no end."""
    first, last = _month(start), _month(end)
    if first and not last and goes_on:
        last = "present"
    return " – ".join(dict.fromkeys(filter(None, (first, last))))


def _month(date: str) -> str:
    """`Mar 2021` of `2021-03-15`; a year alone stays one."""
    year, _, rest = date.partition("-")
    return f"{MONTHS[int(rest[:2]) - 1]} {year}" if rest else year


def _link(url: str, called: str = "") -> Plain:
    """`called` is shown where the address is too long to be."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].removeprefix("www.")
    shown = f"{host}{parts.path}".rstrip("/")
    return {"text": _line(shown if len(shown) <= SHOWN_URL_CHARACTERS else called or host), "link": url}


def _direction(basics: Basics) -> str:
    """`rtl` where most letters of who it is are of a script that is read from the right, else `ltr`."""
    letters = [unicodedata.bidirectional(each) for each in f"{basics.name}{basics.label}{basics.summary}"]
    from_right = sum(each in {"R", "AL"} for each in letters)
    return "rtl" if from_right > letters.count("L") else "ltr"


def _joined(between: str, *texts: str) -> str:
    return between.join(filter(None, map(_line, texts)))


def _paragraphs(text: str) -> list[str]:
    return [*filter(None, map(_line, text.splitlines()))]


def _line(text: str) -> str:
    """A line without what no font can show: control characters, and those that turn the direction of what follows."""
    shown = "".join(" " if unicodedata.category(each) in {"Cc", "Zl", "Zp"} else each for each in text)
    return " ".join("".join(each for each in shown if each not in TURNS).split())
