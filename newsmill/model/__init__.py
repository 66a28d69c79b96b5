"""The data model, in the order of processing: source → link → page → article → document.

All classes are frozen, and lists are tuples, so that an object can be shared between steps. All datetimes are timezone-aware UTC.
"""

from newsmill.model.blocks import Block, BlockType, ListItem, Markup, TableCell, TextLink
from newsmill.model.captures import Capture, CaptureOutcome, Skipped
from newsmill.model.copies import CopyGroup, DocumentCopy, NearDuplicate
from newsmill.model.documents import (
    DOUBTFUL_CONFIDENCE,
    MIN_UPDATE_CHARACTERS,
    Author,
    AuthorType,
    Document,
    DocumentMarks,
    Image,
    LiveUpdate,
    MarkKind,
    is_doubtful,
)
from newsmill.model.links import Hint, ImportCounts, Kind, Link, Listing, SubmissionCounts, WarcCounts
from newsmill.model.outcomes import NETWORK_FAILURES, OUTCOMES, Outcome, OutcomeRecord, State, describe_failure, get_refusal
from newsmill.model.pages import (
    RENDERED_TYPE,
    SPIDER,
    ArticleItem,
    ClaimedPage,
    LeasedUrl,
    Page,
    PageReceipt,
    PageStatus,
    Rendering,
    Segment,
)
from newsmill.model.reextraction import Judgement, PassOptions, ReextractedDocument, ReextractionPass, Verdict
from newsmill.model.results import ExtractionPath, ExtractionResult
from newsmill.model.revisions import Revision, RevisionCause, RevisionSummary
from newsmill.model.site_profiles import POSITION_FIELDS, ArticleNorm, FieldStats, LineStats, PathStats, Profile
from newsmill.model.sources import Politeness, Render, Rules, Source, SpiderLimits
from newsmill.model.stories import MoreOfSite, Story, StoryDetail, StoryEvent, StoryEventKind, StoryLead, StoryMember

__all__ = [
    "DOUBTFUL_CONFIDENCE",
    "MIN_UPDATE_CHARACTERS",
    "NETWORK_FAILURES",
    "OUTCOMES",
    "POSITION_FIELDS",
    "RENDERED_TYPE",
    "SPIDER",
    "ArticleItem",
    "ArticleNorm",
    "Author",
    "AuthorType",
    "Block",
    "BlockType",
    "Capture",
    "CaptureOutcome",
    "ClaimedPage",
    "CopyGroup",
    "Document",
    "DocumentCopy",
    "DocumentMarks",
    "ExtractionPath",
    "ExtractionResult",
    "FieldStats",
    "Hint",
    "Image",
    "ImportCounts",
    "Judgement",
    "Kind",
    "LeasedUrl",
    "LineStats",
    "Link",
    "ListItem",
    "Listing",
    "LiveUpdate",
    "MarkKind",
    "Markup",
    "MoreOfSite",
    "NearDuplicate",
    "Outcome",
    "OutcomeRecord",
    "Page",
    "PageReceipt",
    "PageStatus",
    "PassOptions",
    "PathStats",
    "Politeness",
    "Profile",
    "ReextractedDocument",
    "ReextractionPass",
    "Render",
    "Rendering",
    "Revision",
    "RevisionCause",
    "RevisionSummary",
    "Rules",
    "Segment",
    "Skipped",
    "Source",
    "SpiderLimits",
    "State",
    "Story",
    "StoryDetail",
    "StoryEvent",
    "StoryEventKind",
    "StoryLead",
    "StoryMember",
    "SubmissionCounts",
    "TableCell",
    "TextLink",
    "Verdict",
    "WarcCounts",
    "describe_failure",
    "get_refusal",
    "is_doubtful",
]
