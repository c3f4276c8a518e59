"""The HTML page that shows the clips of `ask`, and the search for their videos."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgesplit.cli.render.console import echo
from edgesplit.cli.render.sheet import Card, write_sheet
from edgesplit.errors import ClipError

if TYPE_CHECKING:
    from edgesplit.bundle.questions import Questions

__all__ = ["ClipPage", "VideoFolders", "find_folders"]


@dataclass(frozen=True, slots=True)
class VideoFolders:
    """Folders that are searched for the videos of clips."""

    folders: Sequence[Path]
    """Folders in the order of the search; the clips' names are paths below them."""
    searched: str
    """The folders in words, to follow "not found"."""

    def find(self, name: str) -> Path | None:
        """Return the video of a clip, or None; a name that leads out of the folders finds none."""
        return next(filter(None, (_video_in(folder, name) for folder in self.folders)), None)


def find_folders(source: Path, videos: Path | None, names: Collection[str]) -> VideoFolders:
    """Return the folders to search for the videos of these clips.

    `edgesplit features clips -o features.npz` names each video by its path below `clips`, a folder
    that is often next to `features.npz`. A folder next to the features file is therefore searched,
    too, but only if it is the only one with every video: another one may use the same names.

    Args:
        source: path of --from.
        videos: path of --videos.
        names: names of the clips.
    """
    named = videos or (source if source.is_dir() else None)
    if named is not None:
        return VideoFolders([named], f"in {named}")
    near = [source.parent] if source.parent.samefile(Path()) else [source.parent, Path()]
    complete = [
        folder
        for one in near
        for folder in _folders_in(one)
        if all(_video_in(folder, name) for name in names)
    ]
    places = ", ".join(f"in {folder.resolve()}" for folder in near)
    searched = f"{places}, or in a single folder in these that has all clips"
    return VideoFolders([*near, *(complete if len(complete) == 1 else [])], searched)


def _folders_in(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir())
    return []


def _video_in(folder: Path, name: str) -> Path | None:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    # `path.is_file()` raises for a name that is too long.
    return path if os.path.isfile(path) else None


@dataclass(frozen=True, slots=True)
class ClipPage:
    """The HTML page of the clips, and the folders of their videos."""

    path: Path
    videos: VideoFolders
    questions: Questions

    @property
    def title(self) -> str:
        """Question that the page asks."""
        *first, last = self.questions.modifiers
        return f"{self.questions.label}: {', '.join(first)} or {last}?"

    def show(self, names: Sequence[str]) -> list[Card]:
        """Write the page of some clips and warn about videos that were not found.

        A clip keeps its number in later rounds.
        """
        order = [*dict.fromkeys([*self.questions.answers, *names])]
        cards = [self._card(order.index(name) + 1, name) for name in names]
        write_sheet(self.path, self.title, self.questions.modifiers, cards)
        n_missing = sum(card.path is None for card in cards)
        if n_missing:
            echo(
                f"{n_missing} of {len(cards)} videos were not found {self.videos.searched}. Name "
                "their folder with --videos.",
                err=True,
            )
        return cards

    def _card(self, number: int, name: str) -> Card:
        from edgesplit.video.previews import read_preview, read_seconds

        path = self.videos.find(name)
        if path is None:
            fault = f"Not found {self.videos.searched}: name its folder with --videos."
            return Card(number, name, None, None, None, fault)
        try:
            return Card(number, name, path, read_seconds(path), read_preview(path), "")
        except ClipError as error:
            return Card(number, name, path, None, None, str(error))
