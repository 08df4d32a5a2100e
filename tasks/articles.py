"""Articles: written by an AI provider, illustrated on request."""

from __future__ import annotations

from providers.requests import ArticleRequest, ImageRequest
from tasks.kinds import job
from tasks.results import Article
from tasks.run import Run


@job("articles", payload=ArticleRequest)
def generate_article(run: Run, request: ArticleRequest) -> Article:
    draft = run.provider.write(request, run)
    if request.include_images:
        run.then("images", ImageRequest(prompt=f"Illustration for an article: {draft.title}").model_dump())
    return Article.from_draft(draft)
