"""The archived page of a document, shown in a frame that can do nothing."""

from __future__ import annotations

import re
from html import escape

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from newsmill.context import AppContext
from newsmill.exceptions import ArchiveDamaged, DecodeError, NewsmillError
from newsmill.model import Document, Page
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence
from newsmill.web.auth import require_scope
from newsmill.web.pages.document import get_document
from newsmill.web.pages.rendering import PageView

router = APIRouter(prefix="/documents", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])

# It shows its own content: no script, no network, no form, no window.
ARCHIVED_PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
# The archive has the page and not its style sheets and images. Its own rules come later in the cascade, so they win.
STAND_IN_STYLE = "<style>body{max-width:46rem;margin:1rem auto;font:1rem/1.5 sans-serif}img,video,svg{max-width:100%;height:auto}</style>"
_HEAD = re.compile(r"<head(?=[\s>])", re.IGNORECASE)
# The policy does not cover early connections (link rel=preconnect, dns-prefetch) and URLs resolved against another host (base).
_PRECONNECTING_TAG = re.compile(r"<(/?)(link|meta|base)(?=[\s/>])", re.IGNORECASE)


@router.get("/{document_id}/page")
def show_archived_page(request: Request, document_id: str) -> Response:
    """The archived page in a frame."""
    view, document = PageView(request), get_document(request, document_id)
    problem = None
    try:
        read_archived_page(request.app.state.context, document)
    except NewsmillError as error:
        problem = str(error)
    return view.page("archived.html", 200 if problem is None else 404, here="page", document=document, problem=problem)


@router.get("/{document_id}/archived")
def get_archived_html(request: Request, document_id: str) -> Response:
    """The HTML of the archived page in UTF-8, under a policy that allows nothing."""
    document = get_document(request, document_id)
    try:
        html = decode_page(read_archived_page(request.app.state.context, document))
    except (ArchiveDamaged, DecodeError) as error:
        raise HTTPException(404, str(error)) from None
    headers = {
        "Content-Security-Policy": ARCHIVED_PAGE_POLICY,
        "X-Frame-Options": "SAMEORIGIN",
        "X-DNS-Prefetch-Control": "off",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Response(
        add_stand_in_style(disable_preconnects(html)).encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers
    )


def read_archived_page(context: AppContext, document: Document) -> Page:
    """Raises ArchiveDamaged."""
    segment, separator, offset = (document.archive_ref or "").partition("@")
    if not separator or not offset.isdecimal():
        raise ArchiveDamaged(Sentence("{url}: the archive does not contain this page", url=document.url))
    return context.archive.read_page(segment, int(offset), document.requested_url)


def decode_page(page: Page) -> str:
    """The HTML that the extraction reads, as text, decompressed up to its size limits; the JSON of an item as HTML. Raises DecodeError."""
    from newsmill.extraction.decode import decode_body
    from newsmill.text.charset import to_text  # imports the tables of all encodings, which other pages do not need

    if page.is_item:
        return f"<pre style='white-space: pre-wrap'>{escape(page.body.decode('utf-8', 'replace'))}</pre>"
    page = page.as_rendered()
    return to_text(decode_body(page.header("Content-Encoding"), page.body), page.header("Content-Type"))[0]


def add_stand_in_style(html: str) -> str:
    """Make a page readable whose style sheets are not in the archive. A page without a head stays as it is.

    >>> add_stand_in_style("<html><head><title>x</title></head>").startswith("<html><head><style>")
    True
    """
    head = _HEAD.search(html)  # only the first: a search for the end of each would take quadratic time
    end = html.find(">", head.end()) + 1 if head is not None else 0
    return html[:end] + STAND_IN_STYLE + html[end:] if end else html


def disable_preconnects(html: str) -> str:
    """Rename the elements that open connections despite the policy. Nothing is parsed, so broken HTML stays as it is.

    >>> disable_preconnects('<LINK rel=preconnect href=//x><p>text')
    '<x-LINK rel=preconnect href=//x><p>text'
    """
    return _PRECONNECTING_TAG.sub(r"<\1x-\2", html)
