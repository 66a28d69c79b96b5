"""Turns the exception of a failed download into an outcome.

Scrapy and Twisted wrap the reason of a failure; the innermost cause decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as SSLError
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone

from crawler.network.certificates import CertificateRefusedError
from crawler.network.header_limit import HeadTooLongError
from crawler.network.proxy_route import ProxyError, make_refusal_outcome
from crawler.settings import DEADLINE_SECONDS
from newsmill.model import Outcome, OutcomeRecord
from newsmill.network.address_guard import REFUSED_HOSTS
from newsmill.text import urls
from newsmill.text.sentences import Sentence, cut_sentence, keyed

MAX_ERROR_CHARACTERS = 300

# What Scrapy's downloader raises when a fetch fails. Any other exception is a bug and is not caught.
DOWNLOAD_ERRORS = (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    NotSupported,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
    ConnectError,  # no route, network unreachable
    ConnectionClosed,
    ProxyError,
    ValueError,  # a URL that Scrapy or Twisted refuses to build a request from
)


def failure_outcome(error: Exception, url: str) -> OutcomeRecord:
    """The outcome of one of DOWNLOAD_ERRORS, raised for `url`."""
    text = cut_sentence(str(error), MAX_ERROR_CHARACTERS)
    match error:
        case ProxyError():
            return OutcomeRecord(Outcome.PROXY_ERROR, text)
        case DownloadConnectionRefusedError():
            return OutcomeRecord(Outcome.REFUSED, _describe_refused_connection(text))
        case CannotResolveHostError():
            host = urlsplit(urls.normalize(url)).hostname or ""
            refusal = REFUSED_HOSTS.get(host)
            return OutcomeRecord(Outcome.DNS, _describe_dns_failure(text, host)) if refusal is None else make_refusal_outcome(host, refusal)
        case DownloadTimeoutError():
            return OutcomeRecord(Outcome.TIMEOUT, Sentence("no complete response within {n:.0f} seconds", n=DEADLINE_SECONDS))
        case ResponseDataLossError():
            return OutcomeRecord(Outcome.DATA_LOSS, Sentence("the body was shorter than announced"))
        case DownloadCancelledError():
            return OutcomeRecord(Outcome.TOO_LARGE, text or Sentence("the body is larger than the limit"))
        case NotSupported() | UnsupportedURLSchemeError() | ValueError():
            return OutcomeRecord(Outcome.BAD_URL, text)
        case _:
            return _connection_outcome(error)


def _describe_refused_connection(text: str) -> str:
    """Twisted's text with its own reason as a value."""
    reason = text.removeprefix("Connection was refused by other side: ")
    return text if reason == text else Sentence("Connection was refused by other side: {error}", error=reason)


def _describe_dns_failure(text: str, host: str) -> str:
    """Twisted's text with its own reason as a value."""
    no_address = Sentence("DNS lookup failed: no results for hostname lookup: {host}", host=host)
    if text == no_address:
        return no_address
    reason = text.removeprefix("DNS lookup failed: ")
    return text if reason == text else Sentence("DNS lookup failed: {error}", error=reason)


def describe_error(error: BaseException) -> str:
    """The class and the beginning of the message of an error of code that is not ours."""
    text = cut_sentence(str(error), MAX_ERROR_CHARACTERS)
    return keyed(type(error).__name__, text) if text else type(error).__name__


def _connection_outcome(error: Exception) -> OutcomeRecord:
    """The outcome of a broken connection. Scrapy keeps Twisted's reasons two levels down."""
    for cause in iterate_causes(error):
        match cause:
            case HeadTooLongError():
                return OutcomeRecord(Outcome.TOO_MANY_HEADERS, str(cause))
            case CertificateRefusedError():
                return OutcomeRecord(Outcome.TLS, str(cause))
            case SSLError():
                return OutcomeRecord(Outcome.TLS, _describe_tls_error(cause))
    return OutcomeRecord(Outcome.CONNECTION, _describe_broken_connection(error))


def _describe_broken_connection(error: Exception) -> str:
    """What the innermost reason means. Twisted's parser raises errors of any class for what is not HTTP."""
    match cause := list(iterate_causes(error))[-1]:
        case ConnectionDone():
            return Sentence("the server closed the connection without a complete response")
        case ConnectionClosed():
            return Sentence("the connection broke before the response was complete")
        case ConnectError():
            return Sentence("no connection: {error}", error=cut_sentence(str(cause), MAX_ERROR_CHARACTERS))
        case _ if cause is error:
            return describe_error(error)
        case _:
            return Sentence("the response is not valid HTTP: {error}", error=describe_error(cause))


def iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, and the reasons that Twisted collected, outermost first."""
    yield error
    for twisted_failure in getattr(error, "reasons", None) or ():
        yield from iterate_causes(twisted_failure.value)
    if error.__cause__ is not None:
        yield from iterate_causes(error.__cause__)


def _describe_tls_error(error: BaseException) -> str:
    messages = [entry[-1] for entry in (error.args[0] if error.args else ()) if entry[-1]]
    return Sentence("no TLS connection: {error}", error=", ".join(messages) or type(error).__name__)
