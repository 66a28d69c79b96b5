"""A page that a barred URL led to is refused, whoever fetched it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rows import NOON, SITE, after, page_of
from sqlalchemy import Engine

from newsmill.context import build_context
from newsmill.intake.page_submission import store_pages
from newsmill.model import Page, PageStatus
from newsmill.storage.ledger import Ledger
from newsmill.storage.ledger.submitted_pages import SubmittedPages
from newsmill.storage.ledger.takedowns import Takedowns

BARRED = f"{SITE}/barred?utm_source=feed"
ASKED, FINAL = f"{SITE}/asked", f"{SITE}/final"
PAGE = replace(page_of(FINAL), requested_url=ASKED, redirects=(ASKED, "https://[", f"{SITE}/between"))


@pytest.mark.parametrize(
    "page",
    [replace(PAGE, url=BARRED), replace(PAGE, requested_url=BARRED), replace(PAGE, redirects=(ASKED, f"{SITE}/barred", "https://["))],
    ids=["final URL", "requested URL", "redirect"],
)
def test_a_submitted_page_that_a_barred_url_led_to_is_rejected(engine: Engine, tmp_path: Path, page: Page) -> None:
    app = build_context(engine, str(tmp_path))
    Takedowns(engine).add([BARRED], "court order", now=NOON)
    (receipt, other) = store_pages(app, lambda _: True, [page, replace(PAGE, requested_url=FINAL)], "api")
    assert (receipt.status, other.status) == (PageStatus.REJECTED, PageStatus.QUEUED)
    assert receipt.reason is not None and "court order" in receipt.reason
    assert app.ledger.traces.get(ASKED) is None


def test_a_takedown_while_a_page_is_submitted_counts(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = build_context(engine, str(tmp_path))
    found = app.ledger.submitted_pages.find_rows([])
    Takedowns(engine).add([f"{SITE}/between"], "court order", now=NOON)
    monkeypatch.setattr(SubmittedPages, "find_rows", lambda *_: found)
    (receipt,) = store_pages(app, lambda _: True, [PAGE], "api")
    assert receipt.status is PageStatus.REJECTED and app.ledger.traces.get(ASKED) is None


def test_a_url_that_redirects_to_a_barred_one_joins_its_takedown(engine: Engine, ledger: Ledger) -> None:
    found = Takedowns(engine)
    found.add([BARRED], "court order", now=NOON)
    assert ledger.barred_urls.bar_redirect(ASKED, FINAL, now=NOON) is None
    assert ledger.barred_urls.bar_redirect(ASKED, BARRED, now=after(hours=1)) == "court order"
    assert {(one.url, one.reason) for one in found.list()} == {(f"{SITE}/barred", "court order"), (ASKED, "court order")}
