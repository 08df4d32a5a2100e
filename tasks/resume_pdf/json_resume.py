"""JSON Resume, as far as it is printed. Source: https://jsonresume.org/schema (1.0.0)

What is empty (null, "" or an empty list) counts as left out, as editors of resumes write it. Fields that the schema does not
name are allowed by it, and are not printed. Texts and lists have a most, so that a resume stays one.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

MOST_ENTRIES = 100
"""Of one section."""
MOST_POINTS = 50
"""Of one entry: highlights, courses, keywords."""
DATE = re.compile(r"[12]\d{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)")
"""How a web address with its scheme begins. (`example.org:8080` begins with a host and a port.)"""


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError("enum", "send {expected}", {"expected": what})


def _date(text: str) -> str:
    if not DATE.fullmatch(text):
        raise _expected("a date as in 2024-03-15, 2024-03 or 2024")
    return text


def _email(text: str) -> str:
    if not ADDRESS.fullmatch(text):
        raise _expected("an e-mail address as in ada@example.org")
    return text


def _url(text: str) -> str:
    """The whole address; people write theirs without `https://`."""
    whole = text if SCHEME.match(text) else f"https://{text.removeprefix('//')}"
    try:
        parts = urlsplit(whole)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_whole = False
    if not is_whole or re.search(r"\s", whole):
        raise _expected("a web address as in https://example.org/ada")
    return whole


Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)]
Date = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_date)]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_email)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000), AfterValidator(_url)]
Points = Annotated[list[Text], Field(max_length=MOST_POINTS)]
Words = Annotated[list[Line], Field(max_length=MOST_POINTS)]


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})


class Part(BaseModel):
    """The base of a resume and of everything in it."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if not _is_empty(value)} if isinstance(data, dict) else data


class Location(Part):
    """Where somebody lives. Its address and postal code are not printed: a resume gets about."""

    city: Line = ""
    region: Line = ""
    country_code: Line = ""


class Profile(Part):
    """Somebody's page at a network."""

    network: Line = ""
    username: Line = ""
    url: Url = ""


class Basics(Part):
    """Who it is."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    label: Line = ""
    email: Email = ""
    phone: Line = ""
    url: Url = ""
    summary: Text = ""
    location: Location = Location()
    profiles: Annotated[list[Profile], Field(max_length=20)] = []


class Spell(Part):
    """Something that lasted from a date to another, or goes on."""

    start_date: Date = ""
    end_date: Date = ""
    url: Url = ""


class Work(Spell):
    """A position."""

    name: Line = ""
    position: Line = ""
    location: Line = ""
    description: Line = ""
    summary: Text = ""
    highlights: Points = []


class Volunteer(Spell):
    """A position without pay."""

    organization: Line = ""
    position: Line = ""
    location: Line = ""
    summary: Text = ""
    highlights: Points = []


class Project(Spell):
    """Something made."""

    name: Line = ""
    description: Text = ""
    entity: Line = ""
    roles: Words = []
    highlights: Points = []
    keywords: Words = []


class Education(Spell):
    """Where somebody studied."""

    institution: Line = ""
    area: Line = ""
    study_type: Line = ""
    score: Line = ""
    courses: Points = []


class Award(Part):
    """A prize."""

    title: Line = ""
    date: Date = ""
    awarder: Line = ""
    summary: Text = ""


class Certificate(Part):
    """A certificate."""

    name: Line = ""
    date: Date = ""
    issuer: Line = ""
    url: Url = ""


class Publication(Part):
    """A book, an article or a talk."""

    name: Line = ""
    publisher: Line = ""
    release_date: Date = ""
    url: Url = ""
    summary: Text = ""


class Skill(Part):
    """What somebody can do."""

    name: Line = ""
    level: Line = ""
    keywords: Words = []


class Language(Part):
    """A language that somebody speaks."""

    language: Line = ""
    fluency: Line = ""


class Interest(Part):
    """What somebody likes."""

    name: Line = ""
    keywords: Words = []


class Reference(Part):
    """What somebody else says."""

    name: Line = ""
    reference: Text = ""


class JsonResume(Part):
    """A resume in the form of JSON Resume (https://jsonresume.org/schema). Only `basics.name` must be there."""

    basics: Basics
    work: Annotated[list[Work], Field(max_length=MOST_ENTRIES)] = []
    volunteer: Annotated[list[Volunteer], Field(max_length=MOST_ENTRIES)] = []
    education: Annotated[list[Education], Field(max_length=MOST_ENTRIES)] = []
    projects: Annotated[list[Project], Field(max_length=MOST_ENTRIES)] = []
    skills: Annotated[list[Skill], Field(max_length=MOST_ENTRIES)] = []
    languages: Annotated[list[Language], Field(max_length=MOST_ENTRIES)] = []
    certificates: Annotated[list[Certificate], Field(max_length=MOST_ENTRIES)] = []
    publications: Annotated[list[Publication], Field(max_length=MOST_ENTRIES)] = []
    awards: Annotated[list[Award], Field(max_length=MOST_ENTRIES)] = []
    interests: Annotated[list[Interest], Field(max_length=MOST_ENTRIES)] = []
    references: Annotated[list[Reference], Field(max_length=MOST_ENTRIES)] = []
