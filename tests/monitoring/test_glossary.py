"""The metrics' names: what is counted is in the glossary, and what is in the glossary is counted."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from monitoring.glossary import METRICS
from settings import CHECKOUT

PACKAGES = ("queues", "jobs", "providers", "monitoring", "tasks", "web", "cli")
COUNTING = {"count", "add", "observe"}


def counted() -> Iterator[tuple[str, frozenset[str], str]]:
    """The names that the code counts under, with their labels and the place."""
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            if "jobs.counters" not in path.read_text():
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _name_of(node.func) in COUNTING and node.args:
                    first = node.args[0]
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        labels = frozenset(keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "n")
                        yield first.value, labels, f"{path.relative_to(CHECKOUT)}:{node.lineno}"


def _name_of(function: ast.expr) -> str | None:
    return getattr(function, "id", None) or getattr(function, "attr", None)


def meaning_of(name: str) -> str:
    return name if name in METRICS else f"{name}_total"


def test_what_is_counted_has_its_meaning_with_these_labels() -> None:
    for name, labels, place in counted():
        assert meaning_of(name) in METRICS, f"{place} counts {name}: add it to monitoring/glossary.py"
        assert labels == {*METRICS[meaning_of(name)].labels}, f"{place}: {name} has other labels in monitoring/glossary.py"


def test_every_counter_and_histogram_is_counted_somewhere() -> None:
    known = {meaning_of(name) for name, _, _ in counted()}
    assert {name for name, meaning in METRICS.items() if meaning.type != "gauge"} <= known


def test_names_tell_their_units() -> None:
    for name, meaning in METRICS.items():
        assert name.endswith("_total") == (meaning.type == "counter")
        assert meaning.type != "histogram" or name.endswith("_seconds")
