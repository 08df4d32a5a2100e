"""MongoDB on the laptop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from devstack import mongod
from devstack.errors import StackError
from devstack.forwarder import bound
from devstack.watchdog import Watchdog


def test_data_survives_a_restart_on_another_port(tmp_path: Path, watchdog: Watchdog) -> None:
    first = mongod.start(tmp_path / "data", watchdog)
    with MongoClient[dict[str, Any]](first.uri) as client:
        client.kept.things.insert_one({"_id": "kept"})
    first.stop()
    with bound(first.port):  # somebody else has it by now
        second = mongod.start(tmp_path / "data", watchdog)
    try:
        assert second.port != first.port
        with MongoClient[dict[str, Any]](second.uri) as client:
            assert client.kept.things.find_one() == {"_id": "kept"}
            client.kept.things.insert_one({"_id": "writable"})
            with client.kept.things.watch() as changes:
                client.kept.things.insert_one({"_id": "watched"})
                assert next(changes)["documentKey"] == {"_id": "watched"}
    finally:
        second.stop()


def test_data_in_use_is_said_in_a_line(tmp_path: Path, watchdog: Watchdog) -> None:
    running = mongod.start(tmp_path / "data", watchdog)
    try:
        with pytest.raises(StackError, match="data is in use by another mongod"):
            mongod.start(tmp_path / "data", watchdog)
    finally:
        running.stop()


@pytest.mark.parametrize(("library", "package"), [("libcurl.so.4", "libcurl4"), ("libcrypto.so.3", "libssl3")])
def test_a_missing_system_library_names_its_package(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch, library: str, package: str
) -> None:
    words = (
        f"mongod: error while loading shared libraries: {library}: cannot open shared object file: No such file or directory"
    )
    put_on_path(monkeypatch, tmp_path / "bin", f"echo '{words}' >&2; exit 127")
    with pytest.raises(StackError) as caught:
        mongod.start(tmp_path / "data", watchdog)
    assert str(caught.value) == f"MongoDB needs the library {library} of your system: install the package {package}."


def test_another_failure_is_told_by_the_last_line_of_the_log(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(monkeypatch, tmp_path / "bin", "echo first; echo 'Illegal instruction'; exit 132")
    with pytest.raises(StackError, match="MongoDB did not start: Illegal instruction"):
        mongod.start(tmp_path / "data", watchdog)


def test_the_one_on_the_path_goes_before_the_one_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = put_on_path(monkeypatch, tmp_path / "bin", "exit 0")
    assert mongod.find() == program


def put_on_path(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> Path:
    directory.mkdir()
    program = directory / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return program
