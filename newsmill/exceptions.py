"""The errors Newsmill raises on purpose. A broken item is an outcome (`model.Outcome`), not an exception."""


class NewsmillError(Exception):
    """Raised when an operation fails; its text is one sentence for the user. Exit code 1."""


class ConfigError(NewsmillError):
    """Raised when a setting, an environment variable or a file in config/ is wrong. Exit code 2."""


class SchemaError(NewsmillError):
    """Raised when the database's schema is newer than this program, or older and not yet upgraded."""


class ServiceError(NewsmillError):
    """Raised when Redis, the database or the archive cannot be reached, refuses access, or is configured so that it loses work."""


class SlowCommitError(ServiceError):
    """Raised when a commit took too long and was rolled back; a smaller one may succeed."""


class ArchiveDamaged(NewsmillError):
    """Raised when a segment is missing, shorter than recorded, or holds fewer records than recorded."""


class CursorError(NewsmillError):
    """Raised when a cursor was not made by this program; start again without it."""


class ExtractionError(NewsmillError):
    """Raised by `newsmill.extract` when a page holds no document; `outcome` names the reason (docs/reference.md)."""

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class UrlError(ValueError):
    """Raised when a string is not an http(s) URL that may be fetched; its text says why."""


class ListingError(ValueError):
    """Raised when a feed, sitemap or section page cannot be read as such; its text says why."""


class DecodeError(ValueError):
    """Raised when a body cannot be decompressed within the cap; `outcome` names how the page ends."""

    def __init__(self, message: str, outcome: str = "bad_encoding") -> None:
        super().__init__(message)
        self.outcome = outcome
