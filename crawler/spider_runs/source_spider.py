"""The spider of a source: its class, found in the administrator's folders or a package, with its arguments checked.

A source without a spider has one for `newsmill sources test` too.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import scrapy
from scrapy import Request, Spider
from scrapy.http import Response

import crawler.spiders
from crawler.listings.parser import ListingParser, ParsedLinks, ParseRequest
from crawler.settings import import_user_module
from crawler.spider_runs.spider_worker import RunRequest
from newsmill.context import data_folder
from newsmill.discovery.source_sites import list_sites
from newsmill.exceptions import ConfigError, DecodeError, ListingError
from newsmill.model import Kind, Link, Source, SpiderLimits
from newsmill.scrapy import LinkItem, page
from newsmill.settings import Settings

CONSTRUCTORS = ("__init__", "from_crawler")


def load_spider(settings: Settings, source: Source) -> type[scrapy.Spider]:
    """The class that a source names. Raises ConfigError with the folders that were searched; its cause is the error of the module."""
    folders = spider_folders(settings)
    crawler.spiders.__path__ = list(dict.fromkeys([*crawler.spiders.__path__, str(folders[-1])]))  # a clone whose package is installed
    searched = ", ".join(map(str, folders))
    module_name, _, class_name = (source.spider or "").partition(":")
    where = f'source "{source.name}": spider {source.spider!r}'
    module = import_user_module(
        module_name,
        folders,
        lambda reason: f"{where}: module {module_name} cannot be imported ({reason[:300]}); searched {searched} and installed packages",
    )
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, scrapy.Spider)):
        names = sorted(
            name
            for name, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, scrapy.Spider) and value is not scrapy.Spider
        )
        raise ConfigError(f"{where}: {module_name} has no spider {class_name}; it has {', '.join(names) or 'none'}")
    return found


def find_start_hint(spider_class: type[scrapy.Spider]) -> str | None:
    """What to rename in a spider written for Scrapy before 2.13: today's Scrapy does not call its first requests."""
    own = {name for each in spider_class.__mro__ if each not in scrapy.Spider.__mro__ for name in vars(each)}
    if "start_requests" not in own or "start" in own:
        return None
    return f"{spider_class.__name__}.start_requests is not called by Scrapy {scrapy.__version__}; make it `async def start(self)`"


def spider_folders(settings: Settings) -> tuple[Path, ...]:
    """The folders that spiders' modules are searched in: `spiders/` of the configuration and of the data folder, and that of a clone."""
    config = (settings.config or Path("config")).absolute()
    return config / "spiders", data_folder(settings) / "spiders", Path("crawler/spiders").absolute()


def check_arguments(spider_class: type[scrapy.Spider], source: Source) -> None:
    """Raise ConfigError for the first of the source's `spider_args` that the spider does not use, with the names that it takes.

    Scrapy makes every argument an attribute of the spider, so a misspelt one would have no effect. The spider takes the parameters of its
    constructors, and attributes that it has or reads. It takes every name if a constructor uses its **kwargs itself, or has no source text.
    """
    classes = [each for each in spider_class.__mro__ if each not in scrapy.Spider.__mro__]
    try:
        trees = [ast.parse(textwrap.dedent(inspect.getsource(each))) for each in classes]
    except (OSError, TypeError, SyntaxError):
        return
    constructors = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in CONSTRUCTORS]
    if any(map(_uses_kwargs, constructors)):
        return
    parameters = {one.arg for constructor in constructors for one in (*constructor.args.args[1:], *constructor.args.kwonlyargs)}
    attributes = {name for tree in trees for name in _read_attributes(tree) if not hasattr(spider_class, name)}
    unknown = [name for name in source.spider_args if name not in parameters | attributes and not hasattr(spider_class, name)]
    if unknown:
        names = sorted(parameters - {"crawler"} or attributes)
        raise ConfigError(
            f'source "{source.name}": spider_args: {spider_class.__name__} takes no argument {unknown[0]!r}; '
            f"it takes {', '.join(names) or 'none'}"
        )


def _uses_kwargs(constructor: ast.FunctionDef) -> bool:
    """Whether it does more with its **kwargs than to hand them on to another constructor."""
    if constructor.args.kwarg is None:
        return False
    name = constructor.args.kwarg.arg
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(constructor))
    handed_on = sum(
        isinstance(keyword.value, ast.Name) and keyword.value.id == name
        for node in ast.walk(constructor)
        if isinstance(node, ast.Call) and _is_constructor(node.func)
        for keyword in node.keywords
        if keyword.arg is None
    )
    return uses > handed_on


def _is_constructor(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(attr=name):
            return name in CONSTRUCTORS
        case ast.Name("cls"):
            return True
    return False


def _read_attributes(tree: ast.AST) -> Iterator[str]:
    """The names in `self.NAME` and `getattr(self, "NAME")`, where the value is read. `spider` is the same object in a constructor."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("self" | "spider"), attr=name, ctx=ast.Load()):
                yield name
            case ast.Call(func=ast.Name("getattr"), args=[ast.Name("self" | "spider"), ast.Constant(value=str(name)), *_]):
                yield name


# ---- the spider of a test of a source without one: reads its listings and some of the articles they list ------------------------

ARTICLES_PER_LISTING = 3  # fetched and extracted; the others are shown as links
DISCOVERED_LISTINGS = 5  # of a homepage, followed
MAX_TEST_SECONDS = 300.0


def make_test_request(source: Source, limit: int) -> RunRequest:
    """A run that shows up to `limit` results of the source and stores nothing."""
    limits = replace(source.spider_limits, seconds=min(source.spider_limits.seconds, MAX_TEST_SECONDS), pages=limit)
    if source.spider is None:
        arguments = {"listings": json.dumps([[kind.value, url] for kind, url in list_listings(source)])}
        source = replace(source, spider=f"{__name__}:{ListingsSpider.__name__}", spider_args=arguments)
        limits = replace(SpiderLimits(), seconds=MAX_TEST_SECONDS, pages=limit)
    return RunRequest(replace(source, spider_limits=limits), test=True)


def list_listings(source: Source) -> list[tuple[Kind, str]]:
    """The listings of a source's settings."""
    listings = [(Kind.FEED, url) for url in source.feeds]
    listings += [(Kind.SITEMAP, url) for url in source.sitemaps]
    listings += [(Kind.SECTION, url) for url in source.sections]
    if source.homepage is not None and source.discover:
        listings.append((Kind.HOMEPAGE, source.homepage))
    return listings


class ListingsSpider(Spider):
    """Yields the links of each listing, and the pages of the first ones."""

    name = "listings"

    def __init__(self, listings: str, **kwargs: Any) -> None:
        """`listings` is a JSON list of pairs: kind and URL."""
        super().__init__(**kwargs)
        self.listings = [(Kind(kind), url) for kind, url in json.loads(listings)]
        self.parser = ListingParser()

    async def start(self) -> AsyncIterator[Any]:
        for kind, url in self.listings:
            yield Request(url, cb_kwargs={"kind": kind, "depth": 0})

    async def parse(self, response: Response, kind: Kind, depth: int) -> AsyncIterator[Any]:
        request = ParseRequest(
            kind=kind,
            listed_at=response.url,
            url=response.url,
            source=None,
            sites=list_sites(None, response.url),
            now=datetime.now(UTC),
            content_type=(response.headers.get(b"Content-Type") or b"").decode("latin-1") or None,
        )
        try:
            async for links in self.parser.read(request, response.body):
                for result in self._follow(links, depth):
                    yield result
                break  # the first batch is enough for a test
        except (ListingError, DecodeError) as error:
            self.logger.error("%s %s cannot be read: %s", kind, response.url, error)

    def _follow(self, links: ParsedLinks, depth: int) -> list[Any]:
        results: list[Any] = [self._show(link, number) for number, link in enumerate(links.pages)]
        if depth == 0:
            found = (*links.listings, *links.refetch)[:DISCOVERED_LISTINGS]
            results += [Request(link.url, cb_kwargs={"kind": link.kind, "depth": 1}) for link in found]
        return results

    def _show(self, link: Link, number: int) -> Any:
        return Request(link.url, callback=self.parse_article) if number < ARTICLES_PER_LISTING else LinkItem(link.url, hint=link.hint)

    def parse_article(self, response: Response) -> Any:
        yield page(response)

    async def closed(self, reason: str) -> None:
        await self.parser.close()
