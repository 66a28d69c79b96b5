"""Which arguments a spider takes."""

from __future__ import annotations

from typing import Any

import pytest
import scrapy

from crawler.spider_runs.source_spider import check_arguments
from crawler.spiders.cursor_scroll import CursorScrollSpider
from newsmill.exceptions import ConfigError
from newsmill.model import Source


class Inherited(CursorScrollSpider):
    def __init__(self, edition: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.edition = edition


class Attributes(scrapy.Spider):
    """Without a constructor: Scrapy makes attributes of all arguments."""

    section = "news"

    def parse(self, response: Any) -> Any:
        return self.url, getattr(self, "tag", None)


class OwnNames(scrapy.Spider):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.tag = kwargs.pop("tag", None)
        super().__init__(*args, **kwargs)


class FromCrawler(scrapy.Spider):
    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, region: str = "", **kwargs: Any) -> Any:
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.start_urls = [f"https://www.example.org/{region}"]
        return spider


class Plain(scrapy.Spider):
    pass


@pytest.mark.parametrize(
    ("spider", "arguments", "unknown", "known"),
    [
        (CursorScrollSpider, ("url", "scrolls"), "scrols", "link_css, scrolls, url"),
        (Inherited, ("edition", "url"), "editon", "edition, link_css, scrolls, url"),
        (Attributes, ("url", "tag", "section"), "link", "tag, url"),
        (FromCrawler, ("region",), "regoin", "region"),
        (Plain, (), "url", "none"),
    ],
)
def test_an_argument_without_effect_is_an_error(spider: type[scrapy.Spider], arguments: tuple[str, ...], unknown: str, known: str) -> None:
    check_arguments(spider, Source("paper", spider_args=dict.fromkeys(arguments, "1")))
    with pytest.raises(ConfigError) as error:
        check_arguments(spider, Source("paper", spider_args=dict.fromkeys((*arguments, unknown), "1")))
    assert str(error.value) == f'source "paper": spider_args: {spider.__name__} takes no argument {unknown!r}; it takes {known}'


def test_a_constructor_that_uses_its_kwargs_takes_every_name() -> None:
    check_arguments(OwnNames, Source("paper", spider_args={"anything": "1"}))


def test_without_source_text_every_name_is_taken() -> None:
    check_arguments(type("Made", (scrapy.Spider,), {}), Source("paper", spider_args={"anything": "1"}))
