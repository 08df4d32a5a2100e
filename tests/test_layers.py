"""Imports point down only, and what must not be loaded is not."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import CHECKOUT

LAYERS = ["settings", "queues", "jobs", "providers", "monitoring", "tasks", "web", "devstack", "cli"]
"""From the bottom to the top: each may import itself and what stands before it."""
PLACE_OF_MODULES = {"celeryconfig": "tasks"}
"""Modules beside the packages, and the layer they count as."""
SDKS = {"openai", "av", "PIL"}


def modules() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((CHECKOUT / layer).rglob("*.py"))] + [
        CHECKOUT / f"{name}.py" for name in ("settings", *PLACE_OF_MODULES) if (CHECKOUT / f"{name}.py").exists()
    ]


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The top-level names that a module imports, anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: spell the whole name of what is imported"
            yield str(node.module).partition(".")[0], node.lineno


def layer_of(path: Path) -> str:
    name = path.relative_to(CHECKOUT).parts[0].removesuffix(".py")
    return PLACE_OF_MODULES.get(name, name)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_module_imports_from_its_own_layer_and_below(path: Path) -> None:
    own = LAYERS.index(layer_of(path))
    upwards = [
        f"line {line}: {layer_of(path)} must not import {name}"
        for name, line in imported(path)
        if (layer := PLACE_OF_MODULES.get(name, name)) in LAYERS and LAYERS.index(layer) > own
    ]
    assert not upwards, "\n".join(upwards)


def test_nothing_of_the_product_imports_the_tests() -> None:
    found = [str(path) for path in modules() if "tests" in {name for name, _ in imported(path)}]
    assert not found


def test_jobs_know_nothing_of_celery() -> None:
    found = [
        str(path) for path in (CHECKOUT / "jobs").rglob("*.py") if {"celery", "kombu"} & {name for name, _ in imported(path)}
    ]
    assert not found


def test_the_web_process_loads_no_providers_sdk() -> None:
    program = "import json, sys, web; web.create_app(); print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    answer = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(answer.stdout.splitlines()[-1]))
    assert not SDKS & loaded
