"""`ask`: a few answers about well-chosen clips make a split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesplit.cli.clip_page import ClipPage, find_folders
from edgesplit.cli.options import (
    FILE,
    FOLDER,
    NEW_FILE,
    bundle_options,
    check_writable,
    open_bundle,
    output_options,
)
from edgesplit.cli.render.ask import (
    place_text,
    seconds_text,
    show_account,
    show_cards,
    show_question,
)
from edgesplit.cli.render.console import console, notes, print_json, progress
from edgesplit.cli.render.edits import show_edit
from edgesplit.cli.render.sheet import Card, check_sheet
from edgesplit.cli.replies import Key, ask_yes, keys_text, read_reply
from edgesplit.cli.splits import (
    check_output,
    class_options,
    publish_edit,
    read_split,
    split_options,
)
from edgesplit.errors import EdgesplitError, EditError

if TYPE_CHECKING:
    from rich.console import Console

    from edgesplit.bundle.bundle import Bundle
    from edgesplit.bundle.questions import Questions
    from edgesplit.edits.edit import Edit

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
    help="Where the videos of a features file are (default: beside it, the current folder, or a "
    "folder in these).",
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
    type=NEW_FILE,
    help="Go on from the answers of this file, and save there; it need not exist yet.",
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
    bundle_path: Path | None,
    dry_run: bool,
    output: Path | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Split a class after a few questions.

    Chooses the clips that tell most, shows them on a page, asks what each shows, and splits the
    class. Every answer is saved at once; --resume goes on. A program calls it with --list, fills
    the CSV file in, and calls it with --answers.

    \b
    Example:
        edgesplit ask --class pushing --into left,right --from clips/
        edgesplit ask --class pushing --into left,right --from clips/ --answers answers.csv
    """
    from edgesplit.bundle.questions import Questions, class_label
    from edgesplit.bundle.videos import read_clips

    if answers_path and resume_path:
        raise click.UsageError("--resume asks, --answers does not: leave one of them out.")
    check_output(dry_run=dry_run, output=output)
    request, taxonomy = read_split(into, **choices)
    bundle = open_bundle(bundle_path)
    stem = f"ask-{_slug(class_label(bundle, name))}"
    file = answers_path or resume_path or _new_file(Path(f"{stem}.csv"))
    asks, page_path = answers_path is None, sheet or Path(f"{stem}.html")
    saves = asks or list_only
    _check_files(source, file, page_path if saves or sheet else None, output, saves=saves)
    with progress("clips") as on_clip:
        clips = read_clips(source, bundle, on_clip)
    questions = Questions(bundle, name, request, clips, file, taxonomy=taxonomy)
    if file.exists():
        questions.load()
    page = ClipPage(page_path, find_folders(source, videos, clips.places), questions)
    with _keep_answers(questions):
        if list_only:
            _list(questions, page, as_json)
            return
        out, live = notes() if as_json else console(), not dry_run and output is None
        if asks and not _interview(questions, page, out, as_json, live):
            return
        # A person was given an account after each round.
        next_page = page if sheet and not asks else None
        _publish(
            bundle, questions, asks, next_page, dry_run=dry_run, output=output, as_json=as_json
        )


def _publish(
    bundle: Bundle, questions: Questions, told: bool, next_page: ClipPage | None, **output: Any
) -> None:
    """Split by the answers, as `publish_edit` does; say what they did unless that was told."""

    def describe(edit: Edit) -> dict[str, Any]:
        return _describe(questions, edit, next_page)

    def show(out: Console, edit: Edit, outcome: str, calibrated: bool) -> None:
        if not told:
            pays = questions.pays(edit.report)
            show_account(out, questions.names, questions.before, edit.report, pays)
        show_edit(out, edit, outcome, calibrated, told=True)

    wanted = describe if output["as_json"] or next_page is not None else None
    publish_edit(bundle, lambda _: questions.split(), describe=wanted, show=show, **output)


def _slug(label: str) -> str:
    from edgesplit.heads.label_text import words

    return "-".join(words(label)).encode()[:60].decode(errors="ignore")


def _new_file(path: Path) -> Path:
    """The path, which must be free; said before minutes of work."""
    if path.exists():
        raise EditError(
            f"{path} exists already. Go on with --resume {path}, take its answers with "
            f"--answers {path}, or remove it."
        )
    return path


def _check_files(
    source: Path, answers: Path, sheet: Path | None, output: Path | None, *, saves: bool
) -> None:
    """Raise if two files are one, or one that is to be written cannot be; before minutes of work.

    Args:
        source: what --from names.
        answers: the answers file.
        sheet: the page, if it is to be written.
        output: what -o names.
        saves: whether the answers file is to be written.
    """
    named = {"--from": source, "the answers": answers, "--sheet": sheet, "--output": output}
    names: dict[str, str] = {}
    for name, path in named.items():
        other = name if path is None else names.setdefault(os.path.realpath(path), name)
        if other != name:
            raise click.UsageError(f"{other} and {name} are one file, {path}. Name another one.")
    if saves:
        check_writable(answers)
    if output is not None:
        check_writable(output)
    if sheet is not None:
        check_sheet(sheet)
        check_writable(sheet)


@contextmanager
def _keep_answers(questions: Questions) -> Iterator[None]:
    """Let an error say how to go on once something was answered."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (EdgesplitError, OSError) as error:
        if not any(questions.answers.values()) or "--resume" in str(error):
            raise
        raise click.ClickException(
            f"{error} {questions.file} keeps the answers: the same command with --resume "
            f"{questions.file} goes on."
        ) from error


def _list(questions: Questions, page: ClipPage, as_json: bool) -> None:
    """Choose clips, write the page and the file; print the paths."""
    names = questions.choose()
    cards = page.show(names)
    questions.add(names)
    if as_json:
        content = [
            {"clip": card.name, "path": card.path and str(card.path), "seconds": card.seconds}
            for card in cards
        ]
        files = {"answers_file": str(questions.file), "sheet": str(page.path)}
        print_json({"next": content, **files, "published": False})
        return
    for card in cards:
        click.echo(place_text(card))
    click.echo(
        f"{page.path} shows them. Write what they show into {questions.file}, then type the same "
        f"with --answers {questions.file} instead of --list.",
        err=True,
    )


def _interview(
    questions: Questions, page: ClipPage, out: Console, as_json: bool, live: bool
) -> bool:
    """Ask, round after round, while it pays, and at last whether the head goes `live`.

    False if somebody stops it.
    """
    if not questions.file.exists():
        click.echo(f"The answers go to {questions.file}, a new file.", err=True)
    try:
        done = _ask_rounds(questions, page, out, as_json)
        if done and (not live or ask_yes("Publish this split?", err=as_json) is True):
            return True
    except (click.Abort, KeyboardInterrupt, RuntimeError) as error:  # no standard input: the last
        click.echo(err=True)
        _say_how_to_go_on(questions)
        raise click.Abort from error
    _say_how_to_go_on(questions)
    if as_json:
        said = _answers(questions, {})
        about = {"answers_file": str(questions.file), "next": questions.pending}
        print_json({"answers": said, **about, "published": False})
    return False


def _ask_rounds(questions: Questions, page: ClipPage, out: Console, as_json: bool) -> bool:
    keys, answered = keys_text(questions.modifiers), questions.n_answered > 0
    show_question(out, page.title, keys, questions.before, answered=answered)
    while True:
        again = questions.n_answered and not questions.pending
        if again:
            report = questions.preview()
            pays = questions.pays(report)
            show_account(out, questions.names, questions.before, report, pays)
            if not pays:
                return True
        try:
            names = questions.choose()
        except EditError:
            if not questions.n_answered:
                raise
            out.print("There is no clip of the class left to ask about.")
            return True
        clips = f"{len(names)} more clip{'s' * (len(names) > 1)}"
        more = f"Ask about {clips}? (n: split by the answers so far, q: stop)"
        reply = not again or ask_yes(more, err=as_json)
        if reply is not True:
            return reply is False
        cards = page.show(names)
        questions.add(names)
        show_cards(out, cards)
        out.print(f"{page.path.resolve().as_uri()} shows them", markup=False)
        if not _ask_round(questions, cards, as_json):
            return False


def _ask_round(questions: Questions, cards: list[Card], as_json: bool) -> bool:
    """Ask about each clip, saving every answer at once; False if somebody stops it."""
    place, modifiers = 0, questions.modifiers
    while place < len(cards):
        card = cards[place]
        about = ", ".join(filter(None, (place_text(card), seconds_text(card))))
        said = questions.answers[card.name] or None
        text = click.prompt(f"clip {card.number} ({about})", default=said, err=as_json)
        reply = read_reply(text, modifiers)
        if reply is None:
            click.echo(f"{text!r} is none of: {keys_text(modifiers)}", err=True)
        elif reply is Key.STOP:
            return False
        elif reply is Key.BACK:
            if not place:
                click.echo("This is the first clip of the round.", err=True)
            place = max(place - 1, 0)
        else:
            questions.answer(card.name, str(reply))
            place += 1
    return True


def _say_how_to_go_on(questions: Questions) -> None:
    """Say that nothing is lost."""
    n, file = questions.n_answered, questions.file
    click.echo(
        f"The head is as it was. {file} has {n} answer{'s' * (n != 1)}; the same command with "
        f"--resume {file} goes on, with --answers {file} splits by them.",
        err=True,
    )


def _answers(questions: Questions, by_text: dict[str, str]) -> list[dict[str, str | None]]:
    return [
        {"clip": name, "answer": answer, "by_text": by_text.get(name)}
        for name, answer in questions.answers.items()
        if answer
    ]


def _describe(questions: Questions, edit: Edit, page: ClipPage | None) -> dict[str, Any]:
    """What `ask --json` adds to what `edit --json` says; writes the page of the next clips."""
    shots, names = edit.report.shots, questions.names
    by_text = {names[told.clip]: told.by_text for told in shots.answers} if shots else {}
    more = questions.find_more(edit.report)
    if more and page is not None:
        page.show(more)
    return {
        "expected_before": questions.before.expected,
        "answers": _answers(questions, by_text),
        "answers_file": str(questions.file),
        "pays": bool(more),
        "next": more,
    }
