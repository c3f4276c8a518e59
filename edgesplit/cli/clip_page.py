"""The page of the clips that `ask` asks about, and where their videos are."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesplit.cli.render.sheet import Card, write_sheet
from edgesplit.errors import ClipError

if TYPE_CHECKING:
    from edgesplit.bundle.questions import Questions

__all__ = ["ClipPage", "VideoFolders", "find_folders"]


@dataclass(frozen=True, slots=True)
class VideoFolders:
    """Where the videos of clips are looked for."""

    folders: Sequence[Path]
    """Searched in order, by the clips' names."""
    searched: str
    """The same in words, which follow "not found"."""

    def find(self, name: str) -> Path | None:
        """The video of a clip; a name never leads out of the folders."""
        return next(filter(None, (_video_in(folder, name) for folder in self.folders)), None)


def find_folders(source: Path, videos: Path | None, names: Collection[str]) -> VideoFolders:
    """Where the videos of these clips are.

    `edgesplit features clips -o features.npz` names videos as the folder does, and writes beside
    it. So a folder beside the features file counts, too, but only if it alone has every video:
    another one may use the same names.

    Args:
        source: what --from names.
        videos: what --videos names.
        names: of the clips.
    """
    named = videos or (source if source.is_dir() else None)
    if named is not None:
        return VideoFolders([named], f"in {named}")
    near = [source.parent] if source.parent.samefile(Path()) else [source.parent, Path()]
    whole = [
        folder
        for one in near
        for folder in _folders_in(one)
        if all(_video_in(folder, name) for name in names)
    ]
    places = ", ".join(f"in {folder.resolve()}" for folder in near)
    searched = f"{places}, or in a folder there that alone has all clips"
    return VideoFolders([*near, *(whole if len(whole) == 1 else [])], searched)


def _folders_in(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir())
    return []


def _video_in(folder: Path, name: str) -> Path | None:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    # Not `path.is_file()`, which raises at a name that is too long.
    return path if os.path.isfile(path) else None


@dataclass(frozen=True, slots=True)
class ClipPage:
    """Where clips are shown, and where their videos are."""

    path: Path
    videos: VideoFolders
    questions: Questions

    @property
    def title(self) -> str:
        """What is asked."""
        *first, last = self.questions.modifiers
        return f"{self.questions.label}: {', '.join(first)} or {last}?"

    def show(self, names: Sequence[str]) -> list[Card]:
        """Write the page of some clips, and say which were not found.

        A clip keeps its number over rounds.
        """
        order = [*dict.fromkeys([*self.questions.answers, *names])]
        cards = [self._card(order.index(name) + 1, name) for name in names]
        write_sheet(self.path, self.title, self.questions.modifiers, cards)
        n_missing = sum(card.path is None for card in cards)
        if n_missing:
            click.echo(
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
