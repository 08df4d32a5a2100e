"""The pages: rendered here, kept up to date by a little script of our own (`web/static`), and usable without it."""

from __future__ import annotations

from flask import Flask

from web.pages import composer, dead_letters, job, listing, queues, site, static, usage


def register(app: Flask) -> None:
    """Serve the pages from `app`."""
    for page in (composer, listing, job, queues, dead_letters, usage):
        assert page.blueprint is site.blueprint, "a page's views stand on the blueprint once its module is loaded"
    site.register(app)
    app.register_blueprint(static.blueprint)
    app.register_blueprint(site.blueprint)
