"""A small soak test of streams."""

import pytest

from benchmarks.soak import stream


@pytest.mark.parametrize("live", [False, True], ids=["block", "latest"])
def test_soak_counts_every_frame(live: bool) -> None:
    # What `make soak` does for an hour; here memory is not looked at, it needs minutes to settle.
    result = stream.stream(9, live=live, part_s=3)
    assert result["exact"]
    assert result["accounting"]["frames"] == 9 * 30
    assert result["accounting"]["gaps"] == (2 if live else 0)
    assert len(result["resident_mib_by_tenth"]) >= 2
