"""The spider of a source: its class, found in the administrator's folders or a package, with its arguments checked.

A source without a spider has one for `newsmill sources test` too.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import scrapy

import crawler.spiders
from crawler.user_settings.user_modules import import_user_module
from newsmill.context import data_folder
from newsmill.exceptions import ConfigError
from newsmill.model import Source
from newsmill.settings import Settings
from newsmill.text.sentences import Sentence, keyed

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
        lambda reason: Sentence(
            "{setting}: module {name} cannot be imported ({error}); searched {path} and installed packages",
            setting=where,
            name=module_name,
            error=reason[:300],
            path=searched,
        ),
    )
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, scrapy.Spider)):
        names = sorted(
            name
            for name, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, scrapy.Spider) and value is not scrapy.Spider
        )
        listed = ", ".join(names) or "none"
        no_spider = Sentence("{module} has no spider {name}; it has {names}", module=module_name, name=class_name, names=listed)
        raise ConfigError(keyed(where, no_spider))
    return found


def find_start_hint(spider_class: type[scrapy.Spider]) -> str | None:
    """What to rename in a spider written for Scrapy before 2.13: today's Scrapy does not call its first requests."""
    own = {name for each in spider_class.__mro__ if each not in scrapy.Spider.__mro__ for name in vars(each)}
    if "start_requests" not in own or "start" in own:
        return None
    return Sentence(
        "{name}.start_requests is not called by Scrapy {version}; make it `async def start(self)`",
        name=spider_class.__name__,
        version=scrapy.__version__,
    )


def spider_folders(settings: Settings) -> tuple[Path, ...]:
    """The folders that spiders' modules are searched in: `spiders/` of the configuration and of the data folder, and that of a clone."""
    config = (settings.config or Path("config")).absolute()
    return config / "spiders", data_folder(settings) / "spiders", Path("crawler/spiders").absolute()


def check_arguments(spider_class: type[scrapy.Spider], source: Source) -> None:
    """Raise ConfigError for the first of the source's `spider_args` that the spider does not use, with the names that it takes.

    Scrapy makes every argument an attribute of the spider, so a misspelt one would have no effect. The spider takes the parameters of its
    constructors, and attributes that it has or reads. It takes every name if a constructor uses its **kwargs itself, or has no source text.
    """
    trees = _parse_classes(spider_class)
    if trees is None:
        return
    constructors = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in CONSTRUCTORS]
    if any(map(_uses_kwargs, constructors)):
        return
    parameters = {one.arg for constructor in constructors for one in (*constructor.args.args[1:], *constructor.args.kwonlyargs)}
    attributes = {name for tree in trees for name in _read_attributes(tree) if not hasattr(spider_class, name)}
    unknown = [name for name in source.spider_args if name not in parameters | attributes and not hasattr(spider_class, name)]
    if unknown:
        names = sorted(parameters - {"crawler"} or attributes)
        refusal = Sentence(
            "{spider} takes no argument {name}; it takes {names}",
            spider=spider_class.__name__,
            name=repr(unknown[0]),
            names=", ".join(names) or "none",
        )
        raise ConfigError(keyed(f'source "{source.name}": spider_args', refusal))


def _parse_classes(spider_class: type[scrapy.Spider]) -> list[ast.Module] | None:
    """The source text of a spider and of its parents that are not Scrapy's; None if one has none."""
    try:
        return [ast.parse(textwrap.dedent(inspect.getsource(each))) for each in spider_class.__mro__ if each not in scrapy.Spider.__mro__]
    except (OSError, TypeError, SyntaxError):
        return None


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
