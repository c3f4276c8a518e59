"""docs/field.md names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "field.md"


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py|…)(?:::(test_\w+))?`", PAGE.read_text())
    assert len(named) > 40
    file = Path()
    missing = []
    for where, test in named:
        if where != "…":
            found = [*TESTS.rglob(where)]
            file = found[0] if found else TESTS / where
        if not file.is_file() or (test and f"def {test}(" not in file.read_text()):
            missing.append(f"{file.name}::{test}")
    assert missing == []
