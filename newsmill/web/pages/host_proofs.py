"""The proof that a host belongs to a visitor: a line of a file on the host, or a TXT record of its name."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address, ip_network
from threading import BoundedSemaphore, Lock
from urllib.parse import urlsplit

from dns.exception import DNSException
from dns.rdatatype import RdataType
from dns.resolver import Resolver
from starlette.exceptions import HTTPException

from newsmill.exceptions import UrlError
from newsmill.network.address_guard import Guard
from newsmill.network.http_get import FetchError, fetch_hop
from newsmill.text import urls
from newsmill.text.sentences import Sentence
from newsmill.web.rate_limits import RequestCounter


class ProofMethod(StrEnum):
    """Where the proof is that a host belongs to a visitor."""

    FILE = "file"
    DNS = "dns"


#
# Anybody may ask for a check, so its time, its bytes and the number of checks are limited. What a server answers is compared and never
# shown.
PROOF_PATH = "/.well-known/newsmill.txt"
RECORD_LABEL = "_newsmill"  # before the name of the host; no host's name begins with an underscore (RFC 8552)
MAX_FILE_BYTES = 10_000
MAX_FILE_SECONDS = 5.0  # for each of the two requests
MAX_LOOKUP_SECONDS = 5.0  # for all queries of one lookup
MAX_CONCURRENT = 2  # each check occupies a thread of the server
MAX_CHECKS = 30  # of one visitor in an hour
CHECKS_SECONDS = 3600.0
VISITOR_PREFIX_BITS = 64  # of an IPv6 address: the network that one visitor usually has


class HostProofs:
    """Checks for visitors. Used by several threads."""

    def __init__(self, guard: Guard, agent: str, make_resolver: Callable[[], Resolver] = Resolver) -> None:
        """`agent` is the User-Agent header. `make_resolver` returns a resolver, by default with the name servers of the system."""
        self._guard, self._agent, self._make_resolver = guard, agent, make_resolver
        self._slots = BoundedSemaphore(MAX_CONCURRENT)
        self._counter = RequestCounter(MAX_CHECKS, seconds=CHECKS_SECONDS)
        self._counter_lock = Lock()

    def find(self, method: ProofMethod, host: str, proof: str, *, visitor: str) -> bool:
        """Whether the host shows the proof. `visitor` is the IP address that asks.

        Raises HTTPException 429 after MAX_CHECKS in an hour, and 503 while other checks run.
        """
        with self._counter_lock:
            remaining, seconds = self._counter.count(identify_visitor(visitor))
        if remaining < 0:
            detail = Sentence("more than {n} checks in an hour: try again in {seconds} s", n=MAX_CHECKS, seconds=seconds)
            raise HTTPException(429, detail, headers={"Retry-After": str(seconds)})
        if not self._slots.acquire(blocking=False):
            raise HTTPException(503, Sentence("other hosts are being checked: try again in a few seconds"), headers={"Retry-After": "10"})
        try:
            return self._has_record(host, proof) if method is ProofMethod.DNS else self._has_file(host, proof)
        finally:
            self._slots.release()

    def _has_file(self, host: str, proof: str) -> bool:
        """Whether the file on the host, by https or http, has a line with the proof. No redirect is followed: it may leave the host."""
        for scheme in ("https", "http"):
            url = f"{scheme}://{host}{PROOF_PATH}"
            try:
                hop = fetch_hop(url, self._guard, self._agent, MAX_FILE_SECONDS, accept="text/plain, */*;q=0.1", max_bytes=MAX_FILE_BYTES)
            except FetchError:
                continue
            if hop.redirect is None and proof in hop.body.decode("utf-8", "replace").split():
                return True
        return False

    def _has_record(self, host: str, proof: str) -> bool:
        """Whether the name of the host has a TXT record with the proof. Aliases (CNAME) are followed: the owner of the name set them.

        A DNS message has at most 64 KB, so an answer needs no limit of its own.
        """
        if (name := find_record_name(host)) is None:
            return False
        try:
            resolver = self._make_resolver()
            answer = resolver.resolve(f"{name}.", RdataType.TXT, lifetime=MAX_LOOKUP_SECONDS, search=False)
        except DNSException:
            return False
        return any(b"".join(record.strings).strip() == proof.encode() for record in answer)


def find_record_name(host: str) -> str | None:
    """The name whose TXT record proves the host. None for an IP address and a name without a public suffix: neither is looked up."""
    url = f"https://{host}/"
    try:
        return f"{RECORD_LABEL}.{urlsplit(url).hostname}" if urls.has_public_suffix(url) else None
    except UrlError:
        return None


def identify_visitor(client: str) -> str:
    """What the checks of a client are counted under: its IP address; for version 6, the network."""
    try:
        ip = ip_address(client)
    except ValueError:
        return client
    return client if ip.version == 4 else str(ip_network((ip, VISITOR_PREFIX_BITS), strict=False))
