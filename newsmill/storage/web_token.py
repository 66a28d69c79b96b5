"""The token of the person who runs the web server, in a file of the data folder that only this person can read.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from newsmill.exceptions import NewsmillError
from newsmill.storage.private_files import TOKEN_FILE, make_private_folder, read_private_file, write_private_file
from newsmill.storage.tokens import LOCAL_NAME, LOCAL_PREFIX, Scope, Tokens


def provide_web_token(tokens: Tokens, folder: Path, configured: str | None, *, now: datetime) -> str:
    """Make the server's own token valid and return it: `configured`, or that of the folder's file.

    The file is written where it is missing, other users could read it, or its token was revoked.
    Raises NewsmillError if it cannot be written, and ServiceError.
    """
    tokens.set_environment_token(configured, now=now)
    if configured is not None:
        return configured
    path = folder / TOKEN_FILE
    known, is_private = read_private_file(path)
    found = tokens.check(known, now=now)
    if found is not None and is_private:
        return known
    if found is not None:  # other users may know it
        tokens.revoke(found.id)
    try:
        make_private_folder(folder)
        write_private_file(path, "")  # which fails before there is a token that nobody knows
        made = tokens.add(LOCAL_NAME, Scope.ADMIN, now=now, id_prefix=LOCAL_PREFIX)
        write_private_file(path, made)
    except OSError as error:
        raise NewsmillError(
            f"the token of the web server cannot be written to {path} ({error.strerror}): "
            "set NEWSMILL_DATA to another folder, or set NEWSMILL_WEB_TOKEN"
        ) from None
    return made
