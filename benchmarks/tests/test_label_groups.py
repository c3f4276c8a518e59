"""Groups induced from labels are those of the benchmarks' categories."""

import json
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.motion_split.classes import CATEGORIES, Half, head_labels
from benchmarks.quality import label_groups
from edgesplit.edits.groups import find_groups

SSV2 = Path(__file__).parents[3] / "shared" / "data" / "SSv2-Split" / "group_scheme.json"


@pytest.mark.parametrize("half", get_args(Half))
def test_groups_of_motion_split_are_its_categories(half: Half) -> None:
    expected = {
        category.pattern.partition(" {}")[0]: {
            label: modifier.removeprefix("a ")  # "a little", "a lot": the article is shared
            for label, modifier in category.fine.items()
        }
        for category in CATEGORIES
        if category.half != half
    }
    found = find_groups(enumerate(head_labels(half)))
    assert {one.name: {m.label: m.modifier for m in one.members} for one in found} == expected


@pytest.fixture(scope="module")
def ssv2() -> dict[str, list[str]]:
    """Return {coarse category: fine labels} of Something-Something V2, as people grouped them."""
    scheme: dict[str, list[str]] = json.loads(SSV2.read_text())["group_scheme"]
    return scheme


@pytest.mark.skipif(not SSV2.is_file(), reason=f"needs {SSV2}")
def test_groups_of_ssv2_are_those_that_people_made(ssv2: dict[str, list[str]]) -> None:
    hand = {label: coarse for coarse, fine in ssv2.items() for label in fine}
    induced = label_groups.clusters(sorted(hand))
    assert label_groups.agreement(hand, induced).ari > 0.75
    in_groups = {label: coarse for label, coarse in hand.items() if len(ssv2[coarse]) > 1}
    assert label_groups.agreement(in_groups, induced).precision > 0.9
