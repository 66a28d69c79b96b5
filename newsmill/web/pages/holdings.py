"""What the documents of a store are: their languages, sites and years. A store of imported documents has no source that tells it."""

from __future__ import annotations

from collections.abc import Sequence

from newsmill.context import AppContext
from newsmill.search.facets import FacetCount, Facets, count_facets
from newsmill.search.timelines import Timeline, choose_period, count_timeline
from newsmill.storage.operation_statistics import OperationStatistics
from newsmill.web.pages.rendering import PageView

MAX_COUNTED = 20_000  # the newest documents, whose languages and sites are counted: 0.1 s on SQLite
MAX_SITES = 5_000
COUNT_SECONDS = 0.3  # for each count; CPU seconds on SQLite


def is_followed(context: AppContext) -> bool:
    """Whether a crawler would have something to do: a source that is not paused, or pending URLs."""
    return OperationStatistics(context.engine).count_sources()[0] > 0 or context.ledger.progress.count().pending > 0


def count_holdings(context: AppContext) -> Facets:
    """The languages, sites and sources of the newest documents, without copies, as a search counts them."""
    return count_facets(context.engine, limit=MAX_SITES, matches=MAX_COUNTED, seconds=COUNT_SECONDS, without_copies=True)


def list_sites(facets: Facets) -> Sequence[FacetCount]:
    """All sites, if some documents have no source by which they could be found; else none."""
    return facets.values["site"] if sum(one.n for one in facets.values["source"]) < facets.counted else ()


def count_years(context: AppContext, view: PageView) -> Timeline:
    """All dated documents over time."""
    return count_timeline(context.engine, "", choose_period("", view.now), seconds=COUNT_SECONDS, without_copies=True)
