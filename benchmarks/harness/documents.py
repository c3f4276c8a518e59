"""Write the blocks of README.md and docs/ that quote results, from the committed results.

    python -m benchmarks.harness.documents      # or `make documents`

A quoted block is between `<!-- name -->` and `<!-- /name -->`.
"""

from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks.hardware import report as hardware
from benchmarks.harness import readme, summary
from benchmarks.harness.results import ROOT
from benchmarks.motion_split import report as motion_split
from benchmarks.quality import asking_report, locality_after_export
from benchmarks.real import report as real
from benchmarks.speed import beside_torch, comparison, edit_to_live, growth, int8_signs, models

__all__ = ["documents", "fill"]


def documents() -> dict[Path, str]:
    """Return every document that quotes results, with its current blocks."""
    blocks = {
        "README.md": {
            "results": readme.results_block(),
            "costs": readme.costs_block(),
            "demo-answers": asking_report.readme_block(),
        },
        "docs/bench.md": {
            "comparison": comparison.read_table(),
            "growth": growth.read_sentence(),
        },
        "docs/engines.md": {"int8-signs": int8_signs.read_sentence()},
        "docs/hardware.md": {"hardware": hardware.read_table()},
        "docs/method.md": {
            **motion_split.method_blocks(),
            "results": real.readme_block(),
            "travel": real.method_block(),
            "asking": asking_report.method_block(),
            "asking-limits": asking_report.limits_block(),
        },
        "docs/models.md": {"models": models.read_table(), "speed": beside_torch.read_table()},
        "docs/peers.md": {"edit-to-live": edit_to_live.read_table()},
        "docs/results.md": {
            **real.results_blocks(),
            **asking_report.results_blocks(),
            "motion-split": motion_split.results_block(),
            "summary": summary.read_table(),
        },
        "docs/variants.md": {"locality": locality_after_export.read_table()},
    }
    return {ROOT / name: fill((ROOT / name).read_text(), quoted) for name, quoted in blocks.items()}


def fill(document: str, blocks: Mapping[str, str]) -> str:
    """Return the document with new blocks.

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
