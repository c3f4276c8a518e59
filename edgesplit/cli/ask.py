"""`ask`: a few answers about well-chosen clips make a split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.options import (
    FILE,
    FOLDER,
    NEW_FILE,
    bundle_options,
    open_bundle,
    output_options,
)
from edgesplit.cli.render.ask import place_text, seconds_text, show_account, show_cards
from edgesplit.cli.render.console import console, notes, print_json, progress
from edgesplit.cli.render.edits import show_edit
from edgesplit.cli.render.sheet import Card, write_sheet
from edgesplit.cli.replies import Key, keys_text, read_reply
from edgesplit.cli.splits import (
    check_output,
    class_options,
    parse_into,
    publish_edit,
    split_options,
)
from edgesplit.errors import ClipError, DoubtfulSplitError, EditError
from edgesplit.heads.labels import Composition

if TYPE_CHECKING:
    from rich.console import Console

    from edgesplit.backbone.features import Features
    from edgesplit.bundle.bundle import Bundle
    from edgesplit.edits.edit import Edit
    from edgesplit.edits.groups import Taxonomy
    from edgesplit.edits.naming import Subcategories
    from edgesplit.edits.report import Report
    from edgesplit.edits.request import SplitRequest

__all__ = ["ask"]


@click.command()
@class_options(required=True)
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Unlabelled clips: a folder of videos, or what `edgesplit features -o` wrote.",
)
@click.option(
    "--videos",
    type=FOLDER,
    help="Where the videos of a features file are (default: beside it, or the current folder).",
)
@click.option(
    "--answers",
    "answers_path",
    type=FILE,
    help="Ask nothing: take the answers of this CSV file, 'clip,answer'.",
)
@click.option(
    "--resume",
    "resume_path",
    type=FILE,
    help="Go on from the answers of this file, and save there.",
)
@click.option(
    "--list", "list_only", is_flag=True, help="Only choose clips: write the sheet and the file."
)
@click.option(
    "--sheet",
    type=NEW_FILE,
    help="The page that shows the clips (default: ask-CLASS.html).",
)
@split_options
@output_options
@bundle_options
def ask(
    name: str,
    into: tuple[str, ...],
    source: Path,
    videos: Path | None,
    answers_path: Path | None,
    resume_path: Path | None,
    list_only: bool,
    sheet: Path | None,
    rule: str,
    composition: Composition,
    like: str | None,
    taxonomy_path: Path | None,
    accept_doubt: bool,
    bundle_path: Path | None,
    as_json: bool,
    **output: Any,
) -> None:
    """Split a class after a few questions.

    Chooses the clips that tell most, shows them on a page, asks what each shows, and splits the
    class. Every answer is saved at once; --resume goes on. A program calls it with --list, fills
    the CSV file in, and calls it with --answers.

    \b
    Example:
        edgesplit ask --class pushing --into left,right --from clips/
        edgesplit ask --class pushing --into left,right --from clips/ --answers ask-pushing.csv
    """
    from edgesplit.bundle.videos import read_clips
    from edgesplit.edits.groups import load_taxonomy
    from edgesplit.edits.request import SplitRequest

    if answers_path and resume_path:
        raise click.UsageError("--resume asks, --answers does not: leave one of them out.")
    check_output(**output)
    request = SplitRequest(parse_into(into), rule, composition, like, accept_doubt=accept_doubt)
    taxonomy = load_taxonomy(taxonomy_path) if taxonomy_path else None
    bundle, out = open_bundle(bundle_path), notes() if as_json else console()
    label, subcategories = _name(bundle, name, request)
    stem = f"ask-{_slug(label)}"
    file = answers_path or resume_path
    if file is None and Path(f"{stem}.csv").exists():  # said before minutes of work
        raise EditError(
            f"{stem}.csv exists already. Go on with --resume {stem}.csv, take its answers with "
            f"--answers {stem}.csv, or remove it."
        )
    with progress("clips") as on_clip:
        clips = read_clips(source, bundle, on_clip)
    asking = _Asking(
        bundle=bundle,
        label=label,
        subcategories=subcategories,
        request=replace(request, features=clips.matrix),
        taxonomy=taxonomy,
        clips=clips,
        folders=_folders(source, videos),
        file=file or Path(f"{stem}.csv"),
        sheet=sheet or Path(f"{stem}.html"),
        out=out,
    )
    if file is not None:
        asking.load()
    _ = asking.before  # refuses what cannot be split at all, before anybody is asked
    if list_only:
        _list(asking, as_json)
        return
    if answers_path is None and not _interview(asking, as_json):
        print_stop(asking, as_json)
        return
    told = answers_path is None  # the account was printed after each round
    more = asking.find_more() if answers_path and sheet else []
    if more:
        asking.show(more, quietly=True)
    publish_edit(
        bundle,
        lambda _: asking.split(),
        as_json=as_json,
        describe=asking.describe,
        show=show_edit if told else asking.show_all,
        **output,
    )


def _name(bundle: Bundle, name: str, request: SplitRequest) -> tuple[str, Subcategories]:
    """The class's label and its subcategories."""
    from edgesplit.edits.answers_file import check_modifiers
    from edgesplit.edits.naming import name_subcategories

    tree = bundle.head().tree
    label = tree[tree.find_first(name, tree.leaves, tree.inner)].label
    taken = {node.label.casefold() for node in tree}
    subcategories = name_subcategories(label, request.into, taken)
    check_modifiers(subcategories)
    return label, subcategories


def _slug(label: str) -> str:
    from edgesplit.heads.label_text import words

    return "-".join(words(label))[:60]


def _folders(source: Path, videos: Path | None) -> list[Path]:
    if videos is not None:
        return [videos]
    return [source] if source.is_dir() else [source.parent, Path()]


@dataclass(eq=False)
class _Asking:
    """What is asked, of which clips, and what was said so far."""

    bundle: Bundle
    label: str
    subcategories: Subcategories
    request: SplitRequest
    """With features, without answers."""
    taxonomy: Taxonomy | None
    clips: Features
    folders: list[Path]
    """Where videos are looked for, by the clips' names."""
    file: Path
    sheet: Path
    out: Console
    answers: dict[str, str] = field(default_factory=dict)
    """As in the file; an empty text where there is no answer yet."""
    _before: Report | None = None

    def __post_init__(self) -> None:
        self.names = [*self.clips.places]
        self.modifiers = [modifier for _, modifier in self.subcategories]

    def load(self) -> None:
        from edgesplit.edits.answers_file import load_answers

        self.answers = load_answers(self.file, self.clips.places, self.subcategories)

    def save(self) -> None:
        from edgesplit.edits.answers_file import save_answers

        save_answers(self.file, self.answers)

    @property
    def pending(self) -> list[str]:
        """Clips that were chosen and have no answer yet."""
        return [name for name, answer in self.answers.items() if not answer]

    @property
    def n_answered(self) -> int:
        """Answers that say something."""
        from edgesplit.edits.answers_file import CANNOT_TELL

        return sum(bool(answer) and answer != CANNOT_TELL for answer in self.answers.values())

    @property
    def before(self) -> Report:
        """Of the split by texts and unlabelled clips alone."""
        if self._before is None:
            request = replace(self.request, accept_doubt=True)
            edit = self.bundle.split_class(self.label, request, taxonomy=self.taxonomy)
            self._before = edit.report
        return self._before

    def split(self, *, accept_doubt: bool = False) -> Edit:
        """The split with all answers."""
        from edgesplit.edits.answers_file import place_answers

        answers = place_answers(self.answers, self.clips.places, self.file)
        request = replace(
            self.request,
            answers=answers,
            accept_doubt=accept_doubt or self.request.accept_doubt,
        )
        return self.bundle.split_class(self.label, request, taxonomy=self.taxonomy)

    def preview(self) -> Report:
        """The report of `split`, in doubt or not."""
        try:
            return self.split().report
        except DoubtfulSplitError:
            return self.split(accept_doubt=True).report

    def pays(self, report: Report) -> bool:
        """Whether another answer is worth asking for."""
        from edgesplit.edits.asking import MOST_ROUNDS, pays

        return self.n_answered < MOST_ROUNDS * len(self.modifiers) and pays(report)

    def choose(self) -> list[str]:
        """Clips to ask about next: one for each subcategory; those chosen before come first."""
        from edgesplit.edits.answers_file import CANNOT_TELL, place_answers
        from edgesplit.edits.asking import MOST_ROUNDS

        if self.pending:
            return self.pending
        n = len(self.modifiers)
        if self.n_answered:
            n = min(n, max(MOST_ROUNDS * n - self.n_answered, 1))
        # What nobody can tell is not asked again.
        names = [name for name in self.names if self.answers.get(name) != CANNOT_TELL]
        places = {name: place for place, name in enumerate(names)}
        answers = place_answers(self.answers, places, self.file) if self.n_answered else {}
        request = replace(self.request, features=self.clips.pick(names), answers=answers)
        chosen = self.bundle.choose_clips(self.label, request, self.clips.pick(names), n)
        return [names[place] for place in chosen]

    def find_more(self) -> list[str]:
        """Clips to ask about next where that pays; none where no clip is left."""
        if not self.pays(self.preview()):
            return []
        try:
            return self.choose()
        except EditError:
            return []

    def show(self, names: list[str], *, quietly: bool = False) -> list[Card]:
        """Write the sheet of clips, and print them unless `quietly`."""
        cards = [self._card(number, name) for number, name in enumerate(names, start=1)]
        write_sheet(self.sheet, self.title, self.modifiers, cards)
        if not quietly:
            show_cards(self.out, cards)
            self.out.print(f"{self.sheet.resolve().as_uri()} shows them", markup=False)
        return cards

    @property
    def title(self) -> str:
        """What is asked."""
        return f"{self.label}: {', '.join(self.modifiers[:-1])} or {self.modifiers[-1]}?"

    def _card(self, number: int, name: str) -> Card:
        from edgesplit.video.previews import read_preview, read_seconds

        path = self._find(name)
        if path is None:
            return Card(number, name, None, None, None, "")
        try:
            return Card(number, name, path, read_seconds(path), read_preview(path), "")
        except ClipError as error:
            return Card(number, name, path, None, None, str(error))

    def _find(self, name: str) -> Path | None:
        """The video of a clip; a name never leads out of the folders."""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            return None
        there = (folder / name for folder in self.folders)
        return next((path for path in there if path.is_file()), None)

    def describe(self, edit: Edit) -> dict[str, Any]:
        """What `ask --json` adds to what `edit --json` says."""
        shots = edit.report.shots
        by_text = {self.names[a.clip]: a.by_text for a in shots.answers} if shots else {}
        more = self.find_more()
        return {
            "expected_before": self.before.expected,
            "answers": [
                {"clip": name, "answer": answer, "by_text": by_text.get(name)}
                for name, answer in self.answers.items()
                if answer
            ],
            "answers_file": str(self.file),
            "pays": bool(more),
            "next": more,
        }

    def show_all(self, out: Console, edit: Edit, outcome: str, calibrated: bool) -> None:
        """Print what the answers did, then the edit."""
        pays = self.pays(edit.report)
        show_account(out, self.names, self.before, edit.report, pays)
        if pays:
            out.print("  --list with the same options chooses the clips for it")
        show_edit(out, edit, outcome, calibrated)


def _list(asking: _Asking, as_json: bool) -> None:
    """Choose clips, write the sheet and the file; print the paths."""
    names = asking.choose()
    cards = asking.show(names, quietly=True)
    for name in names:
        asking.answers.setdefault(name, "")
    asking.save()
    if as_json:
        content = [
            {"clip": card.name, "path": card.path and str(card.path), "seconds": card.seconds}
            for card in cards
        ]
        files = {"answers_file": str(asking.file), "sheet": str(asking.sheet)}
        print_json({"next": content, **files, "published": False})
        return
    for card in cards:
        click.echo(place_text(card))
    click.echo(
        f"{asking.sheet} shows them; write what they show into {asking.file}, then the same "
        f"command with --answers {asking.file} instead of --list",
        err=True,
    )


def print_stop(asking: _Asking, as_json: bool) -> None:
    """Say that nothing is lost, and how to go on."""
    n = asking.n_answered
    click.echo(
        f"Nothing was changed. {asking.file} has {n} answer{'s' * (n != 1)}; the same command with "
        f"--resume {asking.file} goes on, with --answers {asking.file} splits by them.",
        err=True,
    )
    if as_json:
        answers = [{"clip": c, "answer": a} for c, a in asking.answers.items() if a]
        print_json(
            {
                "answers": answers,
                "answers_file": str(asking.file),
                "next": asking.pending,
                "published": False,
            }
        )


def _interview(asking: _Asking, as_json: bool) -> bool:
    """Ask, round after round, while it pays; False if somebody stops it."""
    asking.save()
    try:
        return _ask_rounds(asking, as_json)
    except click.Abort:
        click.echo(err=True)
        print_stop(asking, as_json=False)
        raise


def _ask_rounds(asking: _Asking, as_json: bool) -> bool:
    out = asking.out
    n_class = len(asking.before.rows)
    out.print(f"{asking.title}  ({keys_text(asking.modifiers)})", markup=False)
    while True:
        if asking.n_answered and not asking.pending:
            report = asking.preview()
            pays = asking.pays(report)
            show_account(out, asking.names, asking.before, report, pays)
            if not pays or not click.confirm(
                f"Go on with up to {n_class} more clips?", default=True, err=as_json
            ):
                return True
        try:
            names = asking.choose()
        except EditError:
            if not asking.n_answered:
                raise
            out.print("There is no clip of the class left to ask about.")
            return True
        for name in names:
            asking.answers.setdefault(name, "")
        asking.save()
        if not _ask_round(asking, asking.show(names), as_json):
            return False


def _ask_round(asking: _Asking, cards: list[Card], as_json: bool) -> bool:
    """Ask about each clip, saving every answer at once; False if somebody stops it."""
    place = 0
    while place < len(cards):
        card = cards[place]
        length = ", ".join(filter(None, (place_text(card), seconds_text(card))))
        said = asking.answers[card.name] or None
        text = click.prompt(f"clip {card.number} ({length})", default=said, err=as_json)
        reply = read_reply(text, asking.modifiers)
        if reply is None:
            click.echo(f"{text!r} is none of: {keys_text(asking.modifiers)}", err=True)
        elif reply is Key.STOP:
            return False
        elif reply is Key.BACK:
            if not place:
                click.echo("This is the first clip of the round.", err=True)
            place = max(place - 1, 0)
        else:
            asking.answers[card.name] = str(reply)
            asking.save()
            place += 1
    return True
