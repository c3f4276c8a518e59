"""The user's cache of data that can be made again: text embeddings, features, engines, variants.

Anyone who can write to the cache can change what edits learn from and which model runs. So nothing
is read from a folder or file that belongs to another user or that others can write to, and only
this user can access the folders that are made. All access to the cache uses `find_cached`,
`cache_path` or `make_cache`.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from pathlib import Path

from edgesplit.errors import CacheError

__all__ = ["REMEDY", "cache_folder", "cache_path", "find_cached", "make_cache", "warn_of_cache"]

_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH
REMEDY = "Set EDGESPLIT_CACHE to a folder with free space that you may write to."
_OPT_IN = "With EDGESPLIT_TRUST_CACHE=1 it is used anyway."

_log = logging.getLogger(__name__)
_warned: set[str] = set()


def cache_folder() -> Path:
    """Return the user's cache folder for edgesplit; it need not exist yet.

    It is EDGESPLIT_CACHE, else XDG_CACHE_HOME/edgesplit, else ~/.cache/edgesplit. The environment
    is read on every call.

    Raises:
        CacheError: no variable is set and the user has no home folder, as in some services.
    """
    if chosen := os.environ.get("EDGESPLIT_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification says to ignore a relative one
        return Path(base) / "edgesplit"
    try:
        return Path.home() / ".cache" / "edgesplit"
    except RuntimeError as error:
        raise CacheError(
            "This user has no home folder to cache in. Set EDGESPLIT_CACHE to a folder."
        ) from error


def cache_path(*names: str) -> Path:
    """Return the path of `names` below the cache folder, after checking every existing step.

    The path need not exist.

    Raises:
        CacheError: a folder or file on the path cannot be read, belongs to another user, or can be
            written by others.
    """
    steps = _steps(names)
    try:
        _check(steps)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise CacheError(f"Cannot read {steps[-1]}: {error.strerror}. {REMEDY}") from error
    return steps[-1]


def find_cached(*names: str) -> Path | None:
    """Return `cache_path(*names)`; warn and return None if the cache cannot be used."""
    try:
        return cache_path(*names)
    except CacheError as error:
        warn_of_cache(error)
        return None


def make_cache(*names: str) -> Path:
    """Return the folder of `names` below the cache folder; make it if it is missing.

    Raises:
        CacheError: as for `cache_path`, or a folder cannot be made.
    """
    steps = _steps(names)
    try:
        for number, step in enumerate(steps, start=1):
            step.mkdir(mode=0o777 if _trusts() else 0o700, parents=True, exist_ok=True)
            _check(steps[:number])  # before anything is made in it
    except OSError as error:
        raise CacheError(f"Cannot write to {steps[-1]}: {error.strerror}. {REMEDY}") from error
    return steps[-1]


def warn_of_cache(error: CacheError) -> None:
    """Log why the caller continues without a cache; once per cache folder."""
    try:
        folder = str(cache_folder())
    except CacheError:
        folder = ""
    if folder not in _warned:
        _warned.add(folder)
        _log.warning("continuing without a cache: %s", error)


def _steps(names: tuple[str, ...]) -> list[Path]:
    """Return the cache folder, and each folder or file on the path below it."""
    return [cache_folder().joinpath(*names[:n]) for n in range(len(names) + 1)]


def _trusts() -> bool:
    return os.environ.get("EDGESPLIT_TRUST_CACHE") == "1"


def _check(steps: list[Path]) -> None:
    """Raise CacheError for a step that other users own or can write, OSError for a missing one."""
    sealed = False  # True below a folder that others cannot enter: modes do not matter there
    for step in steps:
        about = step.stat()
        if _trusts():
            continue
        # What root owns is trusted, as ssh does: root can do anything anyway.
        if about.st_uid not in (os.geteuid(), _ROOT):
            raise CacheError(
                f"{step} belongs to another user (uid {about.st_uid}), who could change what "
                f"models answer. Set EDGESPLIT_CACHE to a folder that only you can write. {_OPT_IN}"
            )
        if about.st_mode & _OTHERS_WRITE and not sealed:
            shared = about.st_mode & stat.S_ISVTX  # such as /tmp, whose mode must not change
            fix = f"If nobody did, run `chmod -R go-w {shlex.quote(str(steps[0]))}`; else set"
            raise CacheError(
                f"Other users can write to {step} (mode {stat.S_IMODE(about.st_mode):o}), and so "
                f"could change what models answer. {'Set' if shared else fix} EDGESPLIT_CACHE to a "
                f"folder that only you can write. {_OPT_IN}"
            )
        sealed = sealed or not about.st_mode & _OTHERS_ENTER
