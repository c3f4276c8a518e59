"""Words of labels."""

import pytest

from edgesplit.heads.label_text import differing_words


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a b c", "a d c"], ["b", "d"]),
        (["a b", "a b c"], ["", "c"]),
        (["A b", "a c"], ["b", "c"]),
        (["a, b", "a c"], ["b", "c"]),
        (["x", "y"], ["x", "y"]),
        (["a a", "a a a"], ["", "a"]),
        (["only one"], [""]),
    ],
)
def test_differing_words_are_what_begins_and_ends_do_not_share(
    labels: list[str], expected: list[str]
) -> None:
    assert differing_words(labels) == expected
