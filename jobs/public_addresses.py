"""Web addresses that users name: which of them a server of ours may ask.

Who names an address could have us ask what only we can reach: a database, the cloud's metadata, a neighbour's console. So only
addresses of the public internet are asked, whatever name leads to them, and however it is written.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from jobs.errors import InvalidPayload, Retryable
from settings import settings

MOST_URL_CHARACTERS = 2_000
PORTS = {"http": 80, "https": 443}
LEAST_OTHER_PORT = 1024
"""Below are the ports of mail, shells and the like, which an HTTP request could be made to talk to."""

_PUBLIC_IPV6 = IPv6Network("2000::/3")
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64: the last 32 bits are the IPv4 address that is meant."""
_INSIDE_AZURE = IPv4Address("168.63.129.16")
"""Public by its number; in a machine at Azure it leads to the platform, which hands out that machine's secrets.

Source: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
"""
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.IGNORECASE)
_NUMBER = re.compile(r"(0x[0-9a-f]*|\d+)\.?", re.IGNORECASE)

Address = IPv4Address | IPv6Address


class ForbiddenAddress(InvalidPayload):
    """This web address can't be used. Give one that anybody on the internet can reach."""


class NotReached(Retryable):
    """The web address that the job names can't be reached just now. The job is tried again."""


def check_url(url: str) -> None:
    """Return if `url` may be asked, as far as it can be told without asking for its host's name, which `open` does.

    Raises:
        ForbiddenAddress: it names the address, what is wrong with it, and what to give instead.
    """
    parsed(url)


def parsed(url: str) -> Url:
    """The parts of an address that may be asked. What is checked here is what is used later: nobody reads it a second time.

    Raises:
        ForbiddenAddress: as `check_url`.
    """
    if len(url) > MOST_URL_CHARACTERS:
        raise _refused(url, f"it is longer than {MOST_URL_CHARACTERS:,} characters")
    if _NOT_IN_URLS.search(url):
        raise _refused(url, "it holds a space, a control character or a backslash; write them as %20 and the like")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise _refused(url, "it is no web address; write https://host/path") from None
    if parts.scheme not in PORTS or not parts.host:
        raise _refused(url, "it must begin with https:// or http:// and a host's name")
    if parts.auth is not None:
        raise _refused(url, "a name or password in front of the host is not taken; leave it out")
    _check_host(url, parts.host)
    if parts.port is not None and not _is_port_of_the_web(parts.port):
        raise _refused(url, f"port {parts.port} is not asked; use 80, 443, or one from {LEAST_OTHER_PORT} to 65535")
    return parts


def _of_users(url: str) -> str:
    try:
        check_url(url)
    except ForbiddenAddress as error:
        why = str(error).partition("can't be used: ")[2]
        raise PydanticCustomError("web_address", "{why}", {"why": why}) from None
    return url


PublicUrl = Annotated[str, StringConstraints(max_length=MOST_URL_CHARACTERS), AfterValidator(_of_users)]
"""A web address in an order."""


def addresses_of(url: str, host: str, port: int) -> list[str]:
    """The addresses that the host's name stands for now. Each of them may be asked.

    Raises:
        ForbiddenAddress: one of them may not.
        NotReached: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotReached(f"The host of {shown(url)} can't be found. The job is tried again.") from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for address in addresses:
        _check_address(url, ip_address(address))
    return addresses


def shown(url: str) -> str:
    """The address without its query, where secrets may be: for words and logs."""
    return url.partition("?")[0].partition("#")[0][:200]


def _check_host(url: str, host: str) -> None:
    bare = host.strip("[]")
    try:
        literal = ip_address(bare)
    except ValueError:
        if not _NAME.fullmatch(host):
            raise _refused(url, "its host is no name and no address") from None
        if _NUMBER.fullmatch(bare.rstrip(".").rpartition(".")[2]):
            raise _refused(url, "its host is a number; write the host's name") from None
        if re.fullmatch(r"(.*\.)?localhost\.?", bare, re.IGNORECASE):
            _check_address(url, IPv4Address("127.0.0.1"))
    else:
        _check_address(url, literal)


def _check_address(url: str, address: Address) -> None:
    address = getattr(address, "ipv4_mapped", None) or address
    if _is_public(address) or (address.is_loopback and settings().allow_private_urls == "on"):
        return
    raise _refused(url, f"it leads to {address}, which is not an address of the public internet; give one that is")


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and address != _INSIDE_AZURE
    if address in _TRANSLATED:
        return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None or address.teredo is not None:  # ways through others' networks to an address inside them
        return False
    return address in _PUBLIC_IPV6 and address.is_global


def _is_port_of_the_web(port: int) -> bool:
    return port in PORTS.values() or LEAST_OTHER_PORT <= port <= 65_535


def _refused(url: str, why: str) -> ForbiddenAddress:
    return ForbiddenAddress(f"{shown(url)!r} can't be used: {why}.")
