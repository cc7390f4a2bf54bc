"""Connections to hosts that a user named: only to public addresses, and only to the address that was checked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import LocationParseError

from backend.errors import SourceUnreachable, UnsupportedInput
from backend.storage.names import is_object_uri
from backend.storage.pace import WatchedPool, WatchedTlsPool

CONNECT_TIMEOUT_SEC = 5
READ_TIMEOUT_SEC = 30
MAX_URL_CHARS = 8192
MAX_ADDRESSES = 4

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# What Python 3.11 calls global although it leads into the machine or its network, or nowhere: Azure's host agent,
# protocol assignments, 6to4 relays, documentation, and the IPv6 ranges that carry an IPv4 address (Teredo, 6to4).
# What else embeds one (mapped, compatible, NAT64) lies outside of 2000::/3.
_NOT_PUBLIC = [
    ipaddress.ip_network(net)
    for net in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "2001::/32", "2002::/16", "3fff::/20")
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


@dataclass(frozen=True)
class Target:
    """A checked http(s) URL, taken apart."""

    url: str
    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return name if self.port == default else f"{name}:{self.port}"


def safe_url(url: str) -> str:
    """The URL for messages and logs: without query, fragment and user information, which may hold secrets.

    An object's URI has none of these: `?` and `#` are characters of its key.
    """
    if is_object_uri(url):
        return url
    try:
        parts = urlsplit(url)
        where = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(unreadable URL)"
    return f"{parts.scheme}://{quote(where, safe='[]:')}{quote(parts.path, safe='/%:@+,;=~!$*()')}"


def parse_target(url: str) -> Target:
    """Takes a URL apart. Raises UnsupportedInput for other schemes, user information or a malformed URL."""
    if len(url) > MAX_URL_CHARS or any(char <= " " or char == "\x7f" or char == "\\" for char in url):
        raise UnsupportedInput("The URL is too long, or has spaces, backslashes or control characters.")
    try:
        parts = urllib3.util.parse_url(url)
    except (LocationParseError, UnicodeError):
        raise UnsupportedInput("The URL is malformed: write http(s)://host/path.") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise UnsupportedInput("The URL (or where it redirects) must begin with http:// or https:// and name a host.")
    if parts.auth is not None:
        raise UnsupportedInput("The URL has a user name or password in it: use a signed URL in its place.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(url, parts.scheme, parts.host.strip("[]"), port, parts.request_uri)


def is_public(address: IPAddress) -> bool:
    """Whether the address is a host on the public internet (IANA's special-purpose registries, RFC 6890)."""
    if any(address in net for net in _NOT_PUBLIC if net.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(target: Target, *, allow_private: bool) -> list[str]:
    """The addresses of the host that may be connected to, in the resolver's order.

    Raises UnsupportedInput when there are only others, SourceUnreachable when the name does not resolve.
    """
    try:
        answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceUnreachable(f"The host {target.host} has no address: check the name and the DNS.") from None
    found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    allowed = found if allow_private else [text for text in found if is_public(ipaddress.ip_address(text))]
    if not allowed:
        raise UnsupportedInput(
            f"The host {target.host} is not on the public internet: give a URL that anyone can reach."
        )
    return allowed[:MAX_ADDRESSES]


def connect(target: Target, *, allow_private: bool) -> Iterator[urllib3.HTTPConnectionPool]:
    """A pool for each allowed address of the host, resolved once: a name that resolves otherwise later changes nothing.

    Certificates and SNI are the host's. Raises what `resolve` raises.
    """
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_SEC, read=READ_TIMEOUT_SEC)
    for address in resolve(target, allow_private=allow_private):
        if target.scheme == "http":
            yield WatchedPool(address, target.port, timeout=timeout, maxsize=4, retries=False)
        else:
            yield WatchedTlsPool(
                address,
                target.port,
                timeout=timeout,
                maxsize=4,
                retries=False,
                server_hostname=target.host,
                assert_hostname=target.host,
            )
