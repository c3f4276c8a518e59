"""A bundle on a read-only disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesplit.bundle.bundle import Bundle, open_bundle
from edgesplit.errors import (
    BundleError,
)
from edgesplit.heads.head import Head
from tests.bundles import (
    contents,
    digests,
    failing,
    split,
)


@pytest.fixture
def read_only_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every way of writing fail as on a read-only file system; the tests run as root."""
    os_open, path_open = os.open, Path.open
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def guarded_os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        return failing(errno.EROFS)() if flags & writing else os_open(path, flags, *args, **kwargs)

    def guarded_path_open(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        read_only = set(mode) <= set("rbt")
        return path_open(path, mode, *args, **kwargs) if read_only else failing(errno.EROFS)()

    def mount() -> None:
        monkeypatch.setattr(os, "open", guarded_os_open)
        monkeypatch.setattr(Path, "open", guarded_path_open)
        for call in ("mkdir", "rename", "replace", "unlink"):
            monkeypatch.setattr(os, call, failing(errno.EROFS))

    return mount


@pytest.mark.parametrize("lock_exists", [False, True])
def test_a_read_only_bundle_refuses_every_change_and_answers_every_question(
    bundle: Bundle,
    head: Head,
    read_only_disk: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    lock_exists: bool,
) -> None:
    first = bundle.publish(split(bundle))
    if not lock_exists:
        (bundle.path / ".lock").unlink(missing_ok=True)
    before = contents(bundle.path)
    edit = split(bundle, "holding something")
    read_only_disk()
    message = r"Cannot write to .*Read-only file system.*write to another one, or copy the bundle"
    with pytest.raises(BundleError, match=message):
        bundle.publish(edit)
    with pytest.raises(BundleError, match=message):
        bundle.rollback()
    assert open_bundle(bundle.path).head().digest == first.digest
    assert digests(bundle) == [head.digest, first.digest]
    assert bundle.verify() == []
    monkeypatch.undo()
    assert contents(bundle.path) == before
