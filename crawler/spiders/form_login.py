"""An example: a site whose articles can be read after a log-in with a form. The session is a cookie, which Scrapy keeps for the run.

    [sources.paper]
    spider = "crawler.spiders.form_login:FormLoginSpider"
    spider_args = { login = "https://www.example.org/login", url = "https://www.example.org/archive" }

User name and password come from the environment, because the arguments of a spider are stored in the database:
PAPER_USER and PAPER_PASSWORD, or the names in `user_variable` and `password_variable`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from scrapy import FormRequest, Request, Spider
from scrapy.exceptions import CloseSpider
from scrapy.http import Response, TextResponse

from newsmill.scrapy import page


class FormLoginSpider(Spider):
    """Logs in, then hands over the page of every article in a paginated list."""

    name = "form_login"

    def __init__(
        self,
        login: str,
        url: str,
        link_css: str = "article a::attr(href)",
        next_css: str = "a[rel=next]::attr(href)",
        user_variable: str = "PAPER_USER",
        password_variable: str = "PAPER_PASSWORD",  # noqa: S107 - the name of a variable
        **kwargs: Any,
    ) -> None:
        """`login` is the page with the form, `url` the first page of the list."""
        super().__init__(**kwargs)
        self.login = login
        self.url = url
        self.link_css = link_css
        self.next_css = next_css
        self.fields = {"user": os.environ[user_variable], "password": os.environ[password_variable]}

    async def start(self) -> AsyncIterator[Any]:
        yield Request(self.login, callback=self.log_in)

    def log_in(self, response: Response) -> Iterator[Any]:
        """Send the form of the page with its hidden fields, such as a token against CSRF."""
        assert isinstance(response, TextResponse), f"{response.url} is not a page"
        yield FormRequest.from_response(response, formdata=self.fields, callback=self.open_list, dont_click=True)

    def open_list(self, response: Response) -> Iterator[Any]:
        """The response to the form, after its redirects. A site that refuses the password shows the form again."""
        if response.css("input[type=password]"):
            raise CloseSpider("the site refused the user name or the password")
        yield Request(self.url)

    def parse(self, response: Response) -> Iterator[Any]:
        assert isinstance(response, TextResponse), f"{response.url} is not a page"
        yield from response.follow_all(css=self.link_css, callback=self.parse_article, meta={"skip_known": True})
        yield from response.follow_all(css=self.next_css)

    def parse_article(self, response: Response) -> Iterator[Any]:
        yield page(response)
