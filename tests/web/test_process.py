"""The web process as it is run: gunicorn over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import requests

from devstack.server import Server, free_port
from settings import CHECKOUT
from tests.web.working import PICTURE, finish_image

SDKS = ("openai", "av", "PIL", "replicate")
PATIENCE_SECONDS = 120


def gunicorn() -> list[str]:
    return [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "web:create_app()"]


@pytest.fixture
def address(database: Any, queues: Any, tmp_path: Path, environment: Any) -> Iterator[str]:
    """Where a gunicorn of its own answers."""
    port = free_port()
    environment(PORT=str(port), LOG_FORMAT="json")
    server = Server("web", gunicorn(), tmp_path / "web.log")
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, server)
        yield address
    finally:
        server.stop()


def wait_for(address: str, server: Server) -> None:
    while server.is_running:
        try:
            requests.get(f"{address}/healthz", timeout=PATIENCE_SECONDS)
        except requests.ConnectionError:
            sleep(0.05)
            continue
        return
    pytest.fail(str(server.fault()))


def test_an_order_goes_through_a_real_process_whose_log_is_of_one_form(address: str, database: Any, tmp_path: Path) -> None:
    answer = requests.post(f"{address}/api/media/generate", json={"type": "image", "prompt": "Bees"}, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 202
    job_id = answer.json()["jobId"]
    finish_image(job_id)
    (file,) = requests.get(f"{address}/api/media/generate?jobId={job_id}", timeout=PATIENCE_SECONDS).json()["media"]
    assert file["url"].startswith(address)
    assert requests.get(file["url"], timeout=PATIENCE_SECONDS).content == PICTURE
    part = requests.get(file["url"], headers={"Range": "bytes=5-9"}, timeout=PATIENCE_SECONDS)
    assert (part.status_code, part.content) == (206, PICTURE[5:10])
    assert requests.head(file["url"], timeout=PATIENCE_SECONDS).headers["Content-Length"] == str(len(PICTURE))
    assert requests.get(f"{address}/readyz", timeout=PATIENCE_SECONDS).json()["sqs"] == "ok"
    loggers = {json.loads(line)["logger"] for line in (tmp_path / "web.log").read_text().splitlines()}
    assert {"gunicorn.error", "web"} <= loggers


def test_ten_megabytes_are_refused_declared_or_in_chunks(address: str, database: Any) -> None:
    body = b'{"topic": "' + b"a" * 10 * 1024 * 1024 + b'"}'
    headers = {"Content-Type": "application/json"}
    declared = requests.post(f"{address}/api/content/generate", data=body, headers=headers, timeout=PATIENCE_SECONDS)
    chunks = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    in_chunks = requests.post(f"{address}/api/content/generate", data=chunks, headers=headers, timeout=PATIENCE_SECONDS)
    for answer in (declared, in_chunks):
        assert (answer.status_code, answer.json()["success"]) == (413, False)
    assert database.jobs.count_documents({}) == 0


def test_a_mebibyte_is_taken_and_a_byte_more_is_not_declared_or_in_chunks(address: str) -> None:
    for size, status in ((1024 * 1024, 202), (1024 * 1024 + 1, 413)):
        body = b'{"topic": "Bees"}'.ljust(size)
        for data in (body, iter([body])):
            headers = {"Content-Type": "application/json"}
            answer = requests.post(f"{address}/api/content/generate", data=data, headers=headers, timeout=PATIENCE_SECONDS)
            assert answer.status_code == status


def test_a_kept_connection_is_answered_at_once_after_a_pause_and_for_two_requests_that_come_together(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection,
        connection.makefile("rb") as answers,
    ):
        asked = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for requests_together, pause in ((1, 0.0), (1, 0.3), (2, 0.0), (1, 0.0)):
            sleep(pause)  # longer than a thread stays with the connection
            connection.sendall(asked * requests_together)
            for _ in range(requests_together):
                assert answers.readline().startswith(b"HTTP/1.1 200")
                headers = http.client.parse_headers(answers)
                answers.read(int(headers["Content-Length"]))


def test_a_body_that_is_only_announced_is_refused_before_it_comes(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    connection.putrequest("POST", "/api/jobs")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(10 * 1024 * 1024))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["status"]) == (413, 413)
    connection.close()


@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}"], ids=["no number", "cut off"])
def test_a_body_in_broken_chunks_is_the_senders_fault(address: str, body: bytes) -> None:
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /api/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, "Send it again, whole." in json.loads(answer.read())["detail"]) == (400, True)


def test_settings_that_cant_be_used_end_the_process_with_a_sentence(tmp_path: Path) -> None:
    for command in (gunicorn(), [sys.executable, "-m", "flask", "--app", "web", "routes"]):
        ended = subprocess.run(
            command,
            env=os.environ | {"LEASE_SECONDS": "soon", "PORT": str(free_port())},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert ended.returncode != 0
        assert "LEASE_SECONDS='soon' can't be used" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_web_process_loads_no_providers_sdk() -> None:
    code = f"import sys, web; web.create_app(); print([name for name in {SDKS} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert ended.stdout.strip() == "[]"
