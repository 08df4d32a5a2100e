"""The workers' ways to SQS, MongoDB and the AI service, each of which can be cut. The servers themselves stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from devstack.forwarder import Forwarder, Tunnel
from queues.clients import sqs
from settings import settings

DIRECT = {"directConnection": "true"}


@dataclass
class Ways:
    """The three ways, and the variables that lead a process over them. Without `mongodb` that one can't be cut here."""

    sqs: Forwarder
    mongodb: Forwarder | None
    ai: Forwarder
    variables: dict[str, str]

    def close(self) -> None:
        for way in filter(None, (self.sqs, self.mongodb, self.ai)):
            way.cut()


@contextmanager
def away(way: Forwarder) -> Iterator[None]:
    """The server at the end of `way` is away inside the block."""
    way.cut()
    try:
        yield
    finally:
        way.restore()


def ways_to(ai_address: str) -> Ways:
    """Ways to the SQS and MongoDB of the settings, and to the AI service at `ai_address`."""
    sqs_way, variables = _to_sqs()
    mongodb, mongodb_uri = _to_mongodb(settings().mongodb_uri)
    ai = Forwarder(*host_and_port(ai_address))
    variables |= {"MONGODB_URI": mongodb_uri, "AI_SERVICE_URL": f"http://{ai.address}"}
    return Ways(sqs_way, mongodb, ai, variables)


def host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or 80


def _to_sqs() -> tuple[Forwarder, dict[str, str]]:
    endpoint = sqs().meta.endpoint_url
    if endpoint.startswith("https:"):  # a certificate holds for its own host's name only, so the way is a proxy
        tunnel = Tunnel()
        return tunnel, {"HTTPS_PROXY": f"http://{tunnel.address}", "https_proxy": f"http://{tunnel.address}"}
    way = Forwarder(*host_and_port(endpoint))
    return way, {"AWS_ENDPOINT_URL": f"http://{way.address}", "AWS_ENDPOINT_URL_SQS": f"http://{way.address}"}


def _to_mongodb(uri: str) -> tuple[Forwarder | None, str]:
    if uri.startswith("mongodb+srv:") or parse_uri(uri)["options"].get("tls"):
        return None, uri
    with MongoClient[dict[str, object]](uri) as client:
        client.admin.command("ping")
        primary = client.primary or client.address
    if primary is None:
        return None, uri
    way = Forwarder(*primary)
    parts = urlsplit(uri)
    user = parts.netloc.rpartition("@")[0]
    options = dict(parse_qsl(parts.query))
    kept = {name: value for name, value in options.items() if name.lower() not in {"replicaset", "directconnection"}}
    netloc = f"{user}@{way.address}" if user else way.address
    return way, f"mongodb://{netloc}{parts.path or '/'}?{urlencode(kept | DIRECT)}"
