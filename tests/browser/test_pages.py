"""The pages in a real browser: what people do there, seen as they see it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from jobs.keys import keys
from jobs.roles import Role
from tests.browser.stack import NARROW, PATIENCE_MILLISECONDS, WIDE, Stack, is_too_wide, running, serious_faults

expect.set_options(timeout=PATIENCE_MILLISECONDS)


@pytest.fixture(scope="module")
def stack(mongodb: str, sqs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("pages")) as stack:
        yield stack


@pytest.fixture(autouse=True)
def no_complaints(stack: Stack) -> Iterator[None]:
    """The service does well at first; at the end all pages are closed, and no console has said anything."""
    stack.service.behave()
    yield
    for context in stack.browser.contexts:
        context.close()
    said, stack.complaints[:] = stack.complaints[:], []
    assert said == []


def order(page: Page, kind: str, what: str, *, words: int = 400) -> None:
    """Order it on the composer's page, and be on the job's."""
    page.goto(f"/?kind={kind}")
    page.get_by_role("textbox", name="Topic" if kind == "articles" else "Prompt").fill(what)
    if kind == "articles":
        page.get_by_label("Word count").fill(str(words))
    page.get_by_role("button", name="Order").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f]{32}$"))


def test_an_article_is_read_while_it_is_written_and_is_there_when_one_comes_back(stack: Stack) -> None:
    stack.service.behave(path="/api/generation", piece_seconds=0.1)
    page = stack.visitor()
    page.goto("/?kind=articles")  # leads to the page to sign in, and back
    page.get_by_label("Your key").fill(keys().create("ada", Role.USER)[1])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/?kind=articles")
    order(page, "articles", "Bees", words=10_000)  # which the service takes some minutes for
    writing = page.locator("[data-writing]")
    expect(writing).to_contain_text("Part 1 of Bees")
    expect(writing).not_to_contain_text("Part 83 of Bees")
    page.reload()
    expect(writing).to_contain_text("Part 1 of Bees")
    so_far = writing.inner_text().count(" of Bees\n")
    expect(writing).to_contain_text(f"Part {so_far + 2} of Bees")  # without being asked for again

    stack.service.behave()  # it is done at once
    expect(page.locator("#head .state")).to_have_text("Done")
    article = page.get_by_role("article", name="The article")
    expect(article.get_by_role("heading", level=2).first).to_be_visible()
    assert "##" not in article.inner_text()
    page.goto("/jobs?q=bees")
    page.get_by_role("link", name=re.compile("Bees")).click()
    expect(article).to_be_visible()


def test_a_job_is_cancelled_and_started_over_where_one_watches_it(stack: Stack) -> None:
    stack.service.behave(path="/api/images", wait_seconds=3_600)
    page = stack.user("ada")
    order(page, "images", "A lighthouse")
    shown = page.locator("#head .state")
    expect(shown).to_have_text("Working")
    page.get_by_role("button", name="Cancel").click()
    expect(shown).to_have_text("Cancelled")

    stack.service.behave()
    page.get_by_role("button", name="Retry").click()
    expect(shown).to_have_text("Done")
    picture = page.get_by_role("img", name="A lighthouse")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.get_by_role("link", name="Same again").click()
    expect(page.get_by_label("Prompt")).to_have_value("A lighthouse")


def test_an_operator_sees_what_a_redrive_would_do_before_it_is_done(stack: Stack) -> None:
    stack.service.behave(path="/api/images", status=422, detail="no portraits of the living")
    users = stack.user("ada")
    order(users, "images", "A mayor")
    expect(users.locator("#head .state")).to_have_text("Failed")
    expect(users.get_by_text("no portraits of the living")).to_be_visible()

    page = stack.user("root", Role.OPERATOR)
    page.goto("/dead-letters")
    expect(page.get_by_text("no portraits of the living")).to_be_visible()
    page.get_by_role("link", name="Redrive images, provider_refused …").click()
    expect(page.get_by_role("heading", name="Would start over: 1 job")).to_be_visible()
    expect(users.locator("#head .state")).to_have_text("Failed")

    stack.service.behave()
    page.get_by_role("button", name="Redrive them").click()
    expect(page.get_by_role("status").filter(has_text="1 job started over")).to_be_visible()
    users.reload()
    expect(users.locator("#head .state")).to_have_text("Done")
    expect(users.get_by_text("by root")).to_be_visible()


MARKDOWN = (
    "# Bees\n\nThey are **small**, and `Apis` is *one* of [many](https://example.com).\n\n- wax\n- honey\n\n"
    f"```\nhives = {' + '.join('abcdefghijklmnopqrstuvwxyz')}\n```\n\n"
    "<img src=x onerror=alert(1)> and **half"
)
BEGUN = f"retry: 100\n\nevent: text\ndata: {json.dumps({'offset': 0, 'text': MARKDOWN})}\n\n"


def test_text_is_set_while_it_grows_and_goes_on_where_a_stream_was_refused(stack: Stack) -> None:
    stack.service.behave(path="/api/generation", piece_seconds=1)
    page = stack.user("fay")
    order(page, "articles", "Bees", words=4_000)  # which the service would take a quarter of an hour for
    writing = page.locator("[data-writing]")
    expect(writing).to_be_visible()
    is_refused = True
    streams: list[str] = []

    def answer(route: Route) -> None:
        streams.append(route.request.url)
        if len(streams) == 1:
            route.fulfill(status=200, content_type="text/event-stream", body=BEGUN)
        elif is_refused:
            route.fulfill(status=429)
        else:
            route.continue_()

    page.route("**/events*", answer)
    page.reload()
    expect(writing.locator("strong")).to_have_text(["small", "half"])
    expect(writing.locator("li")).to_have_text(["wax", "honey"])
    expect(writing).to_contain_text("<img src=x onerror=alert(1)>")
    page.set_viewport_size(NARROW)
    expect(writing.locator("pre")).to_contain_text("y + z")
    assert not is_too_wide(page)
    is_refused = False
    expect(writing).to_contain_text("Part 1")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#head .state")).to_have_text("Cancelled")


def test_pages_that_nobody_sees_hold_no_connection_and_are_up_to_date_once_they_are_seen(stack: Stack) -> None:
    stack.service.behave(path="/api/videos", wait_seconds=3_600)
    page = stack.user("gus")
    order(page, "videos", "Clouds")
    expect(page.locator("#head .state")).to_have_text("Working")
    page.context.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? true })")
    behind = [page.context.new_page() for _ in range(7)]  # a browser opens six connections to a server
    for each in behind:
        each.goto(page.url)
    page.get_by_role("button", name="Cancel").click()
    seen = behind[-1]
    expect(seen.get_by_role("button", name="Cancel")).to_be_visible()
    seen.evaluate("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(seen.locator("#head .state")).to_have_text("Cancelled")


def test_two_users_see_nothing_of_each_other(stack: Stack) -> None:
    adas = stack.user("ada")
    order(adas, "images", "A secret garden")
    bobs = stack.user("bob")
    bobs.goto("/jobs")
    expect(bobs.get_by_text("No jobs yet.")).to_be_visible()
    answer = bobs.goto(adas.url)
    assert answer is not None
    assert answer.status == 404
    expect(bobs.get_by_role("heading", level=1)).to_have_text("Nothing is here")
    answer = bobs.goto("/queues")
    assert answer is not None
    assert answer.status == 403
    expect(bobs.get_by_role("heading", level=1)).to_have_text("This is not for your key")
    expect(bobs.get_by_role("link", name="Queues")).to_have_count(0)


def test_a_list_shows_by_itself_what_happens_and_acts_on_all_that_match(stack: Stack) -> None:
    stack.service.behave(path="/api/videos", wait_seconds=3_600)
    page, other = stack.user("carol"), stack.user("carol")
    page.goto("/jobs?kind=videos")
    for n in (1, 2):
        order(other, "videos", f"Waves {n}")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("button", name="Cancel 2 jobs").click()
    expect(page.get_by_role("status").filter(has_text="2 jobs cancelled")).to_be_visible()
    expect(page.locator("tbody .state.cancelled")).to_have_count(2)


def test_without_scripts_an_order_is_refused_beside_its_field_and_then_taken(stack: Stack) -> None:
    page = stack.user("dora", script=False)
    page.goto("/")
    page.get_by_role("textbox", name="Topic").fill("Bees")
    page.get_by_label("Word count").fill("3")
    page.get_by_role("button", name="Order").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was ordered yet")
    expect(page.get_by_label("Word count")).to_have_accessible_description(re.compile("Send 50 or more|send 50 or more"))
    page.get_by_label("Word count").fill("60")
    page.get_by_role("button", name="Order").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Bees"))


def test_every_page_can_be_used_by_everybody(stack: Stack) -> None:
    order(stack.user("ada"), "images", "A bridge")
    page = stack.user("root", Role.OPERATOR)
    page.goto("/jobs")
    job = str(page.locator("tbody tr .what a").first.get_attribute("href"))
    faults = []
    for path in (job, "/jobs", "/queues", "/dead-letters", "/usage", "/", "/nowhere"):
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light")
        page.goto(path)
        faults += serious_faults(page)
        page.emulate_media(color_scheme="dark")
        faults += serious_faults(page, "color-contrast")
        page.set_viewport_size(NARROW)
        assert not is_too_wide(page), path
    assert faults == []
