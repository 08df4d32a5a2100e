"""Flower in a real browser: two workers under load, one of them killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from devstack.ai_service import AiService
from jobs.life import Status
from jobs.submit import Order, submit_many
from tests.monitoring.watching import Flower, celery
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for

LOAD = 60
SHOWN_MILLISECONDS = 120_000


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "Flower is looked at in a real browser: install Chromium (Debian: the package chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1400, "height": 800})
        browser.close()


def look(page: Page, name: str) -> None:
    """Keep what the page shows, where somebody wants to see it."""
    if directory := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def show(page: Page, address: str, words: str) -> None:
    """Be on a page that shows these words by now. It does not change by itself, and Flower hears of tasks a little later."""

    def is_shown() -> bool:
        page.goto(address)
        return re.search(words, page.locator("body").text_content() or "", re.DOTALL) is not None

    wait_for(is_shown, f"{address} to show {words}")


@pytest.mark.long
def test_flower_shows_two_workers_under_load_and_that_one_was_killed(
    start_worker: StartWorker, tmp_path: Path, page: Page
) -> None:
    with AiService() as service, Flower(tmp_path / "flower.log") as flower:
        service.behave(wait_seconds=0.5)
        variables = {"AI_SERVICE_URL": service.address, "LEASE_SECONDS": "3"}
        first = start_worker("articles", options=("-n", "first@%h", "-c", "3"), **variables)
        second = start_worker("articles", options=("-n", "second@%h", "-c", "3"), **variables)
        topics = [{"mode": "topic", "topic": f"Bees {n}", "wordCount": 60} for n in range(LOAD)]
        jobs = submit_many([Order(kind="articles", payload=payload, user_id="ada") for payload in topics])

        page.goto(f"{flower.address}/workers")
        for name in ("first@", "second@"):
            expect(page.locator("#workers-table tr", has_text=name)).to_contain_text("Online", timeout=SHOWN_MILLISECONDS)
        look(page, "workers")

        second.process.send_signal(signal.SIGKILL)
        second.process.wait()
        expect(page.locator("#workers-table tr", has_text="second@")).to_contain_text("Offline", timeout=SHOWN_MILLISECONDS)
        expect(page.locator("#workers-table tr", has_text="first@")).to_contain_text("Online")
        look(page, "workers-one-killed")

        for job in jobs:
            assert finished(job.id, first).status is Status.COMPLETED
        page.goto(f"{flower.address}/tasks")
        page.locator("#tasks-table").wait_for()
        expect(page.locator("#tasks-table tbody")).to_contain_text("SUCCESS", timeout=SHOWN_MILLISECONDS)
        look(page, "tasks")
        show(page, f"{flower.address}/task/{jobs[0].id}", "articles.*SUCCESS")
        look(page, "task")
        page.goto(f"{flower.address}/broker")
        look(page, "broker")
        page.goto(f"{flower.address}/workers")
        page.get_by_role("link", name=re.compile("first@")).click()
        look(page, "worker")


@pytest.mark.long
def test_the_buttons_of_flowers_pages_work_on_ones_own_machine(start_worker: StartWorker, tmp_path: Path, page: Page) -> None:
    with Flower(tmp_path / "flower.log", opened=False) as flower:
        worker = start_worker("articles", options=("-n", "first@%h", "-c", "3"))
        page.goto(f"{flower.address}/workers")
        page.get_by_role("link", name=re.compile("first@")).click(timeout=SHOWN_MILLISECONDS)
        page.locator("#pool-size").fill("2")
        page.get_by_role("button", name="Grow").click()
        expect(page.get_by_role("status")).to_contain_text("Growing", timeout=SHOWN_MILLISECONDS)
        patiently = ("--timeout", "60", "--destination", f"first@{socket.gethostname()}")  # the first answer is all there are
        assert '"max-concurrency": 5' in celery("inspect", *patiently, "--json", "stats")
        page.get_by_role("button", name="Actions").click()
        page.locator("#worker-shutdown").click()
        assert worker.process.wait(SHOWN_MILLISECONDS / 1000) == 0
