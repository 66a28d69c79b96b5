"""`newsmill web` (pages and API) and `newsmill token` (who may use them)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.process_setup import Supervised, prepare
from newsmill.cli.terminal import note, now, print_json, print_table
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.settings import Settings
from newsmill.storage.lease_owners import make_owner_id
from newsmill.storage.tokens import Scope, Token, TokenKind, Tokens
from newsmill.web.config import WebConfig

LINK_HOURS = 24


def web(
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on; that of NEWSMILL_WEB unless said.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one. That of NEWSMILL_WEB unless said.")
    ] = None,
    supervised: Supervised = False,
) -> None:
    """Serve the pages and the HTTP API.

    On 127.0.0.1, the default, everybody on this machine may read until there is a token, and the printed link opens a session that may do
    everything. On any other address nobody gets in without a token, and it does not start before there is one (`newsmill token add`).
    """
    # FastAPI costs 0.9 s of CPU, which `newsmill token` and `newsmill up` need not spend
    from newsmill.web import serve

    settings = prepare(supervised)
    config = web_config(settings, host, port)
    with context.open_context(settings, create=True) as store:
        store.tokens.set_environment_token(settings.web_token, now=store.now())
        serve.require_token(store.tokens, config, store.now())
        door = serve.listen(config)
        if not supervised:
            note(sign_in(store, config, door.getsockname()[1]))
        raise typer.Exit(serve.run(store, config, door))


def web_config(settings: Settings, host: str | None = None, port: int | None = None) -> WebConfig:
    """The settings, with what the command line says instead."""
    place = settings.web_place or ("127.0.0.1", 8470)
    return WebConfig(
        host=host or place[0],
        port=place[1] if port is None else port,
        url=settings.web_url,
        hosts=settings.web_hosts,
        allow_nets=tuple(map(str, settings.allow_nets)),
        rate=settings.web_rate,
    )


def sign_in(store: AppContext, config: WebConfig, port: int) -> str:
    """The sentence with the link that opens a session, once, for a day and while this process lives; off this machine only the URL."""
    base = (config.url or f"http://{f'[{config.host}]' if ':' in config.host else config.host}:{port}").rstrip("/")
    if config.is_exposed:
        return f"pages and API: {base}/ (sign in with a token)"
    key = link(store, make_owner_id())
    return f"pages and API: {base}/   to change things as well, open {base}/login?key={key} (works once, for {LINK_HOURS} hours)"


def link(store: AppContext, name: str = "link") -> str:
    """The secret of a new link; one named after a process (`owners.new_owner`) ends with that process."""
    return Tokens(store.engine).add(name, Scope.ADMIN, now=now(), kind=TokenKind.LINK, life=timedelta(hours=LINK_HOURS))


# ---- token -------------------------------------------------------------------------------------------------------------------

token = typer.Typer(no_args_is_help=True, help="Who may use the API and the pages.")


@token.command("add")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, or what for; shown in lists.")],
    scope: Annotated[str, typer.Option("--scope", help="read; write (also submit, follow, pause, retry); admin (everything).")] = "read",
    days: Annotated[int | None, typer.Option("--days", min=1, max=3650, help="Ends after so many days; never unless said.")] = None,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    if scope not in list(Scope):
        raise ConfigError(f"--scope: expected {', '.join(Scope)}, not {scope[:80]!r}")
    if not name.isprintable() or len(name) > 100:
        raise ConfigError("NAME: expected at most 100 printable characters")
    with context.open_context(configuration.load(), create=True) as store:
        life = timedelta(days=days) if days else None
        typer.echo(Tokens(store.engine).add(name, Scope(scope), now=now(), life=life))
    note("send it as `Authorization: Bearer TOKEN`, or sign in with it; it is not shown again")


@token.command("link")
def print_link() -> None:
    """Print a link that opens a session in a browser of this machine; it works once, for a day."""
    settings = configuration.load()
    config = web_config(settings)
    with context.open_context(settings) as store:
        base = config.url or f"http://{config.host}:{config.port}"
        typer.echo(f"{base.rstrip('/')}/login?key={link(store)}")
    note(f"it works once, for {LINK_HOURS} hours")


@token.command("list")
def list_tokens(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every token, browser session and unused link with its scope and expiry. Secrets are not stored and cannot be shown."""
    with context.open_context(configuration.load()) as store:
        found = Tokens(store.engine).list_valid(now=now())
    if as_json:
        print_json(found)
    elif found:
        print_table(
            ("id", "kind", "name", "scope", "made", "ends"),
            [[one.id, one.kind, describe_name(one), one.scope, one.created_at, one.expires_at] for one in found],
        )
    else:
        note("no token yet: newsmill token add NAME")


def describe_name(token: Token) -> str:
    """The name for people: a printed link has that of its process, `host:process id:…` (`owners.new_owner`)."""
    host, _, rest = token.name.partition(":")
    return f"link of process {rest.partition(':')[0]} on {host}" if token.kind == "link" and rest else token.name


@token.command("revoke")
def revoke_token(name: Annotated[str, typer.Argument(metavar="NAME|ID", help="All of a name, or one by its id.")]) -> None:
    """Revoke tokens, browser sessions or links, with the sessions they opened. They stop working at once.

    `newsmill token list` shows names and ids. Sessions opened by a printed link have the name "link".
    """
    with context.open_context(configuration.load()) as store:
        gone = Tokens(store.engine).revoke(name)
    if not gone:
        raise ConfigError(f"no token, session or link has the name or id {name[:80]!r}; `newsmill token list` shows all")
    counts = [f"{count} {kind}" if count == 1 else f"{count} {kind}s" for kind, count in sorted(gone.items())]
    note(f"revoked: {', '.join(counts)}")
