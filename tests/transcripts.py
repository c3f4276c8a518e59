"""Documents: their blocks, which are run as a reader would run them, and their links.

A `console` block holds commands (`$ …`) and what they print. Bash runs them in a folder that
`edgesplit demo` made, and a command goes on where the one before ended. A command without output in
the document must succeed. `[…]` stands for any text. `cat` of a file that does not exist makes the
file with the text shown.

A `python` block runs beside `lab.bundle` and `clip.mp4`, both the demo's. The blocks of a document
share their names, and `bundle` is open from the start.

`<!-- not run: REASON -->` before a block keeps it from being run. Only `HARMLESS` commands run.
Another command, such as `pip uninstall`, in a block without the comment is a fault.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from edgesplit.bundle.bundle import open_bundle

__all__ = ["HARMLESS", "TOP", "Block", "Document", "Reader", "like"]

TOP = Path(__file__).parents[1]
CLIP = "pushing-something-left-1.mp4"
COMMENT = re.compile(r"<!-- not run: (.+) -->\s*")
HARMLESS = re.compile(r"(edgesplit|cat|cd|cp|mkdir|python) (?!-[mc])([^;&|<>`$\\\n]|\\\n)*")
VARYING = (
    (re.compile(r"\d+(\.\d+)?(?= (ms|s|us|x)\b)"), "N"),
    (re.compile(r"(?<=on this machine): slower"), ""),
    (re.compile(r"^ONNX Runtime, \w+Provider.*", re.MULTILINE), "BACKEND"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+Z?"), "TIME"),
    (re.compile(r"(?<![\w./])/([\w.-]+/)+"), ""),  # folders
    (re.compile(r"\b[0-9a-f]{16}\b"), "KEY"),  # of variants: they depend on ONNX Runtime's version
)
"""What differs from machine to machine, and what stands for it. Heads' digests do not differ."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    line: int
    language: str
    text: str
    reason: str
    """Why it is not run; "" if it is."""

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command and the output shown below it."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            count = 1
            while lines[count - 1].endswith("\\"):
                count += 1
            yield "\n".join(lines[:count]), "\n".join(lines[count:])


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    path: Path

    @cached_property
    def tokens(self) -> list[Token]:
        """Markdown-it's tokens of the file."""
        return MarkdownIt("commonmark").enable("table").parse(self.path.read_text())

    def blocks(self) -> Iterator[Block]:
        """Yield the fenced blocks in order."""
        for before, token in zip([None, *self.tokens], self.tokens, strict=False):
            if token.type == "fence" and token.map:
                comment = before and COMMENT.fullmatch(before.content)
                reason = comment[1] if comment else ""
                yield Block(token.map[0] + 1, token.info, token.content, reason)

    def links(self) -> Iterator[str]:
        """Yield the targets of links and pictures, except other hosts'."""
        for token in self.tokens:
            for child in token.children or ():
                target = str(child.attrGet("href") or child.attrGet("src") or "")
                if target and not re.match(r"\w+:", target):
                    yield target

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, as GitHub makes them."""
        anchors: set[str] = set()
        for token, text in zip(self.tokens, self.tokens[1:], strict=False):
            if token.type == "heading_open":
                parts = text.children or ()
                words = "".join(one.content for one in parts).lower()
                slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
                same = sum(re.fullmatch(rf"{slug}(-\d+)?", one) is not None for one in anchors)
                anchors.add(f"{slug}-{same}" if same else slug)
        return anchors

    def broken_links(self) -> list[str]:
        """Return the links that lead nowhere."""
        return [link for link in self.links() if not self._resolves(link)]

    def _resolves(self, link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = (self.path.parent / path).resolve() if path else self.path
        if not target.exists() or not target.is_relative_to(TOP):
            return False
        return not anchor or anchor in Document(target).anchors()


@dataclass
class Reader:
    """Runs the blocks of one document, in order, in `folder`."""

    demo: Path
    """An unpacked demo, which is copied."""
    folder: Path
    names: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (programs / "edgesplit").write_text('#!/bin/sh\nexec python -m edgesplit "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)

    def start(self) -> None:
        """Go to a fresh copy of the demo."""
        self.cwd = self.folder / "demo"
        shutil.rmtree(self.cwd, ignore_errors=True)
        shutil.copytree(self.demo, self.cwd)

    def read(self, block: Block) -> str:
        """Run a block; return "" or what is wrong with it."""
        if block.language == "python":
            return self._read_python(block)
        commands = [*block.commands()]
        if odd := [command for command, _ in commands if not HARMLESS.fullmatch(command)]:
            return f"has commands that no test may run, and no comment: {odd}"
        return "\n".join(filter(None, (self._type(*one) for one in commands)))

    def _type(self, command: str, shown: str) -> str:
        file = re.fullmatch(r"cat ([\w.-]+)", command)
        if file and not (self.cwd / file[1]).exists():
            (self.cwd / file[1]).write_text(shown + "\n")
        end = self.folder / "end"
        script = f"exec 2>&1\ntrap 'pwd > {end}' EXIT\n{command}"
        path = {"PATH": f"{self.folder / 'bin'}:/bin", "PYTHONPATH": str(TOP)}
        env = os.environ | path | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.cwd, env=env, input="", text=True, capture_output=True
        )
        self.cwd = Path(end.read_text().strip())
        fails = re.match("Error|Usage", shown) is not None
        if (done.returncode != 0) == fails and (not shown or like(shown, done.stdout)):
            return ""
        return f"$ {command}\nexit code {done.returncode}, prints\n{done.stdout}\nnot\n{shown}"

    def _read_python(self, block: Block) -> str:
        beside = self.folder / "python"
        if not beside.exists():
            beside.mkdir()
            shutil.copytree(self.demo / "motion.bundle", beside / "lab.bundle")
            shutil.copyfile(self.demo / "clips" / CLIP, beside / "clip.mp4")
            self.names["bundle"] = open_bundle(beside / "lab.bundle")
        here = os.getcwd()
        os.chdir(beside)
        try:
            exec(compile(block.text, f"block at line {block.line}", "exec"), self.names)
        except Exception as error:  # any: it is the document's
            return f"{block.text}\nraises {type(error).__name__}: {error}"
        finally:
            os.chdir(here)
        return ""


def like(shown: str, printed: str) -> bool:
    """Return True if the texts agree but for spacing, times and what `[…]` stands for."""
    parts = (re.escape(_settle(part)) for part in shown.split("[…]"))
    pattern = r"\s?.*?\s?".join(parts)
    return re.fullmatch(pattern, _settle(printed), re.DOTALL) is not None


def _settle(text: str) -> str:
    for varying, word in VARYING:
        text = varying.sub(word, text)
    return " ".join(text.split())
