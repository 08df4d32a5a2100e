"""The few pieces that the pipelines of MongoDB's updates are made of here.

Source: https://www.mongodb.com/docs/manual/tutorial/update-documents-with-aggregation-pipeline/
"""

from __future__ import annotations

from typing import Any

from jobs.database import Document

NOW = "$$NOW"
"""MongoDB's own time: every time that is compared is MongoDB's, never a worker's clock."""


def literal(value: Any) -> Document:
    """A value in a pipeline, where a text that starts with $ would be a field's name."""
    return {"$literal": value}


def later(seconds: float) -> Document:
    """MongoDB's time in so many seconds."""
    return {"$add": [NOW, round(seconds * 1000)]}


def ago(seconds: float) -> Document:
    """MongoDB's time so many seconds ago."""
    return {"$subtract": [NOW, round(seconds * 1000)]}


def expr(condition: Any) -> Document:
    """A condition of a filter that compares fields with each other or with the time."""
    return {"$expr": condition}


def new_or_kept(document: Document, **computed: Any) -> list[Document]:
    """A pipeline for an upsert that inserts `document` with its computed fields, or leaves the one that is there.

    (A plain insert can't use MongoDB's time.)
    """
    fresh = {"$mergeObjects": [literal(document), computed]}
    return [{"$replaceWith": {"$cond": [{"$eq": [{"$type": "$created_at"}, "missing"]}, fresh, "$$ROOT"]}}]
