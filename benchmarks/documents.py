"""What README.md and docs/ quote from results, made from the committed ones.

    python -m benchmarks.documents      # or `make documents`

A quoted block stands between `<!-- name -->` and `<!-- /name -->`.
"""

from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks import (
    bench_comparison,
    bench_int8_signs,
    bench_locality_after_export,
    bench_models,
    bench_speed,
    summary,
)
from benchmarks.motion_split import report
from benchmarks.peers import edit_to_live
from benchmarks.results import ROOT

__all__ = ["documents", "fill"]


def documents() -> dict[Path, str]:
    """Every document that quotes results, as it should be."""
    blocks = {
        "README.md": {"motion-split": report.readme_block(), "summary": summary.read_table()},
        "docs/bench.md": {
            "comparison": bench_comparison.read_table(),
            "growth": summary.read_growth(),
        },
        "docs/engines.md": {"int8-signs": bench_int8_signs.read_sentence()},
        "docs/method.md": report.method_blocks(),
        "docs/models.md": {"models": bench_models.read_table(), "speed": bench_speed.read_table()},
        "docs/peers.md": {"edit-to-live": edit_to_live.read_table()},
        "docs/variants.md": {"locality": bench_locality_after_export.read_table()},
    }
    return {ROOT / name: fill((ROOT / name).read_text(), quoted) for name, quoted in blocks.items()}


def fill(document: str, blocks: Mapping[str, str]) -> str:
    """The document with its blocks anew.

    Raises:
        ValueError: a block has no place in the document, or more than one.
    """
    for name, text in blocks.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = document.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed or start in after:
            raise ValueError(f"the document has no place for the block {name!r}, or several")
        document = f"{before}{start}{text}\n{end}{after}"
    return document


@click.command()
def main() -> None:
    """Write the blocks into their documents."""
    for path, text in documents().items():
        if path.read_text() != text:
            path.write_text(text)
            click.echo(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
