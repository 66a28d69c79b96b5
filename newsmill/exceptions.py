"""The exceptions of Newsmill. A problem of a single page is an outcome (`model.Outcome`) and not an exception."""


class NewsmillError(Exception):
    """Raised when an operation fails. Its text is one sentence for the user. Exit code 1."""


class ConfigError(NewsmillError):
    """Raised for an invalid option, environment variable or file in config/. Exit code 2."""


class SchemaError(NewsmillError):
    """Raised when the schema of the database is newer than this program, or not upgraded yet."""


class ServiceError(NewsmillError):
    """Raised when Redis, the database or the archive is unreachable, denies access, or has a configuration that loses work."""


class MovedFileError(NewsmillError):
    """Raised when the SQLite database or the data folder was moved, replaced or deleted while a process had it open."""


class AuthenticationError(ServiceError):
    """Raised when a Newsmill server needs a token, or refuses the given token. `newsmill.open` takes it as `token=`."""


class SlowCommitError(ServiceError):
    """Raised when a commit took too long and was rolled back; a smaller one may succeed."""


class ArchiveDamaged(NewsmillError):
    """Raised when a segment is missing, too short, or has too few records."""


class CursorError(NewsmillError):
    """Raised for a cursor that this program did not make."""


class ExtractionError(NewsmillError):
    """Raised by `newsmill.extract` if a page has no document. `outcome` is one of docs/reference/outcomes.md."""

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message, outcome)  # pickle calls the class with these
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])


class UrlError(NewsmillError, ValueError):
    """Raised when a string is not an http(s) URL that may be fetched. Its text is the reason."""


class ListingError(NewsmillError, ValueError):
    """Raised when a feed, sitemap or section page is invalid. Its text is the reason."""


class IncompleteListingError(ListingError):
    """Raised when a feed or sitemap is cut off before its first link."""


class DecodeError(ValueError):
    """Raised when a body cannot be decompressed within the size limit, or is cut off. `outcome` is the outcome of the page."""

    def __init__(self, message: str, outcome: str = "bad_encoding") -> None:
        super().__init__(message, outcome)  # pickle calls the class with these
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])
