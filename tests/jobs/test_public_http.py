"""The client for addresses that users name: what it asks and what it refuses, over real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from jobs import public_http
from jobs.public_http import ForbiddenAddress, NotReached, TooLarge, check_url
from tests.certificates import self_signed
from tests.site import Asked, Said, Site, running

Environment = Callable[..., None]


@pytest.fixture
def site(environment: Environment) -> Iterator[Site]:
    environment(ALLOW_PRIVATE_URLS="on")
    with running() as site:
        yield site


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What names of hosts stand for, one look-up after the other; the last stays. Others are the machine's affair."""
    told: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        if host not in told:
            return real(host, port, *given, **named)
        answers = told[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return told


PATIENT_SECONDS = 60


def body_of(url: str, *, most_bytes: int = 1_000_000, total_seconds: float = PATIENT_SECONDS, **named: Any) -> bytes:
    with public_http.open("GET", url, total_seconds=total_seconds, most_bytes=most_bytes, **named) as answer:
        return b"".join(answer.pieces())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "//example.org/a",
        "example.org/a",
        "http://",
        "http:///a",
        "https://ada:secret@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org /",
        "http://example.org/\r\nX: y",
        "http://example.org:25/",
        "http://example.org:99999/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://db.localhost/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.0x1/",
        "http://%31%32%37.0.0.1/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://168.63.129.16/machine?comp=goalstate",
        "http://[64:ff9b::a83f:8110]/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[::127.0.0.1]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fec0::1]/",
        "http://[fd00:ec2::254]/",
        "http://[ff02::1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "http://①②⑦.⓪.⓪.①/",
        "http://example.org/" + "a" * 2_000,
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_refused_without_asking_anybody(url: str) -> None:
    with pytest.raises(ForbiddenAddress, match="can't be used: ") as raised:
        check_url(url)
    assert raised.value.code == "invalid_payload"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "http://example.org:8080/a?b=c#d",
        "https://bücher.example/ä",
        "http://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/",
    ],
)
def test_an_address_of_the_public_internet_is_taken(url: str) -> None:
    check_url(url)


def test_a_refusal_names_the_address_without_its_secrets_what_is_wrong_and_what_to_do() -> None:
    with pytest.raises(ForbiddenAddress, match=r"'http://10\.0\.0\.1/hook' can't be used: it leads to 10\.0\.0\.1") as raised:
        check_url("http://10.0.0.1/hook?token=secret")
    assert "secret" not in str(raised.value)
    assert "give one that is" in str(raised.value)


def test_this_machine_is_asked_only_where_that_is_allowed(site: Site, environment: Environment) -> None:
    assert body_of(site.url()) == b""
    with pytest.raises(ForbiddenAddress):
        body_of("http://10.0.0.1/")
    environment(ALLOW_PRIVATE_URLS=None)
    with pytest.raises(ForbiddenAddress):
        body_of(site.url())
    assert len(site.asked) == 1


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["::ffff:127.0.0.1"]])
def test_a_name_is_refused_if_one_of_its_addresses_is(names: dict[str, list[list[str]]], addresses: list[str]) -> None:
    names["hook.example"] = [addresses]
    check_url("http://hook.example/")
    with pytest.raises(ForbiddenAddress, match=r"leads to .*127\.0\.0\.1"):
        body_of("http://hook.example/")


def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(site: Site, names: dict[str, list[list[str]]]) -> None:
    names["hook.example"] = [["127.0.0.1"], ["10.0.0.1"]]
    assert body_of(site.url(host="hook.example")) == b""
    assert site.asked[0].headers["host"] == f"hook.example:{site.port}"
    with pytest.raises(ForbiddenAddress, match=r"10\.0\.0\.1"):
        body_of(site.url(host="hook.example"))


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "//10.0.0.1/", "file:///etc/passwd", "http://metadata/"])
def test_a_redirect_to_a_forbidden_address_is_refused(site: Site, names: dict[str, list[list[str]]], target: str) -> None:
    names["metadata"] = [["169.254.169.254"]]
    site.answer = lambda asked: Said(302, {"Location": target})
    with pytest.raises(ForbiddenAddress):
        body_of(site.url())


def test_redirects_are_followed_so_far_and_take_no_secrets_to_another_site(
    site: Site, names: dict[str, list[list[str]]]
) -> None:
    names["other.example"] = [["127.0.0.1"]]

    def answer(asked: Asked) -> Said:
        if asked.path == "/there":
            return Said(body=b"here")
        return Said(303, {"Location": site.url("/there", host="other.example") if asked.path == "/" else asked.path})

    site.answer = answer
    with public_http.open(
        "POST", site.url(), body=b"order", headers={"Authorization": "Bearer x"}, total_seconds=PATIENT_SECONDS, most_bytes=100
    ) as got:
        assert b"".join(got.pieces()) == b"here"
        assert got.url == site.url("/there", host="other.example")
    assert [(asked.method, asked.body, "authorization" in asked.headers) for asked in site.asked] == [
        ("POST", b"order", True),
        ("GET", b"", False),
    ]
    with pytest.raises(NotReached, match="too often"):
        body_of(site.url("/round"))
    with public_http.open("POST", site.url(), total_seconds=PATIENT_SECONDS, most_bytes=100, follow_redirects=0) as got:
        assert got.status == 303


def test_a_body_is_bounded_and_its_size_is_known_before_it_is_read(site: Site) -> None:
    site.answer = lambda asked: Said(body=b"x" * 5_000, length=None if asked.path == "/" else 5_000)
    with pytest.raises(TooLarge, match="larger than"):
        body_of(site.url(), most_bytes=4_999)
    assert len(body_of(site.url(), most_bytes=5_000)) == 5_000
    with public_http.open("GET", site.url(), total_seconds=PATIENT_SECONDS, most_bytes=100) as answer:
        assert answer.beginning() == b"x" * 100


def test_a_broken_fetch_goes_on_where_it_broke_off(site: Site) -> None:
    whole = bytes(range(256)) * 40

    def answer(asked: Asked) -> Said:
        if given := asked.headers.get("range"):
            start = int(given.removeprefix("bytes=").removesuffix("-"))
            place = {"Content-Range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"}
            return Said(206, place, whole[start:])
        return Said(body=whole[:3_000], length=len(whole))

    site.answer = answer
    got = bytearray()
    with public_http.open("GET", site.url(), total_seconds=PATIENT_SECONDS, most_bytes=100_000) as first, suppress(NotReached):
        for piece in first.pieces():
            got += piece
    assert 0 < len(got) < len(whole)
    rest = {"Range": f"bytes={len(got)}-"}
    with public_http.open("GET", site.url(), total_seconds=PATIENT_SECONDS, most_bytes=100_000, headers=rest) as second:
        assert second.starts_at == len(got)
        got += b"".join(second.pieces())
    assert got == whole


DRIPS = {
    "its headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "its body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_never_ends_is_left_when_the_time_is_over(environment: Environment, what: str) -> None:
    environment(ALLOW_PRIVATE_URLS="on")
    first, then = DRIPS[what]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            client, _ = listener.accept()
            client.settimeout(0.05)
            with client:
                client.sendall(first)
                while True:
                    try:
                        client.sendall(then)
                        if not client.recv(4096):
                            return
                    except TimeoutError:
                        continue
                    except OSError:
                        return

        Thread(target=drip, daemon=True).start()
        with pytest.raises(NotReached, match=r"longer than 0\.3 seconds"):
            body_of(f"http://127.0.0.1:{listener.getsockname()[1]}/", total_seconds=0.3)


def test_nobody_there_is_worth_another_try(environment: Environment, names: dict[str, list[list[str]]]) -> None:
    environment(ALLOW_PRIVATE_URLS="on")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # its port is nobody else's, and nobody listens there
        for url in (f"http://127.0.0.1:{silent.getsockname()[1]}/", "http://there-is-no-such-host.invalid/"):
            with pytest.raises(NotReached) as raised:
                body_of(url)
            assert raised.value.retryable


def test_a_certificate_must_be_of_the_host_that_was_named(
    environment: Environment, names: dict[str, list[list[str]]], tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path, "hook.example")
    environment(ALLOW_PRIVATE_URLS="on", SSL_CERT_FILE=str(certificate))
    names |= {"hook.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]}
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with running(tls) as site:
        site.answer = lambda asked: Said(body=b"secret")
        assert body_of(site.url(host="hook.example")) == b"secret"
        with pytest.raises(NotReached, match="can't be trusted"):
            body_of(site.url(host="other.example"))
