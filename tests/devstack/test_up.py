"""`make up`: what it starts, how it ends, what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from pymongo import MongoClient

from devstack import sqs_server
from queues.catalogue import KINDS
from settings import CHECKOUT
from tests.devstack.running import WEB, Up, is_running, until

ORDERLY = """
import os, pymongo, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("orderly is ready")
signal.sigwait([signal.SIGTERM])
pymongo.MongoClient(os.environ["MONGODB_URI"]).admin.command("ping")
print("MongoDB was still there")
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up") / "home") as up:
        yield up.is_ready()


def queue_names() -> set[str]:
    return {name for kind in KINDS.values() for name in (*map(kind.queue_name, kind.lanes), kind.dead_letter_name)}


def test_the_addresses_in_the_env_file_are_those_of_the_running_servers(running: Up) -> None:
    addresses = running.addresses
    client = MongoClient[dict[str, object]](addresses["MONGODB_URI"])
    with client, client.start_session() as session, session.start_transaction():
        client["x"]["x"].insert_one({}, session=session)
    keys = {"aws_access_key_id": addresses["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": addresses["AWS_SECRET_ACCESS_KEY"]}
    sqs = boto3.session.Session(region_name=addresses["AWS_REGION"], **keys).client(  # type: ignore[arg-type]  # a ** of texts
        "sqs", endpoint_url=addresses["AWS_ENDPOINT_URL"]
    )
    names = {url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]}
    assert names == queue_names()


def test_the_env_file_is_for_its_owner_and_says_whose_it_is(running: Up) -> None:
    assert stat.S_IMODE((running.home / "env").stat().st_mode) == 0o600
    assert running.addresses["PRESSROOM_STACK_PID"] == str(running.process.pid)
    assert running.addresses["AUTH"] == "off"
    assert running.addresses["PUBLIC_URL"] == f"http://127.0.0.1:{running.port}"


def test_the_shell_reads_the_env_file_as_it_was_meant(running: Up) -> None:
    script = '. "$1" && printf "%s" "$MONGODB_URI"'
    shell = subprocess.run(["sh", "-c", script, "sh", str(running.home / "env")], capture_output=True, text=True, check=True)
    assert shell.stdout == running.addresses["MONGODB_URI"]


def test_a_second_stack_in_the_same_home_is_refused(running: Up) -> None:
    second = subprocess.run(running.command, cwd=CHECKOUT, env=running.environment, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr == f"make up: A stack runs here already (process {running.process.pid}). Stop that one first.\n"
    assert running.process.poll() is None


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Up(tmp_path / "home", port=port) as up:
            assert up.ended() == 1
    assert f"Port {port} can't be used" in up.last_line
    assert f"PORT={port + 1} make up" in up.last_line
    assert not (tmp_path / "home" / "mongodb").exists()


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_port_that_is_none_is_refused_in_words(tmp_path: Path, port: str) -> None:
    with Up(tmp_path / "home", variables={"PORT": port}) as up:
        assert up.ended() == 1
    assert up.output == f"make up: PORT='{port}' can't be used: a port is a number from 1 to 65535\n"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything_and_is_no_failure(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "orderly.py").write_text(ORDERLY)
    with Up(tmp_path / "home", f"{WEB}orderly: python {tmp_path}/orderly.py\n") as up:
        groups = up.is_ready().says("orderly is ready").process_groups()
        assert len(groups) == 4
        os.kill(up.process.pid, number)
        assert up.ended() == 0
    assert not [group for group in groups if is_running(group)]
    assert "MongoDB was still there" in up.output
    assert "Traceback" not in up.output
    assert not (up.home / "env").exists()


@pytest.mark.long
def test_a_signal_during_the_start_ends_everything(tmp_path: Path) -> None:
    with Up(tmp_path / "home") as up:
        up.says("Starting SQS")
        groups = up.process_groups()
        up.process.terminate()
        assert up.ended() == 0
    assert not [group for group in groups if is_running(group)]
    assert "Traceback" not in up.output


def test_a_process_that_ends_during_the_start_ends_the_rest_and_is_named(tmp_path: Path) -> None:
    with Up(tmp_path / "home", "web: sleep 1000\nbrief: sh -c 'exit 7'\n") as up:  # as long as nobody answers, it starts
        assert up.ended() == 7
        assert not [group for group in up.process_groups() if is_running(group)]
    assert up.last_line == "make up: The process `brief` ended by itself (exit code 7), so everything was stopped."


@pytest.mark.long
def test_a_process_that_is_killed_comes_back_without_what_it_left_behind(tmp_path: Path) -> None:
    with Up(tmp_path / "home", f"{WEB}worker: sh -c 'sleep 1000 & echo works; wait'\n") as up:
        before = up.is_ready().process_groups()
        killed = leader_of(up, "worker")
        os.kill(killed, signal.SIGKILL)
        up.says("worker ended by itself (exit code -9); it starts again in 0.5 s")
        says_times(up, "works", 2)
        until(lambda: not is_running(killed), lambda: f"{killed} left something behind:\n{up.output}")
        assert [group for group in before if group != killed and is_running(group)] == [g for g in before if g != killed]
        again = leader_of(up, "worker")
        up.process.terminate()
        assert up.ended() == 0
    assert not is_running(again)


@pytest.mark.long
def test_a_real_worker_that_is_killed_comes_back(tmp_path: Path) -> None:
    with Up(tmp_path / "home", f"{WEB}articles: celery -A tasks worker -Q articles\n") as up:
        up.is_ready()
        says_times(up, " ready.", 1)
        os.kill(leader_of(up, "articles"), signal.SIGKILL)
        says_times(up, " ready.", 2)
        up.process.terminate()
        assert up.ended() == 0


@pytest.mark.long
def test_a_process_that_can_not_be_kept_running_ends_the_rest_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "start").touch()
    once_well = f"sh -c 'rm {tmp_path}/start && sleep 1000; exit 7'"
    with Up(tmp_path / "home", f"{WEB}brief: {once_well}\n") as up:
        os.kill(leader_of(up.is_ready(), "brief"), signal.SIGKILL)
        assert up.ended() == 7
        assert up.output.count("brief ended by itself") == 4
        assert not [group for group in up.process_groups() if is_running(group)]
    fault = "The process `brief` ended by itself 5 times within a minute (exit code 7), so everything was stopped."
    assert up.last_line == f"make up: {fault}"


@pytest.mark.long
def test_told_to_stop_while_a_process_waits_for_its_start_it_stops(tmp_path: Path) -> None:
    with WaitingUp(tmp_path / "home", f"{WEB}brief: sh -c 'echo begins; sleep 1000'\n") as up:
        os.kill(leader_of(up.is_ready().says("begins"), "brief"), signal.SIGKILL)
        up.says("it starts again in 600 s").process.terminate()
        assert up.ended() == 0
    assert up.output.count("begins") == 1


class WaitingUp(Up):
    """A stack that waits so long before it starts a process again that nobody sees the end of it."""

    def _start(self, output: int) -> subprocess.Popen[bytes]:
        program = "import runpy; from devstack import restarts; restarts.FIRST_WAIT_SECONDS = 600; "
        program += "runpy.run_module('devstack', run_name='__main__', alter_sys=True)"
        self.command = [sys.executable, "-c", program, *self.command[3:]]
        return super()._start(output)


def says_times(up: Up, words: str, times: int) -> None:
    until(lambda: up.output.count(words) == times, lambda: f"it never said {words!r} {times} times:\n{up.output}", up.process)


def leader_of(up: Up, name: str) -> int:
    """The id of the process that runs now under that name."""
    return int(re.findall(rf"{name} started \(pid=(\d+)\)", up.output)[-1])


@pytest.mark.long
def test_the_death_of_its_parent_ends_everything(tmp_path: Path) -> None:
    parent = ParentedUp(tmp_path / "home")
    groups = [*parent.is_ready().process_groups(), int(parent.addresses["PRESSROOM_STACK_PID"] or 0)]
    parent.process.kill()
    parent.ended()
    until(lambda: not [group for group in groups if is_running(group)], lambda: f"left behind of {groups}:\n{parent.output}")


class ParentedUp(Up):
    """A stack whose parent, and not the stack itself, is `process`."""

    def _start(self, output: int) -> subprocess.Popen[bytes]:
        program = "import subprocess, sys; subprocess.run(sys.argv[1:], start_new_session=True)"
        command = [sys.executable, "-c", program, *self.command]
        return subprocess.Popen(command, cwd=CHECKOUT, env=self.environment, stdout=output, stderr=output)


@pytest.mark.long
def test_killed_outright_it_leaves_no_process_behind_and_starts_again(tmp_path: Path) -> None:
    with Up(tmp_path / "home", WEB + "idle: sleep 1000\n") as up:
        groups = up.is_ready().process_groups()
        up.process.kill()
    assert len(groups) == 4
    until(lambda: not [group for group in groups if is_running(group)], lambda: f"left behind of {groups}")
    with Up(tmp_path / "home") as again:
        again.is_ready()


@pytest.mark.long
def test_a_throwaway_stack_leaves_no_data(tmp_path: Path) -> None:
    with Up(tmp_path / "home", options=["--throwaway"]) as up:
        assert (up.is_ready().home / "mongodb").exists()
        up.process.terminate()
        assert up.ended() == 0
    assert not (tmp_path / "home" / "mongodb").exists()


@pytest.mark.long
def test_what_the_environment_names_is_used_and_not_started(tmp_path: Path, mongodb: str, sqs: str) -> None:
    given = {"MONGODB_URI": mongodb, "QUEUE_PREFIX": "named-", **sqs_server.environment(sqs)}
    with Up(tmp_path / "home", variables=given) as up:
        up.is_ready()
        assert given.items() <= up.addresses.items()
        assert len(up.process_groups()) == 1
    queues = boto3.client("sqs").list_queues(QueueNamePrefix="named-")["QueueUrls"]
    assert len(queues) == len(queue_names())
