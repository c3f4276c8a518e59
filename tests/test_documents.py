"""README and docs/: every block gives what it shows, and every link leads somewhere."""

import ast
import re
from pathlib import Path

import pytest

from edgesplit.demo import unpack_demo
from tests.transcripts import HARMLESS, TOP, Document, Reader, like

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
TORCH = {"docs/how-to/export-your-model.md"}
README_LINES = 180
every_document = pytest.mark.parametrize("name", DOCUMENTS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_demo(tmp_path_factory.mktemp("demo")).path.parent


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.torch] * (name in TORCH)) for name in RUN]
)
def test_blocks_give_what_they_show(name: str, demo: Path, tmp_path: Path) -> None:
    if name in TORCH:
        pytest.importorskip("torch")
    reader = Reader(demo, tmp_path)
    wrong = []
    for block in RUN[name]:
        if block.reason:
            continue
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


def test_the_readme_is_short() -> None:
    assert len((TOP / "README.md").read_text().splitlines()) <= README_LINES


def test_the_site_lists_every_page() -> None:
    # Python 3.10 has no reader of TOML.
    listed = re.findall(r'= "(.+\.md)"', (TOP / "zensical.toml").read_text())
    pages = {name.removeprefix("docs/") for name in DOCUMENTS} - {"README.md"}
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize("package", ["edgesplit", "edgesplit.runtime", "edgesplit.export"])
def test_the_reference_has_every_public_name(package: str) -> None:
    source = (TOP / package.replace(".", "/") / "__init__.py").read_text()
    lists = re.search(r"^__all__ = (\[.*?\])", source, re.DOTALL | re.MULTILINE)
    assert lists
    elsewhere = {"__version__", "EdgesplitError"}  # in the page's text; on the page of errors
    public = set(ast.literal_eval(lists[1])) - elsewhere
    page = {"edgesplit": "python"}.get(package, package.rpartition(".")[2])
    text = (TOP / "docs" / "reference" / f"{page}.md").read_text()
    assert set(re.findall(rf"^::: {package}\.(\w+)$", text, re.MULTILINE)) == public


@pytest.mark.parametrize(
    "command",
    ["pip uninstall tqdm", "twine upload dist/*", "edgesplit log && make x", "cat $(make x)"],
)
def test_no_other_command_is_run(command: str) -> None:
    assert not HARMLESS.fullmatch(command)


def test_times_and_what_is_left_out_may_differ() -> None:
    assert like("made in 3 s, […] by 1.70 x", "made in 41 s,\n  x by  2 x")
    assert not like("head 6ddece008a2b", "head b31a86fad238")
    assert not like("95 % […]", "76 % of all")
