"""Maintenance of a store: `newsmill retry`, `quarantine`, `db`, `doctor` and `backup`; keys that sign requests, and access tokens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.documents import finish_index
from newsmill.cli.processes import LINK_HOURS, add_link, make_web_config
from newsmill.cli.terminal import (
    Json,
    complete_from,
    complete_sources,
    count_progress,
    format_count,
    note,
    note_next_step,
    now,
    print_json,
    print_table,
)
from newsmill.cli.trace import find_trace, trace
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.message_signatures import (
    MAX_PUBLISHED,
    add_key,
    choose_key,
    choose_published,
    find_agent_url,
    find_start,
    keys_folder,
    read_keys,
    remove_key,
)
from newsmill.model import Outcome
from newsmill.settings import Settings
from newsmill.site_inspection import add_scheme
from newsmill.sources.table import format_suggestion
from newsmill.storage import copy_groups, database, fingerprints
from newsmill.storage.copies import back_up
from newsmill.storage.database import Engine
from newsmill.storage.doctor import Doctor
from newsmill.storage.ledger import Trace
from newsmill.storage.private_files import DATABASE
from newsmill.storage.processes import list_live_processes
from newsmill.storage.tokens import Scope, Token, TokenKind, Tokens
from newsmill.storage.transfer import count_rows, transfer
from newsmill.web.config import DIRECTORY_PATH


def retry(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="URLs to requeue.", show_default=False)] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", autocompletion=complete_from(Outcome), help="All URLs with this outcome, such as timeout.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", autocompletion=complete_sources, help="Only URLs of this source.")] = None,
    refetch: Annotated[bool, typer.Option("--refetch", help="Fetch also pages that are in the archive.")] = False,
) -> None:
    """Requeue finished URLs. Archived pages are extracted again without network; the others are fetched."""
    if bool(urls) == bool(outcome):
        raise typer.BadParameter("give either URLs or --outcome")
    with context.open_context(configuration.load()) as store:
        selected = parse_outcome(outcome) if outcome else None
        if source and not store.ledger.progress.count(source).pages:  # a removed source has pages
            context.find_source(store, source)
        urls = [add_scheme(url) for url in urls or ()]
        count = store.ledger.retries.retry(now=now(), urls=urls, outcome=selected, source=source, refetch=refetch)
        if count:
            note(f"{format_count(count, 'URL')} requeued")
            note_next_step(store, "worker", "process")
        else:
            for url in urls:
                find_trace(store, url)  # an unknown URL is an error
            note("No finished URL matches; nothing is requeued")
    if not count:
        raise typer.Exit(1)


def parse_outcome(name: str) -> Outcome:
    """The outcome with this name. Raises ConfigError with a similar name."""
    try:
        return Outcome(name)
    except ValueError:
        raise ConfigError(f"Unknown outcome {name!r}{format_suggestion(name, list(Outcome))}") from None


# ---- quarantine --------------------------------------------------------------------------------------------------------------

quarantine = typer.Typer(
    no_args_is_help=True, help="List, retry and drop quarantined pages. Their extraction crashed three times or exceeded a limit."
)


@quarantine.command("list")
def list_quarantined(as_json: Json = False) -> None:
    """List quarantined pages with stage and reason."""
    with context.open_context(configuration.load()) as store:
        found = list(iterate_quarantined(store))
    if as_json:
        print_json(found)
    elif found:
        print_table(("since", "URL", "stage", "reason"), [[trace.ended_at, trace.url, trace.stage, trace.detail] for trace in found])
    else:
        note("no page is in quarantine")


def iterate_quarantined(store: AppContext) -> Iterator[Trace]:
    """All quarantined pages, read in batches of 500."""
    after = 0
    while batch := store.ledger.traces.list_quarantined(limit=500, after=after):
        yield from batch
        after = batch[-1].id


@quarantine.command("show")
def show_quarantined(url: Annotated[str, typer.Argument(metavar="URL", help="URL of the page.")], as_json: Json = False) -> None:
    """Show what happened to one quarantined page."""
    trace(url, as_json)


@quarantine.command("retry")
def retry_quarantined(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL…", help="URLs; default: all.", show_default=False)] = None,
) -> None:
    """Requeue quarantined pages; each gets three new attempts."""
    with context.open_context(configuration.load()) as store:
        chosen = map(add_scheme, urls) if urls else (trace.url for trace in iterate_quarantined(store))
        count = store.ledger.retries.retry_quarantined([*chosen], now=now())
        if count:
            note(f"{format_count(count, 'page')} requeued")
            note_next_step(store, "worker", "process")
        else:
            for url in urls or ():
                find_trace(store, url)  # an unknown URL is an error
            note("no quarantined page matches; nothing is requeued" if urls else "no page is in quarantine")
    if urls and not count:
        raise typer.Exit(1)


@quarantine.command("drop")
def drop_quarantined(urls: Annotated[list[str], typer.Argument(metavar="URL…", help="URLs of the pages.")]) -> None:
    """Drop quarantined pages (outcome `discarded`). The archived bytes stay."""
    with context.open_context(configuration.load()) as store:
        count = store.ledger.retries.discard(map(add_scheme, urls), now=now())
        if not count:
            for url in urls:
                find_trace(store, url)  # an unknown URL is an error
    note(f"{format_count(count, 'page')} dropped" if count else "no quarantined page matches; nothing is dropped")
    if count < len(urls):
        raise typer.Exit(1)


# ---- db ----------------------------------------------------------------------------------------------------------------------

db = typer.Typer(no_args_is_help=True, help="Upgrade and check the schema of the database, and copy the embedded one.")


@db.command()
def upgrade() -> None:
    """Create the tables or upgrade an older schema. Safe to run again."""
    settings = configuration.load()
    if settings.database_url is None:
        context.make_folder(context.data_folder(settings))
    engine = database.connect(context.database_url(settings))
    try:
        context.upgrade_database(engine, settings)
        database.check_schema(engine)
        finish_index(engine)
        finish_copies(engine)
    finally:
        engine.dispose()
    note("the schema of the database is up to date")


def finish_copies(engine: Engine) -> None:
    """Make the missing fingerprints, and find the copies of older documents."""
    waiting = fingerprints.pending(engine)
    if waiting:
        with count_progress("fingerprints", total=waiting) as advance:
            while done := fingerprints.catch_up(engine):
                advance(done)
    waiting = copy_groups.pending(engine)
    if waiting:
        with count_progress("documents compared to find copies", total=waiting) as advance:
            while done := copy_groups.catch_up(engine):
                advance(done)


@db.command("copy")
def copy_database() -> None:
    """Copy the embedded database of the data folder into the empty Postgres database of DATABASE_URL. All rows or none.

    Stop all processes first. Pages stay where they are. See docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url is None or settings.database_url.startswith("sqlite"):
        raise ConfigError("DATABASE_URL is not set to a Postgres database; set it to the new, empty one")
    embedded = settings.model_copy(update={"database_url": None})
    context.require_store(embedded)
    source = database.connect(context.database_url(embedded), read_only=True)
    target = database.connect(settings.database_url)
    try:
        database.check_schema(source)
        if running := list_live_processes(source, now=now()):
            names = ", ".join(sorted({process.role for process in running}))
            raise ConfigError(f"processes run on {context.data_folder(settings)} ({names}); stop them first")
        database.upgrade(target)
        database.check_schema(target)
        with count_progress("rows", total=count_rows(source)) as advance:
            transfer(source, target, advance)
        finish_index(target)
        finish_copies(target)
    finally:
        source.dispose()
        target.dispose()
    note(f"copied the database of {context.data_folder(settings)} to {database.describe_location(target)}")


@db.command()
def check() -> None:
    """Exit with 0 if the database responds and has the schema of this version. Creates and changes nothing."""
    settings = configuration.load()
    context.require_store(settings)
    engine = database.connect(context.database_url(settings), read_only=True)
    try:
        database.check_schema(engine)
    finally:
        engine.dispose()
    note("the database responds and has the right schema")


# ---- doctor and backup -------------------------------------------------------------------------------------------------------


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired safely.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every archived page; slow.")] = False,
    as_json: Json = False,
) -> None:
    """Check that ledger, archive and documents agree. Safe while Newsmill runs.

    Exits with 1 if there are findings (with --repair: if some remain).
    """
    with context.open_context(configuration.load()) as store:
        findings = Doctor(store.engine, store.ledger, store.archive).examine(now=now(), repair=repair, deep=deep)
    if as_json:
        print_json(findings)
    elif findings:
        rows = [
            (finding.check, finding.count, finding.says, "\n".join(finding.examples), _format_remedy(finding.repaired, finding.remedy))
            for finding in findings
        ]
        print_table(("check", "count", "meaning", "examples", "--repair"), rows)
    if not findings:
        note("ledger, archive and documents agree")
    if any(not finding.repaired for finding in findings):
        raise typer.Exit(1)


def _format_remedy(repaired: bool, remedy: str | None) -> str:
    if remedy is None:
        return "not available"
    return f"done: {remedy}" if repaired else remedy


def backup(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Target; an earlier backup in it is updated.")],
) -> None:
    """Copy the embedded store into FOLDER while Newsmill runs. The copy is a data folder: NEWSMILL_DATA=FOLDER uses it.

    For your own database or archive, use their tools: docs/guides/operating.md.
    """
    settings = configuration.load()
    if settings.database_url or settings.archive_url:
        raise ConfigError("`newsmill backup` copies only the embedded store; for DATABASE_URL and ARCHIVE_URL see docs/guides/operating.md")
    if not folder:  # an unset variable of a script; as a path it would be the current folder
        raise ConfigError("FOLDER is empty; name a folder")
    data = context.data_folder(settings)
    target = Path(folder).expanduser().absolute()
    if target.resolve() == data.resolve():
        raise ConfigError(f"{folder} is the data folder itself; choose a folder outside")
    if any(is_inside(target, inner) for inner in (data, data / "archive")):
        raise ConfigError(f"{folder} is inside the data folder; choose a folder outside")
    with context.open_context(settings):
        copied = back_up(data / DATABASE, data / "archive", target)
    note(f"{target}: copied the database and {format_count(copied.segments, 'archive file')} ({copied.new:,} new)")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or in it, also through links and `..`."""
    real, outer = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return real == outer or outer in real.parents


# ---- keys that sign requests --------------------------------------------------------------------------------------------------

keys = typer.Typer(no_args_is_help=True, help="Make, list and remove the keys that sign requests (Web Bot Auth).")


@keys.command("new")
def make_new_key() -> None:
    """Make a key. The first signs at once; a later one is published now, and replaces the others after two days."""
    settings = configuration.load()
    context.make_folder(context.data_folder(settings))
    if len(choose_published(read_keys(keys_folder(settings)), now())) >= MAX_PUBLISHED:  # another one would hide the one that signs
        raise ConfigError(
            f"{MAX_PUBLISHED} keys are published already; remove one that does not sign (`newsmill keys list`), or try again in two days"
        )
    key = add_key(keys_folder(settings), now=now())
    typer.echo(key.id)
    known = read_keys(keys_folder(settings))
    note(f"signs from {find_start(known, len(known) - 1):%Y-%m-%d %H:%M} UTC; {describe_signing(settings)}")


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys with their times and states, without their private parts."""
    settings = configuration.load()
    known, at = read_keys(keys_folder(settings)), now()
    current, published = choose_key(known, at), choose_published(known, at)
    records = [
        {
            "id": key.id,
            "created": key.created_at,
            "signs_from": find_start(known, number),
            "state": "signs" if key == current else "published" if key in published else "retired",
        }
        for number, key in enumerate(known)
    ]
    if as_json:
        print_json(records)
    elif records:
        print_table(("id", "created", "signs from", "state"), [list(record.values()) for record in records])
    note(describe_signing(settings) if records else "no key exists, and no request is signed; make one with `newsmill keys new`")


@keys.command("remove")
def remove_signing_key(key_id: Annotated[str, typer.Argument(metavar="ID", help="An id of `newsmill keys list`.")]) -> None:
    """Delete a key, for example because somebody else may know it. Verifiers forget it after a day."""
    settings = configuration.load()
    if not remove_key(keys_folder(settings), key_id):
        raise ConfigError(f"no key has the id {key_id[:80]!r}; run `newsmill keys list` to see all")
    note("removed; crawlers stop using it within a minute")


def describe_signing(settings: Settings) -> str:
    """Whether requests are signed, and where verifiers find the keys."""
    agent = find_agent_url(settings)
    if agent is None:
        return "no request is signed before NEWSMILL_PUBLIC_URL is set to an https URL"
    return f"requests are signed; the keys are at {agent}{DIRECTORY_PATH}"


# ---- access tokens -------------------------------------------------------------------------------------------------------------

token = typer.Typer(no_args_is_help=True, help="Manage access tokens for the API and the web pages.")


@token.command("add")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Owner or purpose, shown in lists.")],
    scope: Annotated[
        str,
        typer.Option(
            "--scope", autocompletion=complete_from(Scope), help="read; write (also submit, add, pause, retry); admin (everything)."
        ),
    ] = "read",
    days: Annotated[int | None, typer.Option("--days", min=1, max=3650, help="Days until it expires; default: never.")] = None,
) -> None:
    """Create a token and print it. Newsmill stores only its hash and cannot show it again."""
    if scope not in list(Scope):
        raise ConfigError(f"--scope: expected one of {', '.join(Scope)}, not {scope[:80]!r}")
    if not name.strip() or not name.isprintable() or len(name) > 100:
        raise ConfigError("NAME: expected 1 to 100 printable characters, such as the program or person that uses the token")
    with context.open_context(configuration.load(), create=True) as store:
        tokens = Tokens(store.engine)
        is_first = not any(one.kind == TokenKind.TOKEN for one in tokens.list_valid(now=now()))
        life = timedelta(days=days) if days else None
        typer.echo(tokens.add(name, Scope(scope), now=now(), life=life))
    note("send it as `Authorization: Bearer TOKEN`, or sign in with it")
    if is_first:
        note("this is the first token: from now on, reading the web pages and the API also needs a token or a session")


@token.command("link")
def print_link() -> None:
    """Print a sign-in link for a browser on this machine. It is valid once, for a day."""
    settings = configuration.load()
    config = make_web_config(settings)
    with context.open_context(settings) as store:
        base = config.url or f"http://{config.host}:{config.port}"
        typer.echo(f"{base.rstrip('/')}/login?key={add_link(store)}")
    note(f"valid once, for {LINK_HOURS} hours")


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List tokens, browser sessions and unused links with scope and expiry, without their secrets."""
    with context.open_context(configuration.load()) as store:
        found = Tokens(store.engine).list_valid(now=now())
    if as_json:
        print_json(found)
    elif found:
        print_table(
            ("id", "kind", "name", "scope", "created", "expires"),
            [[one.id, one.kind, describe_name(one), one.scope, one.created_at, one.expires_at] for one in found],
        )
    else:
        note("no token exists; run `newsmill token add NAME`")


def describe_name(token: Token) -> str:
    """The name as shown. A printed link is named after its process (`host:process id:…`)."""
    host, _, rest = token.name.partition(":")
    return f"link of process {rest.partition(':')[0]} on {host}" if token.kind == "link" and rest else token.name


@token.command("revoke")
def revoke_token(name: Annotated[str, typer.Argument(metavar="NAME|ID", help="A name (revokes all of them) or an id.")]) -> None:
    """Revoke tokens, browser sessions or links, and the sessions they opened, immediately.

    `newsmill token list` shows names and ids. Sessions opened by a printed link have the name "link".
    """
    with context.open_context(configuration.load()) as store:
        revoked = Tokens(store.engine).revoke(name)
    if not revoked:
        raise ConfigError(f"No token, session or link has the name or id {name[:80]!r}; run `newsmill token list` to see all")
    note(f"revoked: {', '.join(format_count(count, kind) for kind, count in sorted(revoked.items()))}")
