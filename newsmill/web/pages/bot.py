"""The page about this crawler, and the page where the owner of a host sees what was fetched, and stops or slows the crawler.

The directory of the keys that sign the requests is here too, for servers that verify them.

No sign-in is needed. The owner proves the host with a file on it or with a DNS record; the URL of the owner's page holds a secret that
only its reader knows. Before the proof, the pages do not show whether this crawler has ever fetched from the host.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.network.address_guard import Guard
from newsmill.network.message_signatures import find_agent_url, make_authority, make_directory, sign_directory
from newsmill.network.signing_keys import choose_published, keys_folder, read_keys
from newsmill.network.submitted_urls import refusal_reason
from newsmill.storage.publishers import MAX_DELAY_SECONDS, PROOF_LIFETIME, Publishers, make_proof
from newsmill.text import urls
from newsmill.text.sentences import Sentence
from newsmill.web.config import DIRECTORY_PATH, OWNER_PATH
from newsmill.web.csrf import require_csrf
from newsmill.web.pages.host_proofs import PROOF_PATH, HostProofs, ProofMethod, find_record_name
from newsmill.web.pages.rendering import PageView

ROWS = 100  # of a page
CLAIM_CHARACTERS = 43

router = APIRouter(include_in_schema=False)
HostForm = Annotated[str, Form(max_length=300)]


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
        raise HTTPException(403, Sentence("this needs a proof that the host is yours"))
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
        raise HTTPException(404, Sentence("page not found"))
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
        raise HTTPException(404, Sentence("this installation does not sign its requests"))
    parts, body = urlsplit(agent), make_directory(keys)
    authority = make_authority(parts.scheme, parts.hostname or "", parts.port)
    return Response(body, headers=sign_directory(keys, authority, body, now.timestamp()))
