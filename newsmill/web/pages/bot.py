"""The page about this crawler, and the page where the owner of a host sees what was fetched, and stops or slows the crawler.

No sign-in is needed. The owner proves the host with a file on it; the URL of the owner's page holds a secret that only its reader knows.
"""

from __future__ import annotations

import secrets
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import UrlError
from newsmill.storage.publishers import MAX_DELAY_SECONDS, PROOF_LIFETIME, Publishers, make_proof
from newsmill.web.auth import require_csrf
from newsmill.web.config import OWNER_PATH
from newsmill.web.image_fetch import ImageError, fetch_hop
from newsmill.web.pages.rendering import PageView

ROWS = 100  # of a page
PROOF_PATH = "/.well-known/newsmill.txt"
MAX_PROOF_BYTES = 10_000
MAX_PROOF_SECONDS = 5.0  # for each of the two requests
CLAIM_CHARACTERS = 43
CHECKS = BoundedSemaphore(2)  # at once: anybody may ask for one, and each occupies a thread of the server

router = APIRouter(include_in_schema=False)
HostForm = Annotated[str, Form(max_length=300)]


@router.get("/bot")
def show_bot(request: Request) -> Response:
    """Who runs this crawler, how to stop it, and a form for owners of hosts."""
    settings = request.app.state.context.settings
    return show_bot_page(request, settings.contact, None)


@router.post("/bot", dependencies=[Depends(require_csrf)])
def begin_claim(request: Request, host: HostForm) -> Response:
    """Lead to a new page of the owner of a host. Only hosts that the crawler knows have one."""
    context: AppContext = request.app.state.context
    name = parse_host(host)
    if name is None or not Publishers(context.engine).knows(name):
        return show_bot_page(request, context.settings.contact, host.strip())
    return RedirectResponse(f"{OWNER_PATH}{secrets.token_urlsafe(32)}/{name}", 303)


@router.get(OWNER_PATH + "{claim}/{host}")
def show_host(request: Request, claim: str, host: str, before: int | None = None, failed: str = "") -> Response:
    """How to prove the host, or what was fetched from it."""
    context, name = request.app.state.context, check_claim(claim, host)
    publishers = Publishers(context.engine)
    view = PageView(request)
    values: dict[str, Any] = {
        "host": name,
        "owner_path": f"{OWNER_PATH}{claim}/{name}",
        "proof_path": PROOF_PATH,
        "max_delay": int(MAX_DELAY_SECONDS),
    }
    values |= {"proof": make_proof(claim, name), "days": PROOF_LIFETIME.days, "failed": failed == "1"}
    if not publishers.is_proved(claim, name, now=context.now()):
        return view.page("bot_host.html", **values, is_proved=False, order=None, rows=[], older=None)
    rows = publishers.list_fetches(name, limit=ROWS + 1, before=None if before is None else max(0, min(before, 2**62)))
    older = rows[ROWS - 1].id if len(rows) > ROWS else None
    return view.page("bot_host.html", **values, is_proved=True, order=publishers.order(name), rows=rows[:ROWS], older=older)


@router.post(OWNER_PATH + "{claim}/{host}/check", dependencies=[Depends(require_csrf)])
def check_proof(request: Request, claim: str, host: str) -> Response:
    """Look for the file on the host."""
    context, name = request.app.state.context, check_claim(claim, host)
    publishers, path = Publishers(context.engine), f"{OWNER_PATH}{claim}/{name}"
    if not publishers.knows(name):
        raise HTTPException(404, "this crawler does not know the host")
    guard = Guard.from_networks(request.app.state.config.allow_nets)
    if not CHECKS.acquire(blocking=False):
        raise HTTPException(503, "other hosts are being checked: try again in a few seconds", headers={"Retry-After": "10"})
    try:
        is_found = find_proof(name, make_proof(claim, name), guard, context.settings.agent)
    finally:
        CHECKS.release()
    if not is_found:
        return RedirectResponse(f"{path}?failed=1", 303)
    publishers.prove(claim, name, now=context.now())
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


def show_bot_page(request: Request, contact: str | None, unknown: str | None) -> Response:
    """The page /bot; `unknown` is a host that was asked for and that the crawler does not know."""
    agent = request.app.state.context.settings.agent
    values = {"agent": agent, "product": agent.partition("/")[0].strip(), "contact": contact, "unknown": unknown}
    return PageView(request).page("bot.html", 200 if unknown is None else 404, **values)


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


def find_proof(host: str, proof: str, guard: Guard, agent: str) -> bool:
    """Whether the file on the host, by https or http, has a line with the proof. Redirects are not followed: they may leave the host."""
    for scheme in ("https", "http"):
        try:
            hop = fetch_hop(f"{scheme}://{host}{PROOF_PATH}", guard, agent, MAX_PROOF_SECONDS)
        except ImageError:
            continue
        if hop.redirect is None and proof in hop.body[:MAX_PROOF_BYTES].decode("utf-8", "replace").split():
            return True
    return False
