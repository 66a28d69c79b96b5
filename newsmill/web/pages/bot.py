"""The page about this crawler, and the page where the owner of a host sees what was fetched, and stops or slows the crawler.

The directory of the keys that sign the requests is here too, for servers that verify them.

No sign-in is needed. The owner proves the host with a file on it or with a DNS record; the URL of the owner's page holds a secret that
only its reader knows. Before the proof, the pages do not show whether this crawler has ever fetched from the host.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address, ip_network
from threading import BoundedSemaphore, Lock
from typing import Annotated, Any
from urllib.parse import urlsplit

from dns.exception import DNSException
from dns.rdatatype import RdataType
from dns.resolver import Resolver
from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.address_guard import Guard, refusal_reason
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.message_signatures import (
    choose_published,
    find_agent_url,
    keys_folder,
    make_authority,
    make_directory,
    read_keys,
    sign_directory,
)
from newsmill.storage.publishers import MAX_DELAY_SECONDS, PROOF_LIFETIME, Publishers, make_proof
from newsmill.text import urls
from newsmill.web.auth import require_csrf
from newsmill.web.config import DIRECTORY_PATH, OWNER_PATH
from newsmill.web.http_get import FetchError, fetch_hop
from newsmill.web.middleware import RequestCounter
from newsmill.web.pages.rendering import PageView

ROWS = 100  # of a page
CLAIM_CHARACTERS = 43

router = APIRouter(include_in_schema=False)
HostForm = Annotated[str, Form(max_length=300)]


class ProofMethod(StrEnum):
    """Where the proof is that a host belongs to a visitor."""

    FILE = "file"
    DNS = "dns"


@router.get("/bot")
def show_bot(request: Request) -> Response:
    """Who runs this crawler, how to stop it, and a form for owners of hosts."""
    settings = request.app.state.context.settings
    return show_bot_page(request, settings.contact, None)


@router.post("/bot", dependencies=[Depends(require_csrf)])
def begin_claim(request: Request, host: HostForm) -> Response:
    """Lead to a new page of the owner of a host. A host that the crawler does not know has one too."""
    name = parse_host(host)
    if name is None or refusal_reason(f"https://{name}/", Guard.from_networks(request.app.state.config.allow_nets)) is not None:
        return show_bot_page(request, request.app.state.context.settings.contact, host.strip())
    return RedirectResponse(f"{OWNER_PATH}{secrets.token_urlsafe(32)}/{name}", 303)


@router.get(OWNER_PATH + "{claim}/{host}")
def show_host(request: Request, claim: str, host: str, before: int | None = None, failed: ProofMethod | None = None) -> Response:
    """How to prove the host, or what was fetched from it. `failed` is the check that has found no proof."""
    context, name = request.app.state.context, check_claim(claim, host)
    publishers = Publishers(context.engine)
    view = PageView(request)
    values: dict[str, Any] = {"host": name, "owner_path": f"{OWNER_PATH}{claim}/{name}", "max_delay": int(MAX_DELAY_SECONDS)}
    if not publishers.is_proved(claim, name, now=context.now()):
        proof, record_name = make_proof(claim, name), find_record_name(name)
        record = None if record_name is None else f'{record_name}. IN TXT "{proof}"'  # as a zone file has it (RFC 1035, 5.1)
        values |= {"proof": proof, "proof_path": PROOF_PATH, "record": record}
        return view.page("bot_host.html", **values, is_proved=False, days=PROOF_LIFETIME.days, failed=failed)
    rows = publishers.list_fetches(name, limit=ROWS + 1, before=None if before is None else max(0, min(before, 2**62)))
    older = rows[ROWS - 1].id if len(rows) > ROWS else None
    return view.page("bot_host.html", **values, is_proved=True, order=publishers.order(name), rows=rows[:ROWS], older=older)


@router.post(OWNER_PATH + "{claim}/{host}/check", dependencies=[Depends(require_csrf)])
def check_proof(request: Request, claim: str, host: str, method: Annotated[ProofMethod, Form()]) -> Response:
    """Look for the file on the host, or for the DNS record of its name."""
    context, name = request.app.state.context, check_claim(claim, host)
    path = f"{OWNER_PATH}{claim}/{name}"
    proofs: HostProofs = request.app.state.host_proofs
    visitor = request.client.host if request.client is not None else "unknown"
    if not proofs.find(method, name, make_proof(claim, name), visitor=visitor):
        return RedirectResponse(f"{path}?failed={method}", 303)
    Publishers(context.engine).prove(claim, name, now=context.now())
    return RedirectResponse(path, 303)


@router.post(OWNER_PATH + "{claim}/{host}/order", dependencies=[Depends(require_csrf)])
def give_order(
    request: Request,
    claim: str,
    host: str,
    action: Annotated[str, Form(pattern="^(stop|slow|resume)$")],
    delay: Annotated[float, Form(ge=1, le=MAX_DELAY_SECONDS, allow_inf_nan=False)] = 60.0,
) -> Response:
    """Stop the crawler on the host, slow it down, or lift both."""
    context, name = request.app.state.context, check_claim(claim, host)
    publishers = Publishers(context.engine)
    if not publishers.is_proved(claim, name, now=context.now()):
        raise HTTPException(403, "this needs a proof that the host is yours")
    publishers.give_order(name, is_stopped=action == "stop", delay=delay if action == "slow" else None, now=context.now())
    return RedirectResponse(f"{OWNER_PATH}{claim}/{name}", 303)


def show_bot_page(request: Request, contact: str | None, refused: str | None) -> Response:
    """The page /bot; `refused` is a text that was submitted and names no host from which a crawler may fetch."""
    agent = request.app.state.context.settings.agent
    values = {"agent": agent, "product": agent.partition("/")[0].strip(), "contact": contact, "refused": refused}
    return PageView(request).page("bot.html", 200 if refused is None else 422, **values)


def parse_host(text: str) -> str | None:
    """The host, with its port, as the ledger names it; from a name or a URL. None if it is neither."""
    text = text.strip()
    try:
        return urls.get_host(urls.normalize(text if "://" in text else f"https://{text}"))
    except (UrlError, ValueError):
        return None


def check_claim(claim: str, host: str) -> str:
    """The host of an owner's page. Raises HTTPException 404."""
    name = parse_host(host)
    if len(claim) != CLAIM_CHARACTERS or not claim.isascii() or name is None or name != host:
        raise HTTPException(404, "page not found")
    return name


@router.get(DIRECTORY_PATH)
def show_keys(request: Request) -> Response:
    """The public keys, signed by each of them for the public host name. 404 where no request is signed. Raises NewsmillError."""
    context: AppContext = request.app.state.context
    agent, now = find_agent_url(context.settings), context.now()
    try:
        keys = choose_published(read_keys(keys_folder(context.settings)), now) if agent else []
    except ConfigError as error:  # it names a file, which is for the log only
        raise NewsmillError(str(error)) from None
    if agent is None or not keys:
        raise HTTPException(404, "this installation does not sign its requests")
    parts, body = urlsplit(agent), make_directory(keys)
    authority = make_authority(parts.scheme, parts.hostname or "", parts.port)
    return Response(body, headers=sign_directory(keys, authority, body, now.timestamp()))


# ---- the proof that a host belongs to a visitor: a line of a file on the host, or a TXT record of its name ------------------------
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
            detail = f"more than {MAX_CHECKS} checks in an hour: try again in {seconds} s"
            raise HTTPException(429, detail, headers={"Retry-After": str(seconds)})
        if not self._slots.acquire(blocking=False):
            raise HTTPException(503, "other hosts are being checked: try again in a few seconds", headers={"Retry-After": "10"})
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
