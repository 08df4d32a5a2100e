"""Resumes as PDFs: what stands on the pages, where it leads, and a document's way through a real worker."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from pydantic import ValidationError

from jobs.errors import InvalidPayload
from jobs.files import files
from jobs.life import Status
from jobs.media import media_of
from jobs.submit import Order, submit
from tasks.documents import DocumentRequest, set_document
from tasks.resume_pdf.json_resume import JsonResume
from tasks.resume_pdf.rendering import TEMPLATES, Template, as_pdf
from tests.tasks.conftest import StartWorker
from tests.tasks.running import run_of
from tests.workers import finished

DAY = datetime(2026, 1, 15, tzinfo=UTC)
EVERY_TEMPLATE = pytest.mark.parametrize("template", TEMPLATES)
ADA: dict[str, Any] = {
    "basics": {
        "name": "Ada Łukaszewicz-Grüber",
        "label": "Analyst",
        "email": "ada@example.org",
        "phone": "+44 20 7946 0000",
        "url": "https://example.org/ada",
        "summary": "Notes on the Analytical Engine.\n\nKeen on bees.",
        "location": {"city": "London", "countryCode": "GB", "postalCode": "W1"},
        "profiles": [{"network": "GitHub", "username": "ada", "url": "github.com/ada"}],
    },
    "work": [
        {
            "name": "Ελληνικά ΜΜΕ",
            "position": "Translator",
            "startDate": "2021-03-15",
            "endDate": None,
            "highlights": ["Кириллица and ž", ""],
        },
        {"name": "Difference Ltd", "position": "Clerk", "startDate": "2018", "endDate": "2021-02"},
    ],
    "education": [{"institution": "At home", "studyType": "Mathematics", "startDate": "2012", "endDate": "2014"}],
    "skills": [{"name": "Numbers", "level": "expert", "keywords": ["Bernoulli's", "complex"]}],
    "awards": [{"title": "", "date": ""}],
    "volunteer": [],
    "meta": {"theme": "unknown"},
}


def pdf(template: Template, data: dict[str, Any] = ADA) -> bytes:
    return as_pdf(JsonResume.model_validate(data), template, DAY)


def pages(content: bytes) -> list[str]:
    """The text of each page, its lines and spaces all one space."""
    with closing(pypdfium2.PdfDocument(content)) as document:
        found = []
        for number in range(len(document)):
            with closing(document[number]) as page, closing(page.get_textpage()) as text:
                found.append(" ".join(text.get_text_range().split()))
        return found


def links(content: bytes) -> set[str]:
    """Where the first page leads."""
    with closing(pypdfium2.PdfDocument(content)) as document, closing(document[0]) as page:
        return {uri for place in range(pdfium.FPDFPage_GetAnnotCount(page)) if (uri := _uri(document, page, place))}


def _uri(document: Any, page: Any, place: int) -> str:
    annotation = pdfium.FPDFPage_GetAnnot(page, place)
    action = pdfium.FPDFLink_GetAction(pdfium.FPDFAnnot_GetLink(annotation))
    size = pdfium.FPDFAction_GetURIPath(document, action, None, 0)
    buffer = (pdfium.c_char * size)()
    pdfium.FPDFAction_GetURIPath(document, action, buffer, size)
    pdfium.FPDFPage_CloseAnnot(annotation)
    return bytes(buffer[: size - 1]).decode()


@EVERY_TEMPLATE
def test_a_resume_reads_in_its_order_without_what_is_empty(template: Template) -> None:
    (text,) = pages(pdf(template))
    wanted = [
        *("Ada Łukaszewicz-Grüber", "Analyst", "London", "ada@example.org", "github.com/ada", "Keen on bees.", "experience"),
        *("Mar 2021 – present", "Ελληνικά ΜΜΕ", "Кириллица and ž", "2018 – Feb 2021", "education", "Mathematics", "skills"),
        "Bernoulli's, complex",
    ]
    places = [text.lower().find(each.lower()) for each in wanted]
    assert -1 not in places, f"not on the page: {wanted[places.index(-1)]}"
    assert places == sorted(places)
    for left_out in ("awards", "volunteering", "postal", "W1", "1 of 1"):
        assert left_out.lower() not in text.lower()


@EVERY_TEMPLATE
def test_addresses_can_be_clicked(template: Template) -> None:
    assert {"mailto:ada@example.org", "tel:+442079460000", "https://example.org/ada", "https://github.com/ada"} <= links(
        pdf(template)
    )


@EVERY_TEMPLATE
def test_a_pdf_tells_its_title_and_holds_its_fonts_and_is_the_same_each_time(template: Template) -> None:
    content = pdf(template)
    assert content == pdf(template)
    with closing(pypdfium2.PdfDocument(content)) as document:
        told = document.get_metadata_dict()
    assert (told["Title"], told["Author"]) == ("Ada Łukaszewicz-Grüber – Resume", "Ada Łukaszewicz-Grüber")
    assert told["CreationDate"].startswith("D:20260115")
    assert re.search(rb"/Lang ?\(en", content)
    assert b"pdfaid" in content


@EVERY_TEMPLATE
def test_markup_of_any_language_is_printed_as_it_stands(template: Template) -> None:
    hostile = '#panic("x") *a* _b_ `c` $d$ [e] <f> @g \\ // /* #set text(red) */ = H --- ~ ${h} \\input{i} <b>j</b>'
    data = {"basics": {"name": "#Ada*", "summary": hostile}, "work": [{"position": hostile, "highlights": [hostile]}]}
    (text,) = pages(pdf(template, data))
    assert text.replace(" ", "").count(hostile.replace(" ", "")) == 3  # wherever its lines break
    assert text.startswith("#Ada*")


@EVERY_TEMPLATE
def test_a_long_resume_has_numbered_pages_and_no_entry_is_torn_apart(template: Template) -> None:
    work = [
        {
            "position": f"Position {number}.",
            "startDate": "2011",
            "highlights": [f"First of {number}.", "Two", f"Last of {number}."],
        }
        for number in range(40)
    ]
    found = pages(pdf(template, ADA | {"work": work}))
    assert len(found) > 2
    for number in range(40):
        on = [{place for place, text in enumerate(found) if f"{what} {number}." in text} for what in ("Position", "Last of")]
        assert on[0] == on[1] != set()
    for number, text in enumerate(found, start=1):
        assert f"{number} of {len(found)}" in text or f"{number} / {len(found)}" in text


def boxes(content: bytes) -> tuple[float, list[tuple[str, float, float]]]:
    """The width of the first page, and each of its characters with its left and right edge."""
    with (
        closing(pypdfium2.PdfDocument(content)) as document,
        closing(document[0]) as page,
        closing(page.get_textpage()) as text,
    ):
        placed = [(text.get_text_range(n, 1), *text.get_charbox(n)) for n in range(text.count_chars())]
        return page.get_width(), [(each, left, right) for each, left, _, right, _ in placed if each.strip()]


@EVERY_TEMPLATE
def test_long_words_stay_on_the_page_and_are_copied_out_as_they_were(template: Template) -> None:
    address, word = "https://example.org/" + "a-long-path/" * 3, "Rindfleischetikettierung" * 6
    basics = {"name": "W" * 60, "email": f"{'a' * 90}@example.org", "url": f"https://{'h' * 60}.example", "summary": address}
    work = {"position": word, "location": "L" * 100, "highlights": [word]}
    content = pdf(template, {"basics": basics, "work": [work], "skills": [{"name": word, "keywords": [word]}]})
    width, placed = boxes(content)
    assert all(left > 0 and right < width for _, left, right in placed)
    text = "".join(each for each, _, _ in placed)
    assert (text.count(word), text.count(address)) == (4, 1)
    assert "\u200b" not in pages(content)[0]


@EVERY_TEMPLATE
def test_what_is_read_from_the_right_begins_there(template: Template) -> None:
    width, placed = boxes(pdf(template, {"basics": {"name": "דוד לוי", "summary": "מהנדס עם 10 שנות ניסיון ב-Python."}}))
    assert next(left for each, left, _ in placed if each == "ע") > width / 2
    stop = next(right for each, _, right in placed if each == ".")
    assert stop < next(left for each, left, _ in placed if each == "P")


def test_a_profile_whose_address_is_too_long_to_be_shown_is_named() -> None:
    profile = {"network": "LinkedIn", "username": "ada", "url": "https://www.linkedin.com/in/" + "ada-" * 12}
    content = pdf("classic", {"basics": {"name": "Ada", "profiles": [profile]}})
    assert "LinkedIn: ada" in pages(content)[0]
    assert links(content) == {profile["url"]}


def test_an_entry_longer_than_a_page_goes_on_on_the_next() -> None:
    found = pages(pdf("classic", {"basics": {"name": "Ada"}, "work": [{"summary": "word " * 1_900 + "last"}]}))
    assert len(found) > 1
    assert "last" in found[-1]


def test_the_paper_is_that_of_the_country() -> None:
    for country, width in (("GB", 595), ("US", 612)):
        with closing(
            pypdfium2.PdfDocument(pdf("modern", {"basics": {"name": "A", "location": {"countryCode": country}}}))
        ) as a:
            assert round(a.get_page_size(0)[0]) == width


def test_what_no_font_can_show_is_refused_by_name() -> None:
    with pytest.raises(InvalidPayload, match=r"No font here can show . \(U\+F1234\)"):
        pdf("classic", {"basics": {"name": "Ada \U000f1234"}})


@pytest.mark.parametrize(
    ("resume", "field"),
    [
        ({}, "basics"),
        ({"basics": {"name": " "}}, "basics.name"),
        ({"basics": {"name": "Ada", "email": "ada at home"}}, "basics.email"),
        ({"basics": {"name": "Ada", "url": "javascript:alert(1)"}}, "basics.url"),
        ({"basics": {"name": "Ada"}, "work": [{"startDate": "2021-13"}]}, "work.0.startDate"),
        ({"basics": {"name": "Ada"}, "work": [{"highlights": "many"}]}, "work.0.highlights"),
        ({"basics": {"name": "Ada"}, "skills": [{}] * 101}, "skills"),
        ({"basics": {"name": "Ada", "summary": "a" * 10_001}}, "basics.summary"),
    ],
)
def test_what_is_wrong_with_a_resume_is_named(resume: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DocumentRequest.model_validate({"resume": resume})
    assert [".".join(map(str, fault["loc"])) for fault in refused.value.errors()] == [f"resume.{field}"]


def store_resume(database: Any, resume_id: str, template: str, data: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    times = {"created_at": now, "updated_at": now, "deleted_at": None}
    kept = {"template": template, "data": data, "version": 1, "applied_seq": 1, **times}
    database.resumes.insert_one({"_id": {"user_id": "ada", "resume_id": resume_id}, **kept})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "There is no resume 'cv'"),
        ({"work": [{"startDate": "soon"}]}, "basics: Field required; work.0.startDate: send a date"),
    ],
)
def test_a_stored_resume_that_can_not_be_set_is_refused_in_words(data: Any, words: str, database: Any) -> None:
    if data is not None:
        store_resume(database, "cv", "plain", data)
    request = DocumentRequest.model_validate({"resumeId": "cv"})
    with pytest.raises(InvalidPayload, match=re.escape(words)):
        set_document.run(run_of("documents", {"resumeId": "cv"}), request)


def test_a_stored_resume_becomes_a_pdf_in_its_own_template(start_worker: StartWorker, database: Any) -> None:
    store_resume(database, "cv", "modern", ADA)
    worker = start_worker("documents")
    job = finished(submit(Order(kind="documents", payload={"resumeId": "cv"}, user_id="ada")).id, worker)
    assert job.status is Status.COMPLETED
    (item,) = media_of(job)
    assert (item.name, item.content_type, item.width) == ("resume.pdf", "application/pdf", None)
    file = files().open(item.key)
    assert file is not None
    with file:
        assert file.read() == as_pdf(JsonResume.model_validate(ADA), "modern", job.created_at)
