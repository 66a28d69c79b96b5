"""Which body of a rendered page gives its document: the DOM, or the body of the response if the DOM has none.

A script may make the DOM too large to read, or remove the text that the response has.
"""

from __future__ import annotations

from dataclasses import replace

from newsmill.model import ExtractionResult
from newsmill.text.sentences import Sentence, keyed


def choose_body(rendered: ExtractionResult, response: ExtractionResult) -> ExtractionResult:
    """The result of the rendered DOM, which has no document, or that of the body of the response if it has one."""
    if response.document is None:
        return rendered
    detail, reason = rendered.ending.detail, Sentence("the rendered page is {outcome}", outcome=rendered.ending.outcome)
    reason = keyed(reason, detail) if detail else reason
    return replace(warn_of_failed_rendering(response, reason), rendering_failure=reason)


def warn_of_failed_rendering(result: ExtractionResult, reason: str | None) -> ExtractionResult:
    """The result, whose document says why it is that of the body of the response although its source asks for rendering."""
    if reason is None or result.document is None:
        return result
    warnings = (*result.document.warnings, Sentence("not rendered: {reason}", reason=reason))
    return replace(result, document=replace(result.document, warnings=warnings))
