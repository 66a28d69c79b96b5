"""The content of a message about new matches of a saved search: text and HTML for people, JSON for programs.

Titles and URLs come from other sites and are hostile: HTML is escaped by the templates, headers are checked by build_mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsmill.context import AppContext
from newsmill.notifications.channels.mail import one_line
from newsmill.notifications.channels.targets import MessageContent
from newsmill.storage.alerts import MAX_WEBHOOK_DOCUMENTS, Alert, Channel
from newsmill.storage.changes import Changes, StoredDocument
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.web.api.change_stream import summarize
from newsmill.web.pages.rendering import template_environment
from newsmill.web.pages.template_filters import link, shorten
from newsmill.web.pages.translations import Translations, load_translations

# Services cut a message at 1,000 to 4,000 characters.
MAX_LISTED = {Channel.EMAIL: 50, Channel.WEBHOOK: MAX_WEBHOOK_DOCUMENTS, Channel.APPRISE: 10}
MAX_TITLE_CHARACTERS = 200
MAX_SUBJECT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """The new matches of a search. `documents`: some of them, newest first; `total`: all. `base`: the URL of the pages, if it is set."""

    id: str
    search: SavedSearch
    documents: Sequence[StoredDocument]
    total: int
    at: datetime
    words: Translations
    base: str | None
    is_test: bool = False

    @property
    def more(self) -> int:
        """Matches that are not listed."""
        return self.total - len(self.documents)

    @property
    def search_url(self) -> str | None:
        return f"{self.base}/searches/{self.search.id}" if self.base else None


@dataclass(frozen=True, slots=True)
class AlertMessages:
    """Writes the messages of alerts (`newsmill.notifications.alerts.AlertWriter`)."""

    context: AppContext
    base_url: str | None = None

    def write(self, alert: Alert) -> MessageContent | None:
        """The message in progress of an alert; None if its documents were removed. Raises ServiceError."""
        until = alert.until or 0
        documents = read_matches(self.context, alert, after=alert.notified, before=until + 1)
        return self._write(alert, str(alert.delivery), documents, until - alert.notified) if documents else None

    def write_test(self, alert: Alert, message_id: str) -> MessageContent:
        """A message that tests an alert, with some documents that matched before. Raises ServiceError."""
        documents = read_matches(self.context, alert, after=0, before=None, limit=3)
        return self._write(alert, message_id, documents, len(documents), is_test=True)

    def _write(
        self, alert: Alert, message_id: str, documents: Sequence[StoredDocument], total: int, *, is_test: bool = False
    ) -> MessageContent:
        words, base = load_translations(alert.language), self.base_url.rstrip("/") if self.base_url else None
        return render(AlertMessage(message_id, alert.search, documents, total, self.context.now(), words, base, is_test))


def render(message: AlertMessage) -> MessageContent:
    """The message for every channel."""
    title, rows = title_of(message), [describe(message, document) for document in message.documents]
    html = template_environment().get_template("alert_mail.html").render(t=message.words, message=message, title=title, documents=rows)
    return MessageContent(message.id, message.at, title, write_text(message), html, payload_of(message))


def read_matches(context: AppContext, alert: Alert, *, after: int, before: int | None, limit: int | None = None) -> list[StoredDocument]:
    """The newest matches with these numbers, newest first, as far as they are listed and still stored."""
    searches = SavedSearches(context.engine)
    found = searches.list_matches(alert.search.id, after=after, before=before, limit=limit or MAX_LISTED[alert.channel])
    by_id = {document.id: document for document in Changes(context.engine).get_many([match.document_id for match in found])}
    return [by_id[match.document_id] for match in found if match.document_id in by_id]


def title_of(message: AlertMessage) -> str:
    """The subject, on one line."""
    words, name = message.words, message.search.name
    title = words("alertmail.test", name=name) if message.is_test else words.n("alertmail.subject", message.total, name=name)
    return shorten(one_line(title), MAX_SUBJECT_CHARACTERS)


def write_text(message: AlertMessage) -> str:
    """The message as plain text."""
    words = message.words
    parts = [words("alertmail.intro", query=one_line(message.search.query))]
    parts += ["\n".join(filter(None, describe(message, document))) for document in message.documents]
    if message.more > 0:
        parts.append(words.n("alertmail.more", message.more))
    parts += [words("alertmail.manage", url=message.search_url)] if message.search_url else []
    return "\n\n".join(parts) + "\n"


def describe(message: AlertMessage, document: StoredDocument) -> tuple[str, str, str]:
    """The lines of one document: title, origin, URL."""
    title = shorten(one_line(document.title or message.words("document.untitled")), MAX_TITLE_CHARACTERS)
    origin = " · ".join(filter(None, (document.source, message.words.day(document.published_at or document.first_seen_at))))
    return title, origin, link(document.url) or ""


def payload_of(message: AlertMessage) -> dict[str, Any]:
    """The message in the envelope of Standard Webhooks, its documents oldest first."""
    search = {"id": message.search.id, "name": message.search.name, "query": message.search.query}
    data = {"search": search, "documents": [summarize(document) for document in reversed(message.documents)]}
    return {"type": "ping" if message.is_test else "search.matched", "timestamp": message.at.isoformat(), "data": data}
