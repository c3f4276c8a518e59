"""Make docs/results.md's table of costs, with a column for each measured machine."""

from collections.abc import Callable
from typing import Any

from benchmarks.harness.results import read_result, read_timings

Result = dict[str, Any]

__all__ = ["fill_in", "read_table"]

ROWS: tuple[tuple[str, str, str, Callable[[Result], str]], ...] = (
    (
        "VideoMAE-S: from “split this class” to the new head serving",
        "edit_to_live",
        "speed.edit_to_live",
        lambda found: f"**{1e3 * _way(found, 'edgesplit'):.0f} ms**",
    ),
    (
        "… fusing and reloading the whole model instead",
        "edit_to_live",
        "speed.edit_to_live",
        lambda found: _times(found, "fuse + reload"),
    ),
    (
        "… re-exporting it from torch: loaded already, as a script",
        "edit_to_live",
        "speed.edit_to_live",
        lambda found: (
            f"{_times(found, 'torch re-export')}, {_times(found, 'torch re-export, a script')}"
        ),
    ),
    (
        "… to ship, of the whole model",
        "edit_to_live",
        "speed.edit_to_live",
        lambda found: (
            f"{found['rows'][0]['payload_bytes'] / 1e6:.2f} of "
            f"{found['backbone_bytes'] / 1e6:.0f} MB"
        ),
    ),
    (
        "VideoMAE-S on two threads beside torch: fp32, `ort`, `int8`",
        "speed",
        "speed.beside_torch",
        lambda found: ", ".join(
            f"{row['times_as_fast']:.2f} x"
            for row in found["rows"]["2"]
            if row["name"] in ("bundle", "ort", "int8")
        ),
    ),
    (
        "… torch itself in bf16",
        "speed",
        "speed.beside_torch",
        lambda found: next(
            f"{row['times_as_fast']:.2f} x"
            for row in found["rows"]["2"]
            if row["name"] == "torch bf16"
        ),
    ),
    (
        "two graphs instead of one, a clip",
        "two_graphs",
        "speed.two_graphs",
        lambda found: "{difference_us:.1f} us [{low:.1f}, {high:.1f}]".format(
            **found["small"],
            low=found["small"]["interval_us"][0],
            high=found["small"]["interval_us"][1],
        ),
    ),
    (
        "the head, one feature: unsplit, with 27 and 100 splits",
        "head",
        "speed.head",
        lambda found: (
            f"{_head(found, 0)['run_us']['median']:.1f} us, "
            f"{_head(found, 27)['run_ratio']['median']:.1f} x, "
            f"{_head(found, 100)['run_ratio']['median']:.1f} x"
        ),
    ),
    (
        "an edit from embedded texts: 174, 10,000 classes",
        "edit",
        "speed.edit",
        lambda found: ", ".join(
            f"{row['edit_ms']:.0f} ms" for row in found["rows"] if row["classes"] in (174, 10_000)
        ),
    ),
)

SWAPS = """
**Swaps.** A camera at {fps:.0f} frames a second, a window for each, another process publishing ten
heads a second: of {windows:,} windows, with {swaps:,} swaps and as long without, {lost} were lost,
{twice} reported twice and {mixed} mixed; every result was checked in numpy against the head that it
names. A prediction takes {swaps_p99} ms at the 99th percentile during swaps and {null_p99} ms
{interval} without; from the end of a publish to the first result by the new head it takes
{live:.0f} ms at the median, frames coming every 33 ms
([swap.json](../benchmarks/results/swap.json), `python -m benchmarks.soak.swap`, {machine}).
"""

SOAK = """
**Soak.** {swaps:,} swaps while two threads made {decisions:,} decisions: {mixed} of them mixed;
resident memory {early} MiB after a tenth, {half} half-way, {end} at the end. An hour of stream,
sped up: {frames:,} frames, each accounted for, {first} MiB after a tenth and {last} at the end.
{fuzzed:,} fuzzed head files and preprocessings raised nothing but edgesplit's own errors
([soak.json](../benchmarks/results/soak.json), `make soak`, {machine}).
"""

AFTER_EXPORT = """
**After export.** Over {splits} splits and {clips:,} held-out clips of {models}, in fp32, fp16 and
int8 each, an edit changed {flips} decisions outside the split and untouched logits by {logit:g};
who edits *and* quantises keeps {least:.2%} or more of what was right
([variants.md](variants.md#after-export)).
"""


def read_table() -> str:
    """Return the block of docs/results.md, from the committed results."""
    names = [found["made"]["machine"] for found in read_timings("edit_to_live")]
    lines = [f"| | {' | '.join(names)} | `python -m benchmarks.` … |"]
    lines += ["|---" * (len(names) + 2) + "|"]
    for what, result, command, cell in ROWS:
        found = {one["made"]["machine"]: one for one in read_timings(result)}
        cells = [cell(found[name]) if name in found else "" for name in names]
        lines.append(f"| {what} | {' | '.join(cells)} | `{command}` |")
    return "\n\n".join(["\n".join(lines), _read_swaps(), _read_soak(), _read_after_export()])


def fill_in(template: str, **values: Any) -> str:
    """Return a template with its values, on one line."""
    return " ".join(template.format(**values).split())


def _way(found: Result, name: str) -> float:
    return float(next(row["edit_to_live_s"] for row in found["rows"] if row["way"] == name))


def _times(found: Result, name: str) -> str:
    return f"{_way(found, name) / _way(found, 'edgesplit'):.3g} x"


def _head(found: Result, splits: int) -> Result:
    """Return the result of the head with `splits` splits that are not nested."""
    return next(row for row in found["heads"] if row["splits"] == splits and row["depth"] <= 1)


def _read_swaps() -> str:
    found = read_result("swap")
    prediction = found["prediction_ms"]
    return fill_in(
        SWAPS,
        **found,
        **{name: prediction[name] for name in ("swaps_p99", "null_p99")},
        interval=prediction["null_p99_interval"],
        live=found["publish_to_result_ms"]["from_its_end_p50"],
        machine=found["made"]["machine"],
    )


def _read_soak() -> str:
    found = read_result("soak")
    swaps, stream = found["swaps"], found["stream"][0]
    return fill_in(
        SOAK,
        swaps=swaps["swaps"],
        decisions=swaps["decisions_meanwhile"],
        mixed=swaps["mixed"],
        early=swaps["resident_mib_by_tenth"][1],
        half=swaps["resident_mib_by_tenth"][4],
        end=swaps["resident_mib_by_tenth"][-1],
        frames=stream["accounting"]["frames"],
        first=stream["resident_mib_by_tenth"][1],
        last=stream["resident_mib_by_tenth"][-1],
        fuzzed=found["fuzz_head"]["inputs"],
        machine=found["made"]["machine"],
    )


def _read_after_export() -> str:
    models = read_result("locality")["models"]
    rows = [row for model in models for row in model["precisions"]]
    flips = sum(
        round((1 - row["edit"]["same_decision"]) * models[0]["heldout_clips"]) for row in rows
    )
    return fill_in(
        AFTER_EXPORT,
        splits=models[0]["categories"],
        clips=models[0]["heldout_clips"],
        models=f"{len(models)} backbones",
        flips=flips,
        logit=max(row["edit"]["largest_logit"] for row in rows),
        least=min(row["both"]["locality"] for row in rows),
    )
