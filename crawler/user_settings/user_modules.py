"""Imports modules that the user wrote."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from newsmill.exceptions import ConfigError


def import_user_module(name: str, folders: Iterable[Path], describe: Callable[[str], str]) -> ModuleType:
    """Import a module that the user wrote. The folders are searched after all others, so that none of their files hides a library.

    Raises ConfigError with the text that `describe` makes of the reason; its cause is the error of the module.
    """
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)
    try:
        return importlib.import_module(name)
    except MemoryError:
        raise
    except Exception as error:  # code of the user: any error in it is a fault of the setting that names it
        raise ConfigError(describe(f"{type(error).__name__}: {error}")) from error


def import_settings(module_name: str, folders: Iterable[Path]) -> dict[str, Any]:
    """The names in capitals of a module."""
    folders = list(dict.fromkeys(folder.absolute() for folder in folders))
    searched = " or ".join(map(str, folders))
    module = import_user_module(
        module_name,
        folders,
        lambda reason: f"NEWSMILL_SCRAPY_SETTINGS={module_name}: cannot be imported ({reason}); expected a module in {searched}",
    )
    return {name: getattr(module, name) for name in dir(module) if name.isupper()}
