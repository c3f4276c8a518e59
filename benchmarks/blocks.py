"""Blocks of documents that are made from results: between `<!-- name -->` and `<!-- /name -->`."""

from collections.abc import Mapping

__all__ = ["fill"]


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
