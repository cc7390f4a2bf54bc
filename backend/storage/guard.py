"""Connections to hosts that a user named: only to public addresses, and only to the address that was checked."""

from __future__ import annotations

import ipaddress
import re
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
MAX_HOST_CHARS = 253
MAX_ADDRESSES = 4
# RFC 6761, RFC 6762, RFC 8375, and what clouds and routers use.
LOCAL_ENDINGS = (".localhost", ".local", ".localdomain", ".internal", ".home.arpa", ".lan", ".intranet", ".corp")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# What Python 3.11 calls global although it leads into the machine or its network, or nowhere: Azure's host agent,
# protocol assignments, 6to4 relays, documentation, and the IPv6 ranges that carry an IPv4 address (Teredo, 6to4).
# What else embeds one (mapped, compatible, NAT64) lies outside of 2000::/3.
_NOT_PUBLIC = [
    ipaddress.ip_network(net)
    for net in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "2001::/32", "2002::/16", "3fff::/20")
]
_LOOKS_LIKE_A_NUMBER = re.compile(r"\d+|0[xX][0-9A-Fa-f]*|")  # the last label, as browsers decide it
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*")
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
    """Takes a URL apart. Raises UnsupportedInput for other schemes, user information or a malformed URL, and for hosts
    that one parser reads otherwise than the next: numbers that are no dotted quad, escapes, zones."""
    if len(url) > MAX_URL_CHARS or any(char <= " " or char == "\x7f" or char == "\\" for char in url):
        raise UnsupportedInput("The URL is too long, or has spaces, backslashes or control characters.")
    try:
        parts = urllib3.util.parse_url(url)
    except (LocationParseError, UnicodeError):
        raise UnsupportedInput("The URL is malformed: write http(s)://host/path.") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise UnsupportedInput("The URL (or where it redirects) must begin with http:// or https:// and name a host.")
    if parts.auth is not None or "@" in re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]:
        raise UnsupportedInput("The URL has a user name or password in it: use a signed URL in its place.")
    if parts.port == 0:
        raise UnsupportedInput("The URL names port 0, on which nobody listens.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(url, parts.scheme, _host(parts.host), port, parts.request_uri)


def _host(given: str) -> str:
    """The host as it is resolved, named to TLS and sent. Raises UnsupportedInput."""
    host = given.removesuffix(".")
    try:
        if given.startswith("["):
            if "%" in given:
                raise UnsupportedInput("The URL's address has a zone, which means something on one machine alone.")
            return str(ipaddress.IPv6Address(given.strip("[]")))
        if _LOOKS_LIKE_A_NUMBER.fullmatch(host.rpartition(".")[2]):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise UnsupportedInput("The URL's address is no plain one: write 203.0.113.7 or [2001:db8::7].") from None
    if not _NAME.fullmatch(host) or len(host) > MAX_HOST_CHARS:
        raise UnsupportedInput("The URL names no valid host: write http(s)://host/path.")
    return host


def is_public(address: IPAddress) -> bool:
    """Whether the address is a host on the public internet (IANA's special-purpose registries, RFC 6890)."""
    if any(address in net for net in _NOT_PUBLIC if net.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class OwnHosts:
    """HTTP_ALLOWED_HOSTS: hosts of one's own that may be met though they are not public. A host, host:port or network
    (CIDR) each, with commas between them."""

    def __init__(self, listed: str = "") -> None:
        entries = [entry.strip() for entry in listed.split(",") if entry.strip()]
        self._networks = [ipaddress.ip_network(entry) for entry in entries if "/" in entry]
        self._hosts = {_host_and_port(entry) for entry in entries if "/" not in entry}

    def name(self, target: Target) -> bool:
        """Whether the host is listed by its name, wherever that leads."""
        host = target.host.casefold()
        return bool(self._hosts & {(host, None), (host, target.port)})

    def hold(self, address: IPAddress) -> bool:
        """Whether the address is in a listed network."""
        return any(address in network for network in self._networks if network.version == address.version)


NO_HOSTS = OwnHosts()


def _host_and_port(entry: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{entry}")
    return parts.hostname or "", parts.port


def resolve(target: Target, *, allow_private: bool, own_hosts: OwnHosts = NO_HOSTS) -> list[str]:
    """The addresses of the host that may be connected to, in the resolver's order.

    Raises UnsupportedInput when there are only others, SourceUnreachable when the name does not resolve.
    """
    is_trusted = allow_private or own_hosts.name(target)
    refusal = f"The host {target.host} is not on the public internet: give a URL that anyone can reach."
    if not is_trusted and _is_local_name(target.host):
        raise UnsupportedInput(refusal)
    try:
        answers = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceUnreachable(f"The host {target.host} has no address: check the name and the DNS.") from None
    found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    allowed = [text for text in found if is_trusted or _may_be_met(ipaddress.ip_address(text), own_hosts)]
    if not allowed:
        raise UnsupportedInput(refusal)
    return allowed[:MAX_ADDRESSES]


def _may_be_met(address: IPAddress, own_hosts: OwnHosts) -> bool:
    return is_public(address) or own_hosts.hold(address)


def _is_local_name(host: str) -> bool:
    """Names that no public server answers for; what this machine's search list makes of them is nobody's business."""
    if ":" in host:
        return False
    name = host.casefold()
    return "." not in name or name.endswith(LOCAL_ENDINGS)


def connect(
    target: Target, *, allow_private: bool, own_hosts: OwnHosts = NO_HOSTS
) -> Iterator[urllib3.HTTPConnectionPool]:
    """A pool for each allowed address of the host, resolved once: a name that resolves otherwise later changes nothing.

    Certificates and SNI are the host's. Raises what `resolve` raises.
    """
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_SEC, read=READ_TIMEOUT_SEC)
    for address in resolve(target, allow_private=allow_private, own_hosts=own_hosts):
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
