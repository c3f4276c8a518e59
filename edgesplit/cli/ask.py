"""The command `ask`: split a class by a few answers about selected clips."""

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
    accept_changes_option,
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
from edgesplit.cli.render.console import console, echo, notes, print_json, progress
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
from edgesplit.errors import DoubtfulSplitError, EdgesplitError, EditError

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
    help="Unlabelled clips: a folder of videos, or a file written by `edgesplit features -o`.",
)
@click.option(
    "--videos",
    type=FOLDER,
    help="Folder with the videos of a features file (default: the file's folder, the current "
    "folder, or a folder in one of these).",
)
@click.option(
    "--answers",
    "answers_path",
    type=FILE,
    help="Read the answers from this CSV file ('clip,answer') and ask nothing.",
)
@click.option(
    "--resume",
    "resume_path",
    type=NEW_FILE,
    help="Continue with the answers in this file and save new answers to it. It need not exist.",
)
@click.option(
    "--list",
    "list_only",
    is_flag=True,
    help="Only choose clips: write the page and the answers file, and ask nothing.",
)
@click.option(
    "--sheet",
    type=NEW_FILE,
    help="HTML page that shows the clips (default: ask-CLASS.html).",
)
@split_options
@accept_changes_option
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
    accept_changes: bool,
    **choices: Any,
) -> None:
    """Split a class after a few questions.

    Choose the most useful clips, show them on a page, ask what each clip shows, and split the class
    by the answers. Every answer is saved at once; --resume continues later. In scripts: run with
    --list, fill in the CSV file, then run with --answers.

    \b
    Example:
        edgesplit ask --class pushing --into left,right --from clips/
        edgesplit ask --class pushing --into left,right --from clips/ \\
            --answers answers.csv
    """
    from edgesplit.bundle.questions import Questions, class_label
    from edgesplit.bundle.videos import read_clips

    if answers_path and resume_path:
        raise click.UsageError("--resume asks questions, --answers asks none. Give only one.")
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
        # After an interview, the account and its page were shown in the last round.
        next_page = page if sheet and not asks else None
        _publish(
            bundle,
            questions,
            asks,
            next_page,
            dry_run=dry_run,
            output=output,
            as_json=as_json,
            accept_changes=accept_changes,
        )


def _publish(
    bundle: Bundle, questions: Questions, shown: bool, next_page: ClipPage | None, **output: Any
) -> None:
    """Split by the answers and publish; print the account of the answers unless it was shown."""

    def describe(edit: Edit) -> dict[str, Any]:
        return _describe(questions, edit, next_page)

    def show(out: Console, edit: Edit, outcome: str, calibrated: bool) -> None:
        if not shown:
            pays = questions.pays(edit.report)
            show_account(out, questions.names, questions.before, edit.report, pays)
        show_edit(out, edit, outcome, calibrated, told=True)

    wanted = describe if output["as_json"] or next_page is not None else None
    publish_edit(bundle, lambda _: _split(questions), describe=wanted, show=show, **output)


def _split(questions: Questions) -> Edit:
    """Split by the answers; a refusal names what `ask` itself can do about it.

    Raises:
        DoubtfulSplitError: the split is in doubt, and a subcategory has no answered clip.
    """
    try:
        return questions.split()
    except DoubtfulSplitError as error:
        answered = set(questions.answers.values())
        missing = ", ".join(repr(one) for one in questions.modifiers if one not in answered)
        raise DoubtfulSplitError(
            f"This split is in doubt: {'; '.join(error.doubts)}. Answer a clip of {missing}, name "
            "the group to learn from with --like, use its words (--into 'LABEL=MODIFIER,…'), give "
            "the modifiers with --taxonomy, or accept this with --accept-doubt.",
            error.doubts,
        ) from error


def _slug(label: str) -> str:
    from edgesplit.heads.label_text import words

    return "-".join(words(label)).encode()[:60].decode(errors="ignore")


def _new_file(path: Path) -> Path:
    """Return the path; raise EditError if it exists, before minutes of work."""
    if path.exists():
        raise EditError(
            f"{path} exists already. Continue with --resume {path}, use its answers with "
            f"--answers {path}, or remove it."
        )
    return path


def _check_files(
    source: Path, answers: Path, sheet: Path | None, output: Path | None, *, saves: bool
) -> None:
    """Raise if two options name one file, or an output cannot be written, before minutes of work.

    Args:
        source: path of --from.
        answers: the answers file.
        sheet: the page, if it will be written.
        output: path of -o.
        saves: True if the answers file will be written.
    """
    named = {"--from": source, "the answers": answers, "--sheet": sheet, "--output": output}
    names: dict[str, str] = {}
    for name, path in named.items():
        other = name if path is None else names.setdefault(os.path.realpath(path), name)
        if other != name:
            raise click.UsageError(
                f"{other} and {name} are the same file, {path}. Name different files."
            )
    if saves:
        check_writable(answers)
    if output is not None:
        check_writable(output)
    if sheet is not None:
        check_sheet(sheet)
        check_writable(sheet)


@contextmanager
def _keep_answers(questions: Questions) -> Iterator[None]:
    """Add to an error how to continue, if there are answers."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (EdgesplitError, OSError) as error:
        if not any(questions.answers.values()) or "--resume" in str(error):
            raise
        raise click.ClickException(
            f"{error} The answers are saved: to continue, run the same command with --resume "
            f"{questions.file}."
        ) from error


def _list(questions: Questions, page: ClipPage, as_json: bool) -> None:
    """Choose clips, write the page and the answers file, and print the clips' paths."""
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
        echo(place_text(card))
    echo(
        f"{page.path} shows the clips. Write your answers into {questions.file}, then run the same "
        f"command with --answers {questions.file} instead of --list.",
        err=True,
    )


def _interview(
    questions: Questions, page: ClipPage, out: Console, as_json: bool, live: bool
) -> bool:
    """Ask about clips in rounds, then ask whether to publish if the head would go `live`.

    Return False if the person stops.
    """
    if not questions.file.exists():
        echo(f"The answers are saved to {questions.file}, a new file.", err=True)
    try:
        done = _ask_rounds(questions, page, out, as_json)
        if done and (not live or ask_yes("Publish this split?", err=as_json) is True):
            return True
    except (click.Abort, KeyboardInterrupt, RuntimeError) as error:
        # RuntimeError: there is no standard input.
        echo(err=True)
        _print_how_to_continue(questions)
        raise click.Abort from error
    _print_how_to_continue(questions)
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
            out.print("No clip of the class is left to ask about.")
            return True
        clips = f"{len(names)} more clip{'s' * (len(names) > 1)}"
        more = f"Ask about {clips}? (n: split by the answers so far, q: stop)"
        reply = not again or ask_yes(more, err=as_json)
        if reply is not True:
            return reply is False
        cards = page.show(names)
        questions.add(names)
        show_cards(out, cards)
        out.print(f"{page.path.resolve().as_uri()} shows the clips", markup=False)
        if not _ask_round(questions, cards, as_json):
            return False


def _ask_round(questions: Questions, cards: list[Card], as_json: bool) -> bool:
    """Ask about each clip and save every answer at once; return False if the person stops."""
    place, modifiers = 0, questions.modifiers
    while place < len(cards):
        card = cards[place]
        about = ", ".join(filter(None, (place_text(card), seconds_text(card))))
        said = questions.answers[card.name] or None
        text = click.prompt(f"clip {card.number} ({about})", default=said, err=as_json)
        reply = read_reply(text, modifiers)
        if reply is None:
            echo(f"{text!r} is not one of: {keys_text(modifiers)}", err=True)
        elif reply is Key.STOP:
            return False
        elif reply is Key.BACK:
            if not place:
                echo("This is the first clip of the round.", err=True)
            place = max(place - 1, 0)
        else:
            questions.answer(card.name, str(reply))
            place += 1
    return True


def _print_how_to_continue(questions: Questions) -> None:
    """Print that the head is unchanged and that the answers are kept."""
    n, file = questions.n_answered, questions.file
    if not any(questions.answers.values()):
        questions.discard()
        echo(
            "The head was not changed, and there is no answer yet. Without a terminal, use --list, "
            "fill in the file, and give it with --answers.",
            err=True,
        )
        return
    echo(
        f"The head was not changed. {file} has {n} answer{'s' * (n != 1)}: run the same command "
        f"with --resume {file} to continue, or with --answers {file} to split by them.",
        err=True,
    )


def _answers(questions: Questions, by_text: dict[str, str]) -> list[dict[str, str | None]]:
    return [
        {"clip": name, "answer": answer, "by_text": by_text.get(name)}
        for name, answer in questions.answers.items()
        if answer
    ]


def _describe(questions: Questions, edit: Edit, page: ClipPage | None) -> dict[str, Any]:
    """Return what `ask --json` adds to `edit --json`; write the page of the next clips."""
    shots, names = edit.report.shots, questions.names
    by_text = {names[one.clip]: one.by_text for one in shots.answers} if shots else {}
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
