"""Cookies where the user has enabled them. Scrapy loads this module by name, because it costs 5 MB of memory."""

from __future__ import annotations

from scrapy import Request, Spider
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http import Response
from scrapy.http.cookies import CookieJar

MAX_COOKIE_JARS = 10_000  # in memory; a URL without a source has a jar for its host
MAX_COOKIES = 300  # of one source or host; browsers keep 180 of one site
MAX_COOKIE_BYTES = 4096  # of one cookie's name and value (RFC 6265 section 6.1)


class BoundedCookiesMiddleware(CookiesMiddleware):
    """Scrapy's middleware for cookies with bounds of memory: a server can set cookies without end."""

    def process_request(self, request: Request, spider: Spider | None = None) -> Request | Response | None:
        if len(self.jars) > MAX_COOKIE_JARS:
            of_hosts = [key for key in self.jars if str(key).startswith("host ")]
            for key in of_hosts[: len(of_hosts) // 2 + 1]:
                del self.jars[key]
        return super().process_request(request)

    def process_response(self, request: Request, response: Response, spider: Spider | None = None) -> Request | Response:
        result = super().process_response(request, response)
        jar = self.jars[request.meta.get("cookiejar")]
        cookies = list(jar)
        if len(cookies) > MAX_COOKIES:
            jar.clear()
        elif any(len(cookie.name) + len(cookie.value or "") > MAX_COOKIE_BYTES for cookie in cookies):
            _drop_large_cookies(jar)
        return result


def _drop_large_cookies(jar: CookieJar) -> None:
    for cookie in list(jar):
        if len(cookie.name) + len(cookie.value or "") > MAX_COOKIE_BYTES:
            jar.clear(cookie.domain, cookie.path, cookie.name)
