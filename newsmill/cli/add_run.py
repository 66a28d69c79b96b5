"""One run of `newsmill add`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import typer

from newsmill.cli.add_input import AddOptions
from newsmill.cli.inspection_report import describe_obstacle, print_inspection
from newsmill.cli.interrupt import Interrupt
from newsmill.cli.terminal import format_count, note, note_next_step, now, print_json, printable
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, NewsmillError, ServiceError, UrlError
from newsmill.settings import Settings
from newsmill.site_inspection import processes
from newsmill.site_inspection.findings import SiteInspection
from newsmill.site_inspection.plan import get_article_host
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.additions import Action, Addition, SourceIndex, plan_addition
from newsmill.sources.config_file import read_sources
from newsmill.sources.files import add_sources, extend_source, render_table
from newsmill.sources.source_lists import ListedSite
from newsmill.text.urls import get_host, normalize

MAX_BATCH_SITES = 100  # that are added at once without an inspection: sources.toml is read, checked and written once for them
FAILED = "failed"  # of `results`, beside the actions
DECLINED = "declined"
RESULTS = {
    "new": "added",
    "extended": "added to a source",
    "known": "followed already",
    DECLINED: "not added",
    "refused": "refused",
    FAILED: "failed",
}


class AddRun:
    """One run of the command: `results` counts what became of each site; what was added stays, also after Ctrl-C.

    New sites that need no inspection wait for `flush`, which adds and reports them. `shows_findings`: the listings of an inspection are
    printed while it runs.
    """

    def __init__(self, settings: Settings, store: AppContext, options: AddOptions, *, shows_findings: bool = False) -> None:
        self.settings, self.store, self.options, self.shows_findings = settings, store, options, shows_findings
        self.results: Counter[str] = Counter()
        self.failures: list[str] = []
        self.unconfirmed = False  # a site was not added, because no terminal could show the question
        self._yes = options.yes or not options.check
        self._known: SourceIndex | None = None  # with the sites that wait
        self._waiting: list[tuple[ListedSite, Addition]] = []

    def add(self, site: ListedSite, inspected: Future[SiteInspection] | None) -> None:
        """Show one site, ask, and add it; without an inspection, as it is. A site that cannot be followed is counted and noted."""
        inspection: SiteInspection | None = None
        is_begun = self.shows_findings
        try:
            if inspected is not None:
                inspection = inspected.result()
                if not inspection.can_follow and site.homepage:
                    note(printable(f"{describe_obstacle(inspection)}; trying {site.homepage} instead"))
                    inspection, is_begun = processes.inspect_site(site.homepage, delay=self.options.delay), False
                if not inspection.can_follow:
                    self._fail(site, describe_obstacle(inspection), inspection)
                    return
                addition = self._plan(site, {**inspection.plan, **_list_extras(site)}, get_article_host(inspection))
            else:
                table = dict(site.table) or {"homepage": site.url}
                if "homepage" in table:
                    table["homepage"] = add_scheme(table["homepage"])
                addition = self._plan(site, table, get_host(normalize(add_scheme(site.url))))
        except UrlError as error:
            self._fail(site, f"not the URL of a site: {error}", None)
            return
        except ServiceError:
            raise
        except NewsmillError as error:  # of one entry of a list; the next one may be right
            self._fail(site, str(error), inspection)
            return
        if inspection is not None and not self.options.as_json:
            print_inspection(inspection, is_begun=is_begun)
        if addition.action is Action.NEW and not self.options.check:
            if not self.options.as_json:
                show_plan(addition)
            self._waiting.append((site, addition))
            if addition.source is not None:
                self._read_known().add(addition.source)
            if len(self._waiting) == MAX_BATCH_SITES:
                self.flush()
            return
        self.flush()
        self._report(site, self._apply(addition), inspection, addition)

    def flush(self) -> None:
        """Add and report the sites that wait. Ctrl-C takes effect afterwards, so that the store has what the file has."""
        waiting, self._waiting = self._waiting, []
        with Interrupt() as interrupt:
            self._store_new([addition for _, addition in waiting])
            for site, addition in waiting:
                self._report(site, addition.action, None, addition)
        if interrupt.is_set:
            raise KeyboardInterrupt

    def _report(self, site: ListedSite, result: str, inspection: SiteInspection | None, addition: Addition) -> None:
        self.results[result] += 1
        if self.options.as_json:
            print_json(make_record(site, result, inspection, addition))

    def _plan(self, site: ListedSite, table: dict[str, Any], host: str | None) -> Addition:
        return plan_addition(self._read_known(), self.options.complete(table), host or "", self.options.name or site.name)

    def _read_known(self) -> SourceIndex:
        """The sources of the store and of the file, which is read at the next start. Inspections take long, so they read them anew."""
        if self._known is None or self.options.check:
            self._known = SourceIndex(self.store.ledger.sources.list_all())
            if (path := self.settings.sources_file) is not None:
                for source in read_sources(path):
                    if source.name not in self._known.by_name:
                        self._known.add(source)
        return self._known

    def _apply(self, addition: Addition) -> str:
        """Show the plan, ask, and add it. Returns the result."""
        if addition.action is Action.REFUSED:
            self.failures.append(f"{addition.name}: {addition.reason}")
            note(printable(f"refused: {addition.reason}"))
            return addition.action
        if addition.action is Action.KNOWN:
            note(f"source {addition.name} follows this already; nothing changes")
            return addition.action
        if not self.options.as_json:
            show_plan(addition)
        if not self._confirm(addition):
            return DECLINED
        self._store(addition)
        return addition.action

    def _confirm(self, addition: Addition) -> bool:
        if self._yes:
            return True
        if self.options.as_json or not sys.stdin.isatty():
            self.unconfirmed = True
            return False
        answer = typer.prompt(f"Add {addition.name}? [y]es, [n]o, [a]ll", default="y", err=True).strip().lower()
        self._yes = answer.startswith("a")
        return answer[:1] in ("y", "a", "j")

    def _store(self, addition: Addition) -> None:
        """Add a new source, or extend one. The file is written first: the store takes over what the file says at every start."""
        if addition.action is Action.NEW:
            self._store_new([addition])
            return
        assert addition.source is not None
        path = self.settings.sources_file
        if path is not None and any(source.name == addition.name for source in read_sources(path)):
            try:
                extend_source(path, addition.name, addition.added)
            except ConfigError as error:
                _warn(addition, error)
        self.store.ledger.sources.put(addition.source, now=now())
        self._known = None
        added = ", ".join(format_count(len(urls), key.removesuffix("s")) for key, urls in addition.added.items())
        note(f"source {addition.name} follows this site already: {added} added to it")

    def _store_new(self, additions: Sequence[Addition]) -> None:
        path = self.settings.sources_file
        if path is not None and additions:
            try:
                add_sources(path, {addition.name: addition.table for addition in additions})
            except ConfigError as error:
                if len(additions) > 1:  # because of one of them, perhaps
                    for addition in additions:
                        self._store_new([addition])
                    return
                _warn(additions[0], error)
        for addition in additions:
            assert addition.source is not None
            self.store.ledger.sources.put(addition.source, now=now())
            start = addition.source.homepage or next(
                iter((*addition.source.feeds, *addition.source.sitemaps, *addition.source.sections)), ""
            )
            note(printable(f"following {addition.name} ({start})"))

    def _fail(self, site: ListedSite, reason: str, inspection: SiteInspection | None) -> None:
        self.flush()
        self.results[FAILED] += 1
        self.failures.append(f"{site.url}: {reason}")
        note(printable(f"not added: {reason}"))
        if self.options.as_json:
            print_json(make_record(site, FAILED, inspection, None, reason))

    def summarise(self, total: int) -> None:
        """Print the summary of many sites, and what to do next."""
        done = sum(self.results.values())
        if total > 1:
            counts = ", ".join(f"{self.results[key]} {words}" for key, words in RESULTS.items() if self.results[key])
            left = f"; interrupted, {total - done} left: run the same command again" if done < total else ""
            note(f"{format_count(done, 'site')}: {counts or 'none'}{left}")
            for failure in self.failures:
                note(printable(f"  {failure}"))
        if self.results[Action.NEW] or self.results[Action.EXTENDED]:
            note_next_step(self.store, "crawler", "fetch it")
            note("`newsmill backfill NAME --since 2024-01` fetches older articles")


def _warn(addition: Addition, error: ConfigError) -> None:
    note(printable(f"WARNING: {error}; the store follows {addition.name} all the same"))


def _list_extras(site: ListedSite) -> dict[str, Any]:
    """The keys of a list that no inspection finds."""
    return {key: value for key, value in site.table.items() if key in ("language", "enabled")}


def show_plan(addition: Addition) -> None:
    """Print what sources.toml gets."""
    if addition.action is Action.NEW:
        typer.echo(printable(render_table(addition.name, addition.table)))
        return
    typer.echo(f"[sources.{addition.name}] gets:")
    for key, urls in addition.added.items():
        for url in urls:
            typer.echo(printable(f"  {key}: {url}"))


def make_record(
    site: ListedSite, result: str, inspection: SiteInspection | None, addition: Addition | None, reason: str | None = None
) -> dict[str, Any]:
    """The JSON line of one site."""
    record: dict[str, Any] = {"url": site.url, "result": result, "reason": reason, "inspection": inspection}
    if addition is not None:
        record |= {"name": addition.name, "table": addition.table, "added": addition.added, "reason": addition.reason}
    return record
