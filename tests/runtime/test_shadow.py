"""Shadow heads say what a candidate would change; an edit that changes too much is taken back."""

import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from edgesplit.bundle.bundle import Bundle
from edgesplit.bundle.history import Version
from edgesplit.errors import BackendError, BundleError, FeatureSpaceError
from edgesplit.heads.head import Head
from edgesplit.runtime import Runtime
from edgesplit.runtime.live.live_head import ServingHead
from edgesplit.runtime.live.shadow import MIN_WINDOWS, Shadow, lowest_share
from tests.bundles import head_file
from tests.waiting import wait_until

Floats = npt.NDArray[np.float32]
PUSHING = "pushing something"


@pytest.fixture
def windows(bundle: Bundle) -> Floats:
    rows = np.random.default_rng(7).standard_normal((400, bundle.dim))
    return rows.astype(np.float32)


@pytest.fixture
def runtime(bundle: Bundle) -> Iterator[Runtime]:
    with Runtime(bundle) as runtime:
        yield runtime


def split(bundle: Bundle, composition: str = "gated") -> Head:
    edit = bundle.split_class(PUSHING, into=["left", "right"], composition=composition)  # type: ignore[arg-type]
    return edit.head


def test_gated_candidate_differs_only_inside_its_split(runtime: Runtime, windows: Floats) -> None:
    live, candidate = runtime.bundle.head(), split(runtime.bundle)
    assert runtime.start_shadow(candidate) == candidate.digest
    labels = [runtime.decide(feature).label for feature in windows]
    report = runtime.shadow_report()
    assert report is not None
    assert (report.live, report.candidate) == (live.digest, candidate.digest)
    assert (report.n_windows, report.n_outside, report.changes) == (400, 0, ())
    (inside,) = report.splits
    decided = candidate.classify(windows)
    assert inside.label == PUSHING
    assert inside.n_windows == labels.count(PUSHING) > 0
    for label, share in inside.shares.items():
        assert share == pytest.approx(decided.count(label) / inside.n_windows)
    assert sum(inside.shares.values()) == pytest.approx(1)


def test_mean_margin_is_that_of_the_children_given_their_parent(
    runtime: Runtime, windows: Floats
) -> None:
    candidate = split(runtime.bundle)
    runtime.start_shadow(candidate)
    for feature in windows:
        runtime.decide(feature)
    result = candidate.evaluate(windows)
    left, right = (candidate.tree.find(f"{PUSHING} {side}") for side in ("left", "right"))
    mine = np.isin(result.class_index, (left, right))
    one, two = result.probabilities[mine, left], result.probabilities[mine, right]
    report = runtime.stop_shadow()
    assert report is not None
    assert report.splits[0].mean_margin == pytest.approx(
        float((abs(one - two) / (one + two)).mean()), abs=1e-4
    )
    assert runtime.shadow_report() is None


def test_disagreement_outside_is_counted_and_named(runtime: Runtime, windows: Floats) -> None:
    live = runtime.bundle.head()
    bias = live.bias.copy()
    bias[live.tree.find(PUSHING)] += 1  # as a head trained anew would: other classes lose
    other = Head(live.tree, live.weight, bias, live.feature_space)
    runtime.start_shadow(other)
    for feature in windows:
        runtime.decide(feature)
    report = runtime.shadow_report()
    assert report is not None
    pairs = zip(live.classify(windows), other.classify(windows), strict=True)
    changed = [(ours, theirs) for ours, theirs in pairs if ours != theirs]
    assert report.n_outside == len(changed) > 0
    assert {(c.live, c.candidate): c.count for c in report.changes} == {
        pair: changed.count(pair) for pair in set(changed)
    }
    assert report.largest_logit_difference == pytest.approx(1, abs=1e-4)
    assert report.splits == ()


def test_split_whose_windows_all_become_one_child_is_warned_of(
    runtime: Runtime, windows: Floats
) -> None:
    candidate = split(runtime.bundle)
    bias = candidate.bias.copy()
    bias[candidate.tree.find(f"{PUSHING} left")] += 100
    runtime.start_shadow(
        Head(candidate.tree, candidate.weight, bias, candidate.feature_space, candidate.parent)
    )
    mine = [f for f in windows if runtime.bundle.head().classify(f) == [PUSHING]]
    for feature in (mine * MIN_WINDOWS)[: MIN_WINDOWS - 1]:
        runtime.decide(feature)
    report = runtime.shadow_report()
    assert report is not None
    assert not report.warnings  # too few to say so
    runtime.decide(mine[0])
    report = runtime.shadow_report()
    assert report is not None
    (warning,) = report.warnings
    assert f"100% of {MIN_WINDOWS} windows" in warning
    assert "'pushing something left'" in warning
    assert report.to_json()["splits"][0]["collapsed"] is True


def test_counting_starts_anew_when_another_head_goes_live(
    runtime: Runtime, windows: Floats
) -> None:
    candidate = split(runtime.bundle)
    runtime.start_shadow(candidate)
    runtime.decide(windows[0])
    runtime.bundle.publish(candidate)
    runtime.swap_head()
    runtime.decide(windows[0])
    report = runtime.shadow_report()
    assert report is not None
    assert (report.live, report.n_windows) == (candidate.digest, 1)
    assert report.splits == ()  # live and candidate are the same head now


def test_shadow_of_another_feature_space_is_refused(runtime: Runtime) -> None:
    live = runtime.bundle.head()
    with pytest.raises(FeatureSpaceError, match="another"):
        runtime.start_shadow(Head(live.tree, live.weight, live.bias, "0" * 64))
    with pytest.raises(BundleError):
        runtime.start_shadow("0123abcd")
    assert runtime.shadow_report() is None


def test_candidate_in_trouble_leaves_the_live_answers_alone(
    bundle: Bundle, windows: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, candidate = ServingHead(bundle.head()), ServingHead(split(bundle))
    shadow = Shadow(candidate)

    def fail(features: Floats) -> None:
        raise BackendError("out of memory")

    monkeypatch.setattr(candidate, "evaluate", fail)
    decided = live.evaluate(windows[:1])
    shadow.observe(live, windows[:1], decided)
    report = shadow.report()
    assert "out of memory" in report.stopped
    assert report.warnings == (report.stopped,)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 0, 0, 0), (0, 1000, 0, 0), (1, 1, 0, 0.11), (30, 1000, 0.016, 0.019), (5, 5, 0.3, 0.4)],
)
def test_lowest_share_asks_for_evidence(count: int, total: int, low: float, high: float) -> None:
    assert low <= lowest_share(count, total) <= high


def test_lowest_share_is_the_lower_root_of_wilsons_equation() -> None:
    share = lowest_share(40, 200)
    assert abs(40 / 200 - share) == pytest.approx(3 * np.sqrt(share * (1 - share) / 200))


# Rollback


def louder(bundle: Bundle) -> Head:
    """A flat split whose children win clips of other classes."""
    head = split(bundle, "flat")
    bias = head.bias.copy()
    for side in ("left", "right"):
        bias[head.tree.find(f"{PUSHING} {side}")] += 8
    return Head(head.tree, head.weight, bias, head.feature_space, head.parent)


def test_edit_that_changes_too_much_outside_is_rolled_back(bundle: Bundle, windows: Floats) -> None:
    first, edited = bundle.live, louder(bundle)
    with Runtime(bundle, rollback_above=0.05) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        assert runtime.head_digest == edited.digest
        for feature in windows:
            runtime.decide(feature)
        wait_until(lambda: runtime.head_digest == first and bundle.live == first)
        assert "significantly more than 5.00%" in runtime.rolled_back
        action = bundle.history()[-1].action
        assert re.match(r"automatic rollback to \w+: \w+ changed \d+ of \d+ windows", action)
        for feature in windows:  # nor is the rollback rolled back
            runtime.decide(feature)
        assert runtime.head_digest == first


def own_parent(head: Head) -> Head:
    """A head whose parent is how its own digest starts, found by trying."""
    for letter in "0123456789abcdef".replace(head.digest[0], ""):
        for scale in range(1, 200):
            bias = head.bias + np.float32(scale)
            made = Head(head.tree, head.weight, bias, head.feature_space, head.digest)
            object.__setattr__(made, "parent", letter)  # no head that is made the usual way
            if made.digest.startswith(letter):
                return made
    raise AssertionError("no digest starts so")


def test_a_head_that_is_its_own_parent_is_refused_and_the_next_is_followed(
    bundle: Bundle, windows: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edgesplit.bundle.head_files.MIN_PREFIX", 1
    )  # four digits take a second to find
    made = own_parent(bundle.head())
    first = bundle.live
    with Runtime(bundle, rollback_above=0.05) as runtime:
        (bundle.path / "heads" / f"{made.digest}.onnx").write_bytes(made.to_bytes())
        (bundle.path / "HEAD").write_text(made.digest)
        wait_until(lambda: "The head's parent is not valid" in runtime.refusal)
        assert runtime.head_digest == first
        (bundle.path / "HEAD").write_text(first)
        edit = split(bundle, "gated")
        bundle.publish(edit, accept_changes=True)
        wait_until(lambda: runtime.head_digest == edit.digest)
    (problem,) = bundle.verify()
    assert "The head's parent is not valid" in problem


def test_the_first_windows_alone_take_nothing_back(bundle: Bundle, windows: Floats) -> None:
    edited = louder(bundle)
    before = bundle.head().evaluate(windows).class_index
    changed = windows[edited.evaluate(windows).class_index != before]
    with Runtime(bundle, rollback_above=0.02) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        for index in range(MIN_WINDOWS - 1):
            runtime.decide(changed[index % len(changed)])
        time.sleep(0.3)
        assert runtime.head_digest == bundle.live == edited.digest
        runtime.decide(changed[0])
        wait_until(lambda: bundle.live != edited.digest)


@pytest.mark.parametrize("bar", [None, 0.9])
def test_edit_stays_below_the_bar(bundle: Bundle, windows: Floats, bar: float | None) -> None:
    edited = louder(bundle)
    with Runtime(bundle, rollback_above=bar) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        for feature in windows:
            runtime.decide(feature)
        assert runtime.head_digest == bundle.live == edited.digest
        assert runtime.rolled_back == ""


def test_gated_edit_is_never_rolled_back(bundle: Bundle, windows: Floats) -> None:
    with Runtime(bundle, rollback_above=0) as runtime:
        digest = bundle.publish(split(bundle)).digest
        runtime.swap_head()
        for feature in windows:
            runtime.decide(feature)
        assert runtime.head_digest == digest


def test_two_edits_at_once_are_watched_as_one(bundle: Bundle, windows: Floats) -> None:
    first = bundle.live
    with Runtime(bundle, poll_s=0.5, rollback_above=0.05) as runtime:
        bundle.publish(louder(bundle), accept_changes=True)
        last = bundle.publish(bundle.rename_class("holding", "keeping something")).digest
        runtime.swap_head()
        assert runtime.head_digest == last
        for feature in windows:
            runtime.decide(feature)
        wait_until(lambda: runtime.head_digest == first and bundle.live == first)


def test_an_edit_that_is_made_live_again_stays(bundle: Bundle, windows: Floats) -> None:
    first, edited = bundle.live, louder(bundle)
    with Runtime(bundle, rollback_above=0.05) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        for feature in windows:
            runtime.decide(feature)
        wait_until(lambda: runtime.head_digest == first and bundle.live == first)
        bundle.rollback(edited.digest)
        runtime.swap_head()
        for feature in windows:
            runtime.decide(feature)
        time.sleep(0.3)
        assert runtime.head_digest == bundle.live == edited.digest


def test_a_rollback_that_is_not_possible_is_not_told_as_one(
    bundle: Bundle, windows: Floats
) -> None:
    before, edited = bundle.live, louder(bundle)
    with Runtime(bundle, rollback_above=0.05) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        head_file(bundle, before).unlink()
        for feature in windows:
            runtime.decide(feature)
        wait_until(lambda: not any("rollback" in one.name for one in threading.enumerate()))
        assert runtime.rolled_back == ""
        assert runtime.head_digest == bundle.live == edited.digest


def test_a_dropped_subcategory_lies_inside_its_split(bundle: Bundle, windows: Floats) -> None:
    bundle.publish(bundle.split_class(PUSHING, into=["left", "right", "up"], accept_doubt=True))
    three = ServingHead(bundle.head())
    two = ServingHead(bundle.drop_class(f"{PUSHING} up").head)
    decided = two.evaluate(windows)
    shadow = Shadow(three)
    shadow.observe(two, windows, decided)
    up = three.head.tree.find(f"{PUSHING} up")
    assert (three.evaluate(windows).class_index == up).any()
    assert shadow.outside == (0, len(windows))


def test_bundle_that_cannot_be_written_is_rolled_back_here_only(
    bundle: Bundle, windows: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, edited = bundle.live, louder(bundle)

    def fail(self: Bundle, *arguments: object, **named: object) -> None:
        raise BundleError("Cannot publish: Read-only file system.")

    with Runtime(bundle, rollback_above=0.05) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        monkeypatch.setattr(Bundle, "rollback", fail)
        for feature in windows:
            runtime.decide(feature)
        wait_until(lambda: runtime.head_digest == first)
        assert "in this runtime only" in runtime.rolled_back
        assert bundle.live == edited.digest


def test_what_somebody_else_published_meanwhile_is_neither_rolled_back_nor_missed(
    bundle: Bundle, windows: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = louder(bundle)
    real = Bundle.rollback
    others: list[str] = []

    def publish_first(self: Bundle, digest: str, *, expect: str, action: str) -> Version:
        others.append(self.publish(self.rename_class("holding", "keeping something")).digest)
        return real(self, digest, expect=expect, action=action)

    # The watcher is slow here: the rollback's thread must not settle what it has not seen.
    with Runtime(bundle, poll_s=0.3, rollback_above=0.05) as runtime:
        bundle.publish(edited, accept_changes=True)
        runtime.swap_head()
        monkeypatch.setattr(Bundle, "rollback", publish_first)
        for window in windows:
            runtime.decide(window)
        wait_until(lambda: len(others) == 1 and runtime.head_digest == others[0])
        assert bundle.live == others[0]
        assert "in this runtime only" not in runtime.rolled_back


def test_bar_that_is_no_share_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="rollback_above"):
        Runtime(bundle, rollback_above=1.5)
