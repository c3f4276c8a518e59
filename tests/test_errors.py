"""The error tree is the one that its docstring draws."""

import re

import pytest

from edgesplit import errors
from edgesplit.errors import EdgesplitError

# One line of the drawing: its depth by the column of the name, the name, a sentence.
_LINE = re.compile(
    r"^    (?P<branch>[│├└─ ]*)(?P<name>\w+Error)\s{2,}(?P<says>\S.*)$", re.MULTILINE
)


def drawn() -> dict[str, str | None]:
    """Every drawn class and its drawn base."""
    bases: dict[str, str | None] = {}
    ancestors: list[str] = []
    for line in _LINE.finditer(errors.__doc__ or ""):
        depth = len(line["branch"]) // 4
        bases[line["name"]] = ancestors[depth - 1] if depth else None
        ancestors[depth:] = [line["name"]]
    return bases


def test_the_docstring_draws_every_error_under_its_base() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    real = {
        error.__name__: None if error is EdgesplitError else error.__bases__[0].__name__
        for error in classes
    }
    assert drawn() == real


def test_all_names_every_error() -> None:
    assert errors.__all__ == sorted(drawn())


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_says_when_it_happens(name: str) -> None:
    assert getattr(errors, name).__doc__


def test_mistakes_of_the_program_are_not_errors_of_edgesplit() -> None:
    assert not issubclass(EdgesplitError, (TypeError, ValueError, OSError))
