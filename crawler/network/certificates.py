"""Checks the certificates of servers, and says why one is refused.

Twisted's own check only says that the verification failed, and it accepts a certificate of a trusted authority that names no host.

VerifyingContextFactory extends a class private to Scrapy 2.19 and uses names private to Twisted: pyproject pins Scrapy to a minor version,
and tests fetch from servers with bad certificates.
"""

from __future__ import annotations

import logging
import weakref
from functools import partial
from typing import Any

from OpenSSL.crypto import X509
from OpenSSL.SSL import VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER, Connection
from scrapy.core.downloader.contextfactory import _ScrapyClientContextFactory
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet._sslverify import ClientTLSOptions
from twisted.python.failure import Failure

from newsmill.text.sentences import Sentence, join_sentences

log = logging.getLogger(__name__)

_REMEDY = Sentence("SSL_CERT_FILE can name a file with certificates to trust")
_NO_AUTHORITY = Sentence("the server does not send the certificate of its authority, or the authority is not trusted")
# OpenSSL's numbers (X509_V_ERR_…) of the errors that servers have.
REASONS = {
    9: join_sentences([Sentence("the certificate is not valid yet"), Sentence("check the clock of this machine")]),
    10: Sentence("the certificate has expired"),
    18: join_sentences([Sentence("the certificate is self-signed"), _REMEDY]),
    19: join_sentences([Sentence("the certificate is of an authority that is not trusted"), _REMEDY]),
    20: join_sentences([_NO_AUTHORITY, _REMEDY]),
    21: join_sentences([_NO_AUTHORITY, _REMEDY]),
}


class CertificateRefusedError(Exception):
    """Raised for a connection whose certificate is refused. The message is the reason."""


class VerifyingContextFactory(_ScrapyClientContextFactory):
    """Scrapy's context factory, whose connections say why they refuse a certificate."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802 (Twisted's name)
        return VerifyingOptions(super().creatorForNetloc(hostname, port)._createConnection, hostname.decode("ascii"))


class VerifyingOptions(ClientTLSOptions):
    """Makes connections to one host with the check of this module."""

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Connection:  # noqa: N802, N803 (Twisted's names)
        connection = super().clientConnectionForTLS(tlsProtocol)
        host = DNS_ID(self._hostnameASCII) if self._hostnameIsDnsName else IPAddress_ID(self._hostnameASCII)
        check = partial(_check, weakref.ref(tlsProtocol), host)  # a strong reference would keep both for ever
        connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, check)
        return connection


def _check(tls: weakref.ref[Any], host: ServiceID, _: Connection, certificate: X509, error: int, depth: int, is_valid: int) -> bool:
    """OpenSSL calls this for each certificate of the chain, last the server's own (depth 0)."""
    try:
        reason = _find_refusal(host, certificate, error, depth, bool(is_valid))
    except Exception as bug:  # the border to OpenSSL, where an exception is lost; parsers of hostile certificates raise many classes
        log.exception("a certificate could not be checked")
        reason = Sentence("the certificate could not be checked: {error}", error=bug)
    if reason is not None and (protocol := tls()) is not None:
        protocol.failVerification(Failure(CertificateRefusedError(reason)))  # type: ignore[no-untyped-call]
    return reason is None


def _find_refusal(host: ServiceID, certificate: X509, error: int, depth: int, is_valid: bool) -> str | None:
    if not is_valid:
        return REASONS.get(error, Sentence("the certificate is not valid (error {n} of OpenSSL)", n=error))
    if depth == 0:
        try:
            verify_service_identity(extract_patterns(certificate), [host], [])
        except (VerificationError, CertificateError):  # it names other hosts, or none
            return Sentence("the certificate is for another host")
    return None
