"""Copy what the site shows to build/pages: docs/, pages of the top folder, and files they link to.

    python docs/pages.py        # `make docs` does it

On the site docs/ is the top folder, so links between pages are rewritten. Files outside docs/ that
a page links to, such as results, are copied beside the pages; a folder gets a list of its files.
The page of the commands gets what their `--help` prints.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from edgesplit.cli import main as edgesplit

TOP = Path(__file__).resolve().parents[1]
PAGES = TOP / "build" / "pages"
FROM_TOP = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def place(path: Path) -> Path:
    """Return where a file of the checkout lies among the pages."""
    path = path.relative_to(TOP)
    return PAGES / (path.relative_to("docs") if path.parts[0] == "docs" else path)


def copy(source: Path) -> None:
    """Copy a file, and what it links to outside docs/ if it is a page."""
    target = place(source)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
        files = sorted(file for file in source.iterdir() if file.is_file())
        for file in files:
            shutil.copyfile(file, target / file.name)
        names = "".join(f"- [{file.name}]({file.name})\n" for file in files)
        (target / "index.md").write_text(f"# {source.relative_to(TOP)}\n\n{names}")
    elif source.suffix == ".md":
        text = source.read_text()
        target.touch()  # pages may link to each other
        target.write_text(LINK.sub(lambda link: moved(source, link[1]), text))
    else:
        shutil.copyfile(source, target)


def moved(page: Path, link: str) -> str:
    """Return the link of a page as it is among the pages, and copy what it leads to."""
    linked = (page.parent / link).resolve()
    copy(linked)
    to = place(linked) / "index.md" if linked.is_dir() else place(linked)
    return os.path.relpath(to, place(page).parent)


def helps(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[str]:
    """Yield a section with the help of a command, and one for each command below it."""
    context = command.make_context(name, [], above, resilient_parsing=True, terminal_width=80)
    level = "##" if above is None else "###"
    yield f"\n{level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from helps(command.commands[below], below, context)


def main() -> None:
    """Make build/pages anew."""
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    for source in [*sorted((TOP / "docs").rglob("*.md")), *map(TOP.joinpath, FROM_TOP)]:
        copy(source)
    with (PAGES / "reference" / "commands.md").open("a") as page:
        page.writelines(helps(edgesplit, "edgesplit"))


if __name__ == "__main__":
    main()
