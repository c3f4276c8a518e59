"""`edgesplit bench`: its statistics on made times, its questions in small, its page by geometry."""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from edgesplit.bundle.bundle import Bundle
from edgesplit.cli import main
from edgesplit.demo import ASSETS, BUNDLE, unpack_demo
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench import edit, latency, locality, swap
from edgesplit.runtime.bench.charts import bars, curve, short, width_of
from edgesplit.runtime.bench.compare import (
    LIMIT,
    TURNS,
    Comparison,
    Side,
    compare_sides,
    judge,
    sides_of,
)
from edgesplit.runtime.bench.page import to_html, to_table
from edgesplit.runtime.bench.record import QUESTIONS, run_bench, write_record
from edgesplit.runtime.bench.sandbox import own_cache
from edgesplit.runtime.bench.timing import Answer, Effort, Job, Usage, order_interval
from tests.bundles import contents
from tests.commands import run

SMALL = Effort(quick=True, seconds=0.3, repeats=1)
ANSWERS: dict[str, Callable[..., Answer]] = {
    "latency": latency.answer,
    "swap": swap.answer,
    "edit": edit.answer,
    "locality": locality.answer,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return unpack_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def record(demo: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every question in small, in this process: some seconds for all the tests that read it."""
    job = Job(demo.path, SMALL)
    with own_cache(tmp_path_factory.mktemp("cache")):
        answers = {name: asdict(ANSWERS[name](job, lambda _: None)) for name in QUESTIONS}
    made = run_bench(job, ()) | {"reference": {"what": "made", "ms": 1.0}, "answers": answers}
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


# Statistics


@pytest.mark.parametrize(("n", "quantile"), [(12, 0.5), (60, 0.5), (300, 0.9)])
def test_an_interval_holds_the_quantile_in_95_of_100_cases(n: int, quantile: float) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        low, high = order_interval(rng.random(n), quantile)
        held += low <= quantile <= high
    assert held >= 936  # 950 less two standard deviations of a binomial


def test_few_values_give_all_there_is() -> None:
    assert order_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)


def scattered(rng: np.random.Generator, size: Sequence[int]) -> npt.NDArray[np.float64]:
    """Ratios as a busy machine gives them: 1.5 % apart, one in ten far off to either side."""
    far = rng.random(size) < 0.1
    return np.exp(rng.standard_normal(size) * np.where(far, 0.3, 0.015))


def test_a_tenth_slower_is_found_and_the_same_is_never_called_slower() -> None:
    rng = np.random.default_rng(0)
    ratios = scattered(rng, (1000, TURNS))
    same = [judge("x", list(row)).word for row in ratios]
    tenth = [judge("x", list(1.1 * row)).word for row in ratios]
    # Ten of twelve turns have to lie beyond LIMIT: chance does not do that, a tenth nearly always.
    assert same.count("slower") + same.count("faster") == 0
    assert tenth.count("slower") >= 980
    assert tenth.count("same") + tenth.count("faster") == 0


def test_a_handful_of_turns_is_unclear_whatever_they_say() -> None:
    assert judge("x", [2.0] * 5).word == "unclear"
    assert judge("x", [2.0] * 6).word == "slower"


def test_a_head_that_nobody_saw_decide_is_left_out() -> None:
    times = [("a", 1.0, 1.1), ("b", 2.0, 2.1), ("a", 3.0, 3.1), ("b", 4.0, 4.1)]
    published = [swap.Publish(*one) for one in times]
    seen = [(0.9, "b"), (1.5, "a"), (2.9, "a"), (3.5, "a"), (4.7, "b"), (5.5, "b")]
    # The second publish never decided, and before the third its head decided already.
    assert swap.find_first_results(published, seen) == [(published[0], 1.5), (published[3], 4.7)]
    run = swap._Run(results=seen, published=published)
    assert run.until_live_ms() == pytest.approx([500, 700])


def test_other_work_is_what_neither_idles_nor_is_ours(tmp_path: Path) -> None:
    stat = tmp_path / "proc" / "stat"
    stat.parent.mkdir()
    tick = os.sysconf("SC_CLK_TCK")
    stat.write_text(f"cpu  {10 * tick} 0 0 {90 * tick} 0 0 0 0 0 0\ncpu0 0\n")
    before = Usage.now(tmp_path)
    stat.write_text(f"cpu  {14 * tick} 0 {tick} {94 * tick} {tick} 0 0 0 0 0\ncpu0 0\n")
    after = Usage.now(tmp_path)
    assert before is not None
    assert after is not None
    after = replace(after, ours=before.ours + 3)
    assert after.others(before) == pytest.approx(0.2)  # 5 s of 10 were taken, 3 of them by us
    assert Usage.now(tmp_path / "nowhere") is None


# Questions


def test_the_parts_of_a_prediction_add_up_to_it(demo: Bundle, tmp_path: Path) -> None:
    from edgesplit.runtime import OrtBackend, Runtime
    from edgesplit.video.clips import read_clip, read_pictures, stack_clip

    clip = tmp_path / "made.mp4"
    latency.make_video(clip, demo.preprocessing)
    timed = latency._TimedBackend(OrtBackend(demo.backbone()))
    with Runtime(demo, backend=timed) as runtime:
        times = latency._time_prediction(runtime, timed, clip, demo.preprocessing)
    parts = [times[f"latency.{name}"] for name in latency.ITEMS]
    assert sum(parts) == pytest.approx(times["latency.prediction"])
    assert min(parts) > 0
    ours = stack_clip(read_pictures(clip, demo.preprocessing), demo.preprocessing)
    np.testing.assert_array_equal(ours, read_clip(clip, demo.preprocessing))


def test_every_question_has_figures_or_splits(record: dict[str, Any]) -> None:
    answers = record["answers"]
    assert set(answers) == set(QUESTIONS)
    assert all(answers[question]["figures"] for question in QUESTIONS if question != "locality")
    for answer in answers.values():
        for one in answer["figures"]:
            assert 0 < one["p50"] <= one["p90"] <= one["p95"] <= one["p99"]
            assert all(value > 0 and base > 0 for value, base in one["blocks"])


def test_gated_splits_change_nothing_else(record: dict[str, Any]) -> None:
    splits = record["answers"]["locality"]["facts"]["splits"]
    gated = [one for one in splits if one["composition"] == "gated"]
    assert gated
    for one in gated:
        assert (one["largest_logit_difference"], one["decisions_changed"]) == (0, 0)


@pytest.mark.usefixtures("record")
def test_the_bundle_stays_as_it_is_and_nothing_beside_it(demo: Bundle) -> None:
    assert contents(demo.path) == contents(ASSETS / BUNDLE)
    assert sorted(path.name for path in demo.path.parent.iterdir()) == ["camera", "clips", BUNDLE]


def test_a_bundle_that_cannot_be_split_is_refused_by_edit_and_not_by_latency(
    bundle: Bundle,
) -> None:
    head = bundle.head()
    lonely = replace(head, tree=type(head.tree).from_labels("abcdef"))
    lonely = replace(lonely, parent=bundle.live)
    file = bundle.path / "heads" / f"{lonely.digest}.onnx"
    file.write_bytes(lonely.to_bytes())
    (bundle.path / "HEAD").write_text(f"{lonely.digest}\n")
    found = run_bench(Job(bundle.path, SMALL), ("edit", "locality"))
    assert "hold no modifiers that split a class" in found["answers"]["edit"]["refused"]
    assert "Not measured: The labels" in to_table(found)
    with pytest.raises(EdgesplitError, match="hold no modifiers that split a class"):
        run_bench(Job(bundle.path, SMALL), ("edit",))


def test_two_sides_of_the_same_bundle_are_timed_in_turns(demo: Bundle, tmp_path: Path) -> None:
    clip = tmp_path / "made.mp4"
    latency.make_video(clip, demo.preprocessing)
    this, other = sides_of(
        Job(demo.path, SMALL), bundle=None, python=Path(sys.executable), clip=clip
    )
    assert this.command[1:] == other.command[1:]
    found = compare_sides(this, this, turns=1, blocks=1, block_s=0.001)
    assert [one.name for one in found.verdicts] == ["prediction", "decode", "head", "edit"]
    assert {one.word for one in found.verdicts} == {"unclear"}  # one turn says nothing
    broken = replace(this, command=(*this.command[:3], "nowhere", *this.command[4:]))
    with pytest.raises(
        EdgesplitError, match=r"could not be measured \(exit code 1\)\. Last error: .*nowhere"
    ):
        compare_sides(broken, this, turns=1)


def test_an_environment_that_is_none_is_refused(demo: Bundle, tmp_path: Path) -> None:
    arguments = ["bench", "--against-env", str(tmp_path), "--bundle", str(demo.path)]
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"There is no Python at {tmp_path / 'bin' / 'python'}" in result.stderr


@pytest.mark.parametrize(("ratio", "word", "code"), [(1.1, "slower", 3), (1.0, "same", 0)])
def test_the_exit_code_says_that_a_side_is_slower(
    demo: Bundle, monkeypatch: pytest.MonkeyPatch, ratio: float, word: str, code: int
) -> None:
    found = Comparison("a", "b", LIMIT, (judge("head", [ratio] * TURNS),))
    monkeypatch.setattr(
        "edgesplit.runtime.bench.compare.compare_now", lambda *arguments, **choices: found
    )
    asked = ["bench", "--against-bundle", str(demo.path), "--bundle", str(demo.path)]
    result = run(*asked)
    assert result.exit_code == code, result.output
    assert f"| {word} |" in result.stdout
    assert json.loads(run(*asked, "--json").stdout)["slower"] is (word == "slower")


# Record and page


def test_a_record_is_written_once(record: dict[str, Any], tmp_path: Path) -> None:
    folder = write_record(record, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bench.html",
        "bench.json",
        "bench.md",
    ]
    assert json.loads((folder / "bench.json").read_text()) == record
    with pytest.raises(EdgesplitError, match="out"):
        write_record(record, folder)


def test_the_table_names_every_figure(record: dict[str, Any]) -> None:
    table = to_table(record)
    for words in ("prediction, from the video file", "`edgesplit edit`, texts cached", "p99"):
        assert words in table
    assert "Measured with `--quick`" in table
    widths = {line.count("|") for line in table.split("## swap")[1].split("##")[0].splitlines()}
    assert widths == {0, 8}


def test_energy_heat_and_throttling_are_said_where_they_are_known(record: dict[str, Any]) -> None:
    facts = record["answers"]["latency"]["facts"] | {
        "joules_a_prediction": 0.25,
        "temperatures_c": [{"cpu-thermal": 51.2}, {"cpu-thermal": 64.9}],
        "slowed_down": 3,
    }
    latency_alone = {"latency": record["answers"]["latency"] | {"facts": facts}}
    table = to_table(record | {"answers": latency_alone})
    assert "0.25 J per prediction (complete module)." in table
    assert "cpu-thermal: 51 °C before, 65 °C after." in table
    assert "was throttled 3 times" in table


class Drawn(HTMLParser):
    """The texts of a page's charts with where they end, and what the page would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.size = (0.0, 0.0)
        self.place: tuple[float, float, str] | None = None
        self.texts: list[tuple[float, float, float, str, tuple[float, float]]] = []
        self.fetched: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.fetched += [found[name] for name in ("src", "href") if name in found]
        if tag == "svg":
            _, _, width, height = map(float, found["viewbox"].split())
            self.size = width, height
        if tag == "text":
            self.place = float(found["x"]), float(found["y"]), found.get("text-anchor", "start")

    def handle_data(self, data: str) -> None:
        if self.place is None:
            return
        x, y, anchor = self.place
        wide = width_of(data)
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        self.texts.append((left, left + wide, y, data, self.size))
        self.place = None


def test_nothing_of_the_page_is_cut_off_or_fetched(record: dict[str, Any]) -> None:
    html = to_html(record)
    drawn = Drawn(html)
    assert drawn.fetched == []
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert html.count("<svg") == html.count("</svg>") == 6
    for left, right, y, text, (width, height) in drawn.texts:
        assert left >= 0, text
        assert right <= width, text
        assert 10 <= y <= height - 4, text


def test_axes_carry_names_and_units(record: dict[str, Any]) -> None:
    charts = re.findall(r"<svg.*?</svg>", to_html(record))
    units = ("milliseconds", "kilobytes")
    assert all(any(unit in chart for unit in units) for chart in charts)
    lines = [chart for chart in charts if "polyline" in chart]
    assert all(re.search("percentile of", one) for one in lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0123, "0.0123"),
        (7, "7"),
        (99.94, "99.9"),
        (2e-5, "2.0e-05"),
    ],
)
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    assert short(value) == text


def test_long_labels_and_markup_keep_inside_a_chart() -> None:
    chart = bars("<b>", [("a & b" * 8, 3.0)], axis="milliseconds", unit="ms")
    chart += curve("t", [5.0], x="x", y="y")
    for left, right, _, text, (width, _) in Drawn(chart).texts:
        assert left >= 0, text
        assert right <= width, text
    assert "<b>" not in chart


# The command


def test_the_command_measures_and_writes(demo: Bundle, tmp_path: Path) -> None:
    # A process of its own and five cold starts: some three seconds.
    first = tmp_path / "first"
    asked = ["bench", "latency", "--quick", "--seconds", "0.2", "--bundle", str(demo.path)]
    result = run(*asked, "-o", first, "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["schema"], made["quick"], list(made["answers"])) == (1, True, ["latency"])
    assert made == json.loads((first / "bench.json").read_text())


def test_turns_and_questions_are_not_asked_at_once(demo: Bundle) -> None:
    arguments = ["bench", "swap", "--against-bundle", str(demo.path), "--bundle", str(demo.path)]
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Leave out QUESTIONS" in result.stderr


def test_the_package_gives_what_it_lists() -> None:
    from edgesplit.runtime import bench

    assert dir(bench) == sorted(bench.__all__)
    assert all(callable(getattr(bench, name)) for name in bench.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'run'"):
        _ = bench.run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "file/below"), "file.* is not writable"),
        (("--seconds", "nan"), "nan is not a finite number"),
        (
            ("--backend", "tensorrt", "--variant", "int8"),
            "has a precision, not a variant. Omit the int8",
        ),
        (("--against-bundle", "demo.bundle", "--seconds", "9"), "Leave out .*--seconds"),
    ],
)
def test_what_cannot_end_well_is_refused_before_measuring(
    demo: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("demo.bundle").symlink_to(demo.path)
    monkeypatch.setattr("edgesplit.runtime.bench.record.run_bench", None)
    question = () if "--against-bundle" in options else ("latency",)
    asked = ["bench", *question, "--quick", "--bundle", "demo.bundle", *options]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code in (1, 2)
    assert re.search(message, " ".join(result.output.split()))


def test_a_side_that_dies_says_of_what(tmp_path: Path) -> None:
    code = "print('ready', flush=True); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    side = Side("lab", (sys.executable, "-c", code), dict(os.environ))
    for _ in range(5):  # whether the question is written before or after it died
        with pytest.raises(EdgesplitError, match=r"lab could not be measured \(signal 9\)"):
            compare_sides(side, side, turns=1, blocks=1, block_s=0.001)
