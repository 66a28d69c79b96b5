"""The client of S3 buckets: fsspec's, which follows no redirect.

The operator names the bucket, and its server by AWS_ENDPOINT_URL. Where this server redirects to, nobody has typed. botocore itself asks
another region of a bucket without a redirect.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from newsmill.version import install_hint


def open_buckets(options: Mapping[str, Any] | None = None) -> Any:
    """The file system of all buckets. It connects to nothing. `options` go to the client. Raises ImportError, with the remedy."""
    # fsspec costs 0.05 s of CPU, which a path need not spend
    import fsspec  # type: ignore[import-untyped]  # it has no type hints

    given = dict(options or {})
    try:
        config = {**given.pop("config_kwargs", {}), "http_session_cls": _make_session_class()}
        return fsspec.filesystem("s3", config_kwargs=config, **given)
    except ImportError as error:
        raise ImportError(f"{error}; {install_hint('s3')}") from error


@cache
def _make_session_class() -> type:
    from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]

    class DirectSession(AIOHTTPSession):  # type: ignore[misc]
        async def _get_session(self, proxy_url: str | None) -> _DirectRequests:
            return _DirectRequests(await super()._get_session(proxy_url))

    return DirectSession


class _DirectRequests:
    """An aiohttp session that follows no redirect."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def request(self, *words: Any, **options: Any) -> Any:
        return self._session.request(*words, **options, allow_redirects=False)


def client_errors() -> tuple[type[Exception], ...]:
    """Errors of the client that fsspec does not turn into OSError: no connection, no credentials, HTTP 503."""
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # comes with the extra `s3`

    return (BotoCoreError,)
