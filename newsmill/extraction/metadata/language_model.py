"""The model of the language detector, as unpacked arrays in the user's cache folder.

py3langid ships its model compressed with LZMA. To unpack it costs 0.6 s of CPU and 68 MB of memory in each process.
Processes that map the unpacked arrays into memory share that memory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs

ARRAYS = ("weights", "priors", "languages", "next_states", "rows", "outputs")  # in the order of `modelio.load_model`


@cache
def load_detector() -> Any:
    """Return py3langid's LanguageIdentifier, with calibrated probabilities. The first call of a user unpacks the model into the cache."""
    # numpy costs 0.07 s of CPU, which the processes that import this module and read no page need not spend
    from py3langid import modelio  # type: ignore[import-untyped]  # publishes no types
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    folder = platformdirs.user_cache_path("newsmill") / f"py3langid-{version('py3langid')}"
    has_folder = folder.is_absolute()  # it is not if the user has no home folder
    arrays = _load_unpacked(folder) if has_folder else None
    if arrays is None:
        arrays = modelio.load_model(MODEL_DIR / MODEL_FILE)
        if has_folder:
            with suppress(OSError):  # the next process tries again
                _save_unpacked(folder, arrays)
    weights, priors, languages, next_states, rows, outputs = arrays
    return LanguageIdentifier(weights, priors, languages, next_states, outputs, norm_probs=True, tk_row=rows)


def _load_unpacked(folder: Path) -> tuple[Any, ...] | None:
    """The arrays that `_save_unpacked` wrote, or None if a file is missing or damaged."""
    import numpy as np

    try:
        weights, priors, languages, next_states, rows, outputs = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ARRAYS
        )
    except (OSError, EOFError, ValueError):
        return None
    # A memoryview gives integers of Python, six times as fast as numpy's memory map.
    return weights, priors, languages.tolist(), next_states.data, rows.tolist(), outputs.tolist()


def _save_unpacked(folder: Path, arrays: tuple[Any, ...]) -> None:
    """Write the files. Another process finds each of them whole or not at all. Raises OSError."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(ARRAYS, arrays, strict=True):
        draft = folder / f".{name}.{os.getpid()}"
        try:
            with draft.open("wb") as file:
                np.save(file, np.asarray(array), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(folder / f"{name}.npy")
        finally:
            draft.unlink(missing_ok=True)
