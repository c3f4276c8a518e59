"""README and docs/: every block gives what it shows, and every link leads somewhere."""

from pathlib import Path

import pytest

from edgesplit.demo import unpack_demo
from tests.transcripts import TOP, Document, Reader, like

NAMES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
DOCUMENTS = {
    str(path.relative_to(TOP)): Document(path)
    for path in [*(TOP / name for name in NAMES), *sorted((TOP / "docs").rglob("*.md"))]
}
RUN = {
    name: blocks
    for name, document in DOCUMENTS.items()
    if (blocks := [one for one in document.blocks() if one.language in ("console", "python")])
}
ANEW = {"README.md"}
"""Its text says that every transcript starts from the demo's bundle."""
UNMARKED = ("$ make demo", "$ edgesplit export", "$ python -m benchmarks.")
"""How blocks of README.md begin that need the checkout, torch or data, until comments there say so."""
every_document = pytest.mark.parametrize("name", DOCUMENTS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_demo(tmp_path_factory.mktemp("demo")).path.parent


@pytest.mark.parametrize("name", RUN)
def test_blocks_give_what_they_show(name: str, demo: Path, tmp_path: Path) -> None:
    reader = Reader(demo, tmp_path)
    wrong = []
    for block in RUN[name]:
        if block.reason or (name == "README.md" and block.text.startswith(UNMARKED)):
            continue
        if name in ANEW:
            reader.start_anew()
        if fault := reader.read(block):
            wrong.append(f"{name}:{block.line}: {fault}")
    assert not wrong, "\n\n".join(wrong)


@every_document
def test_links_lead_somewhere(name: str) -> None:
    assert DOCUMENTS[name].broken_links() == []


@every_document
def test_no_block_is_left_out_by_its_language(name: str) -> None:
    languages = {block.language for block in DOCUMENTS[name].blocks()}
    assert languages <= {"console", "json", "python", "text", "yaml"}


def test_times_and_what_is_left_out_may_differ() -> None:
    assert like("made in 3 s, […] by 1.70 x", "made in 41 s,\n  x by  2 x")
    assert not like("head 6ddece008a2b", "head b31a86fad238")
    assert not like("95 % […]", "76 % of all")
