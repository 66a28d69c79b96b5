"""`newsmill web`: runs the web server."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from newsmill import context
from newsmill.cli.processes.process_start import Supervised, prepare
from newsmill.cli.terminal import note, now
from newsmill.context import AppContext
from newsmill.settings import Settings
from newsmill.storage.owner_ids import make_owner_id
from newsmill.storage.tokens import Scope, TokenKind, Tokens
from newsmill.web.config import WebConfig

LINK_HOURS = 24


def web(
    host: Annotated[str | None, typer.Option("--host", help="IP address to listen on; default: from NEWSMILL_WEB.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 selects a free one; default: from NEWSMILL_WEB.")
    ] = None,
    supervised: Supervised = False,
) -> None:
    """Serve the web pages and the HTTP API.

    On 127.0.0.1, the default, your browser has full access until the first token exists, and other users of this machine may read.
    If the server cannot see whose browser it is, the printed link opens a session with full access.
    On another IP address every request needs a token, and the server starts only if one exists (`newsmill token add`).
    """
    # FastAPI costs 0.9 s of CPU, which the other commands of this module need not spend
    from newsmill.web import serve

    settings = prepare(supervised)
    config = make_web_config(settings, host, port)
    with context.open_context(settings, create=True) as store:
        store.tokens.set_environment_token(settings.web_token, now=store.now())
        serve.require_token(store.tokens, config, store.now())
        listener = serve.listen(config)
        if not supervised:
            note(format_sign_in(store, config, listener.getsockname()[1]))
        raise typer.Exit(serve.run(store, config, listener))


def make_web_config(settings: Settings, host: str | None = None, port: int | None = None) -> WebConfig:
    """The settings of the server; `host` and `port` of the command line override NEWSMILL_WEB."""
    default_host, default_port = settings.web_listen or ("127.0.0.1", 8470)
    return WebConfig(
        host=host or default_host,
        port=default_port if port is None else port,
        url=settings.web_url,
        hosts=settings.web_hosts,
        public_url=settings.public_url,
        allow_nets=tuple(map(str, settings.allow_nets)),
        rate=settings.web_rate,
        shows_images=settings.web_images,
    )


def format_sign_in(store: AppContext, config: WebConfig, port: int) -> str:
    """A line with the URL and, on the loopback interface, a link for one sign-in that ends with this process."""
    base = (config.url or f"http://{f'[{config.host}]' if ':' in config.host else config.host}:{port}").rstrip("/")
    if config.is_exposed:
        return f"web pages and API: {base}/ (sign in with a token)"
    key = add_link(store, make_owner_id())
    return f"web pages and API: {base}/   if a page is read-only, open {base}/login?key={key} (valid once, for {LINK_HOURS} hours)"


def add_link(store: AppContext, name: str = "link") -> str:
    """The secret of a new sign-in link. A link named after a process ends with that process."""
    return Tokens(store.engine).add(name, Scope.ADMIN, now=now(), kind=TokenKind.LINK, life=timedelta(hours=LINK_HOURS))
