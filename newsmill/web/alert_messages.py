"""The content of a message about new matches of a saved search: text and HTML for people, JSON for programs.

Titles and URLs come from other sites and are hostile: HTML is escaped by the templates, headers are checked by build_mail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsmill.context import AppContext
from newsmill.model import Story
from newsmill.notifications.channels.mail import one_line
from newsmill.notifications.channels.targets import MessageContent
from newsmill.storage.alerts import MAX_WEBHOOK_DOCUMENTS, Alert, Channel
from newsmill.storage.changes import Changes, StoredDocument
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.storage.stories import Stories
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
    """The new matches of a search. `documents`: some of them, newest first; `total`: all. `base`: the URL of the pages, if it is set.

    `stories`: those of the documents, if the search matches stories.
    """

    id: str
    search: SavedSearch
    documents: Sequence[StoredDocument]
    total: int
    at: datetime
    words: Translations
    base: str | None
    stories: Mapping[str, Story]
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
        ids = [document.id for document in documents] if alert.search.story_sources is not None else []
        stories = Stories(self.context.engine).of_documents(ids)
        return render(AlertMessage(message_id, alert.search, documents, total, self.context.now(), words, base, stories, is_test))


def render(message: AlertMessage) -> MessageContent:
    """The message for every channel."""
    title, rows = title_of(message), [describe(message, document) for document in message.documents]
    html = (
        template_environment()
        .get_template("alert_mail.html")
        .render(t=message.words, message=message, title=title, documents=rows, intro=introduce(message), more=count_more(message))
    )
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
    if message.is_test:
        title = words("alertmail.test", name=name)
    elif message.search.story_sources is None:
        title = words.n("alertmail.subject", message.total, name=name)
    else:
        title = words.n("alertmail.story_subject", message.total, name=name)
    return shorten(one_line(title), MAX_SUBJECT_CHARACTERS)


def write_text(message: AlertMessage) -> str:
    """The message as plain text."""
    words = message.words
    parts = [introduce(message)]
    parts += ["\n".join(filter(None, describe(message, document))) for document in message.documents]
    if message.more > 0:
        parts.append(count_more(message))
    parts += [words("alertmail.manage", url=message.search_url)] if message.search_url else []
    return "\n\n".join(parts) + "\n"


def introduce(message: AlertMessage) -> str:
    """What the search matches."""
    words, sources, query = message.words, message.search.story_sources, one_line(message.search.query)
    if sources is None:
        return words("alertmail.intro", query=query)
    return words("alertmail.story_intro", n=sources, query=query) if query else words("alertmail.any_story_intro", n=sources)


def count_more(message: AlertMessage) -> str:
    """The number of matches that are not listed."""
    words = message.words
    if message.search.story_sources is None:
        return words.n("alertmail.more", message.more)
    return words.n("alertmail.more_stories", message.more)


def describe(message: AlertMessage, document: StoredDocument) -> tuple[str, str, str]:
    """The lines of one document: title, origin, URL."""
    words, story = message.words, message.stories.get(document.id)
    title = shorten(one_line((story and story.title) or document.title or words("document.untitled")), MAX_TITLE_CHARACTERS)
    sources = None if story is None else words.n("stories.of_sources", story.sources)
    origin = " · ".join(filter(None, (sources, document.source, words.day(document.published_at or document.first_seen_at))))
    return title, origin, f"{message.base}/stories/{story.id}" if story is not None and message.base else link(document.url) or ""


def payload_of(message: AlertMessage) -> dict[str, Any]:
    """The message in the envelope of Standard Webhooks, its documents oldest first."""
    search = {"id": message.search.id, "name": message.search.name, "query": message.search.query}
    data: dict[str, Any] = {"search": search, "documents": [summarize(document) for document in reversed(message.documents)]}
    if message.search.story_sources is not None:
        names = ("id", "title", "sources", "documents")
        found = {story.id: story for document in reversed(message.documents) if (story := message.stories.get(document.id))}
        data["stories"] = [{name: getattr(story, name) for name in names} for story in found.values()]
    return {"type": "ping" if message.is_test else "search.matched", "timestamp": message.at.isoformat(), "data": data}
