"""Pressroom as people meet it in a browser: gunicorn, one worker, an AI service that does as it is told, and Chromium."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, sync_playwright
from pymongo import MongoClient

from devstack.ai_service import AiService
from devstack.server import Server, free_port
from jobs import counters
from jobs.keys import keys
from jobs.roles import Role
from jobs.sessions import sessions
from queues.provision import apply
from tests.conftest import forget_settings
from tests.web.test_process import gunicorn, wait_for
from tests.workers import Worker
from web.crosssite import SESSION_COOKIE

PATIENCE_MILLISECONDS = 90_000
WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}


@dataclass
class Stack:
    """Where it is, what makes its content, and who looks at it."""

    address: str
    service: AiService
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    """What browsers said in their consoles: errors of scripts, and what the policy of the pages forbade."""

    def visitor(self, *, script: bool = True) -> Page:
        """A page of somebody who is not signed in, with cookies of his own."""
        context = self.browser.new_context(
            base_url=self.address, viewport=WIDE, color_scheme="light", java_script_enabled=script
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def user(self, name: str, role: Role = Role.USER, **manner: bool) -> Page:
        """A page of a user who has signed in."""
        page = self.visitor(**manner)
        token = sessions().begin(keys().create(name, role)[0])
        page.context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": self.address}])
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        # that a page answered 4xx is what some tests ask for; browsers call it an error
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            self.complaints.append(message.text)


@contextmanager
def running(directory: Path) -> Iterator[Stack]:
    """All of it, over the MongoDB and SQS of the tests, whose addresses the environment has."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "the pages are looked at in a real browser: install Chromium (Debian: the package chromium)"
    port, name = free_port(), f"pages-{secrets.token_hex(3)}"
    with AiService() as service, pytest.MonkeyPatch.context() as environment:
        variables = {
            "QUEUE_PREFIX": f"test-{name}-",
            "MONGODB_DATABASE": f"{os.environ['MONGODB_DATABASE']}_{name}",  # with no jobs of tests that ran here before
            "AUTH": "keys",
            "AI_SERVICE_URL": service.address,
            "PORT": str(port),
        }
        for variable, value in variables.items():
            environment.setenv(variable, value)
        forget_settings()
        apply()
        web = Server("web", gunicorn(), directory / "web.log")
        address = f"http://127.0.0.1:{port}"
        try:
            with Worker(directory / "worker.log", "articles", "images", "videos"), sync_playwright() as playwright:
                wait_for(address, web)
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                yield Stack(address, service, browser)
                browser.close()
        finally:
            web.stop()
            environment.undo()
            forget_settings()
            counters.flush()  # or they are written to a database that is gone
            with MongoClient[dict[str, Any]](os.environ["MONGODB_URI"]) as client:
                client.drop_database(variables["MONGODB_DATABASE"])


def serious_faults(page: Page, *rules: str) -> list[str]:
    """What axe finds on the page that keeps people from using it; by all its rules, or by these."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": [*rules]} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{page.url}: {each['id']}: {each['help']} ({each['nodes'][0]['html'][:200]})"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def is_too_wide(page: Page) -> bool:
    """Whether one has to scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))
