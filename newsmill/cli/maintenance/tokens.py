"""`newsmill token`: access tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from newsmill import context
from newsmill import settings as configuration
from newsmill.cli.completion import complete_from
from newsmill.cli.processes.web import LINK_HOURS, add_link, make_web_config
from newsmill.cli.terminal import Json, format_count, note, now, print_json, print_table
from newsmill.exceptions import ConfigError
from newsmill.storage.private_files import TOKEN_FILE, read_private_file
from newsmill.storage.tokens import Scope, Token, Tokens

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
        life = timedelta(days=days) if days else None
        typer.echo(store.tokens.add(name, Scope(scope), now=now(), life=life))
    note("send it as `Authorization: Bearer TOKEN`, or sign in with it")


@token.command("link")
def print_link() -> None:
    """Print a sign-in link for a browser on this machine. It is valid once, for a day."""
    settings = configuration.load()
    token = settings.web_token or read_private_file(context.data_folder(settings) / TOKEN_FILE)[0]
    config = make_web_config(settings, None, None, token)
    with context.open_context(settings) as store:
        typer.echo(f"{config.base_url(config.port)}/login?key={add_link(store)}")
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
def revoke_token(
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="An id, or a name to revoke all tokens with this name.")],
) -> None:
    """Revoke tokens, browser sessions or links, and the sessions they opened, immediately.

    `newsmill token list` shows names and ids. Sessions opened by a printed link have the name "link".
    """
    with context.open_context(configuration.load()) as store:
        revoked = Tokens(store.engine).revoke(name)
    if not revoked:
        raise ConfigError(f"No token, session or link has the name or id {name[:80]!r}; run `newsmill token list` to see all")
    note(f"revoked: {', '.join(format_count(count, kind) for kind, count in sorted(revoked.items()))}")
