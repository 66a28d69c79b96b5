"""The content of a message about an alarm of a source: text and HTML for people, JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass

from newsmill.context import AppContext
from newsmill.notifications.alarms import AlarmMessage
from newsmill.notifications.channels.mail import one_line
from newsmill.notifications.channels.targets import MessageContent
from newsmill.storage.alarms import Notified
from newsmill.web.api.source_records import to_alarm
from newsmill.web.pages.rendering import template_environment
from newsmill.web.pages.source_health_view import describe_cause
from newsmill.web.pages.template_filters import shorten
from newsmill.web.pages.translations import load_translations

MAX_LINE_CHARACTERS = 1000
MAX_SUBJECT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class AlarmMessages:
    """Writes the messages in the language of the settings, with links to the pages if their URL is set."""

    context: AppContext
    base_url: str | None = None

    def __call__(self, message: AlarmMessage) -> MessageContent:
        """The content of a message about the beginning or the end of an alarm."""
        words, alarm = load_translations(self.context.settings.health_language), message.alarm
        now, base = self.context.now(), self.base_url.rstrip("/") if self.base_url else None
        name = alarm.source or words("alarmmail.all")
        cause = describe_cause(alarm.source, alarm.finding, words, now)
        is_over = message.event is Notified.END
        title = words("alarmmail.over", name=name, cause=cause.title) if is_over else words("alarmmail.begun", name=name, cause=cause.title)
        lines = [f"{words('source_health.evidence')} {cause.evidence}"]
        lines += [] if is_over else [f"{words('source_health.remedy')} {cause.remedy}"]
        lines = [shorten(one_line(line), MAX_LINE_CHARACTERS) for line in lines]
        url = f"{base}/{f'sources/{alarm.source}' if alarm.source else ''}" if base else None
        title = shorten(one_line(title), MAX_SUBJECT_CHARACTERS)
        html = template_environment().get_template("alarm_mail.html").render(t=words, title=title, lines=lines, url=url)
        payload = {
            "type": "source.alarm.ended" if is_over else "source.alarm.begun",
            "timestamp": now.isoformat(),
            "data": {"source": alarm.source or None, "title": title, "alarm": to_alarm(alarm).model_dump(mode="json"), "id": alarm.id},
        }
        return MessageContent(message.id, now, title, "\n\n".join([*lines, *([url] if url else [])]) + "\n", html, payload)
