"""`edgesplit bench`: its statistics on made times, its questions in small, its page by geometry."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

from benchmarks.results import FOLDER
from edgesplit.bundle.bundle import Bundle
from edgesplit.cli import main
from edgesplit.cli.demo import ASSETS, BUNDLE, unpack_demo
from edgesplit.errors import EdgesplitError
from edgesplit.runtime.bench import edit, growth, latency, locality, swap
from edgesplit.runtime.bench.charts import Series, bars, curves, short, width_of
from edgesplit.runtime.bench.compare import (
    LIMIT,
    TURNS,
    Side,
    compare_earlier,
    compare_sides,
    judge,
    judge_blocks,
    sides_of,
)
from edgesplit.runtime.bench.page import to_html, to_table
from edgesplit.runtime.bench.record import QUESTIONS, read_record, run_bench, write_record
from edgesplit.runtime.bench.sandbox import copied_bundle, own_cache
from edgesplit.runtime.bench.timing import Answer, Effort, Figure, Job, Usage, order_interval

SIZES = {"classes": (10, 60), "features": (8,), "splits": (1,), "nesting": (2,), "history": (10,)}
SMALL = Effort(quick=True, seconds=0.3, repeats=1, block_s=0.001, sizes=SIZES)
ANSWERS: dict[str, Callable[..., Answer]] = {
    "latency": latency.answer,
    "swap": swap.answer,
    "edit": edit.answer,
    "locality": locality.answer,
    "growth": growth.answer,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return unpack_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def record(demo: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every question in small, in this process: some seconds for all the tests that read it."""
    job = Job(demo.path, SMALL)
    with own_cache(tmp_path_factory.mktemp("cache")):
        answers = {name: ANSWERS[name](job, lambda _: None).to_json() for name in QUESTIONS}
    made = run_bench(job, ()) | {"reference": {"what": "made", "ms": 1.0}, "answers": answers}
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


def run(*arguments: str | Path) -> Result:
    # click 8.1 mixes the streams unless told; 8.2 does not, and knows no such option.
    apart: dict[str, Any] = {"mix_stderr": False} if hasattr(CliRunner(), "mix_stderr") else {}
    return CliRunner(**apart).invoke(main, [str(argument) for argument in arguments])


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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


def test_blocks_that_are_not_pairs_are_judged_alike() -> None:
    rng = np.random.default_rng(0)
    old, new = scattered(rng, (15,)), scattered(rng, (15,))
    words = [judge_blocks("x", list(f * new), list(old), limit=LIMIT).word for f in (1, 1.1, 0.9)]
    assert words == ["same", "slower", "faster"]


def test_a_handful_of_turns_is_unclear_whatever_they_say() -> None:
    assert judge("x", [2.0] * 5).word == "unclear"
    assert judge("x", [2.0] * 6).word == "slower"


def test_against_an_earlier_record_only_ratios_count() -> None:
    def made(
        scale: float, machine: float, others: float | None = 0.02, classes: int = 57
    ) -> dict[str, Any]:
        blocks = [(scale * machine * (1 + 0.001 * n), machine) for n in range(15)]
        figure = Figure("latency.prediction", 15, 1, 1, 1, 1, tuple(blocks))
        return {
            "made": "now",
            "reference": {"what": "made", "ms": machine},
            "device": {},
            "bundle": {"classes": classes},
            "asked": {"clip": None},
            "others": others,
            "answers": {"latency": {"figures": [figure.to_json()]}},
        }

    hotter = compare_earlier(made(5, 2.0), made(5, 1.0))
    assert [one.word for one in hotter.verdicts] == ["same"]
    assert hotter.machine == "the reference takes 2.00 times what it took"
    slower = compare_earlier(made(6, 1.0), made(5, 1.0))
    assert (slower.slower, slower.machine) == (True, "")
    assert slower.verdicts[0].ratio == pytest.approx(1.2, abs=0.01)
    busy = compare_earlier(made(6, 1.0, 0.4), made(5, 1.0, None))
    assert (busy.slower, busy.verdicts[0].word) == (False, "unclear")
    assert busy.machine == "other work took 40% of it now, so nothing is said"
    assert (
        compare_earlier(made(5, 1.0, classes=5), made(5, 1.0)).machine
        == "another number of classes"
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("others"),
        lambda record: record.pop("made"),
        lambda record: record.pop("reference"),
        lambda record: record.pop("asked"),
        lambda record: record["answers"].update(latency=[]),
        lambda record: record["answers"]["latency"].pop("figures"),
        lambda record: record["answers"]["latency"]["figures"][0].update(blocks=[]),
        lambda record: record["answers"]["latency"]["figures"][0].update(blocks=[[1.0, 0.0]]),
        lambda record: record["answers"]["latency"]["figures"][0].pop("p50"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, damage: Callable[[Any], Any]) -> None:
    record = json.loads((FOLDER / "bench.json").read_text())
    (tmp_path / "bench.json").write_text(json.dumps(record))
    assert read_record(tmp_path) == record
    damage(record)
    (tmp_path / "bench.json").write_text(json.dumps(record))
    with pytest.raises(EdgesplitError, match=r"not a (record|figure) of `edgesplit bench`"):
        read_record(tmp_path)


def test_a_head_that_nobody_saw_decide_is_left_out() -> None:
    published = [("a", 1.0, 1.1), ("b", 2.0, 2.1), ("a", 3.0, 3.1), ("b", 4.0, 4.1)]
    seen = [(0.9, "b"), (1.5, "a"), (2.9, "a"), (3.5, "a"), (4.7, "b"), (5.5, "b")]
    run = swap._Run(times=[(at, 1.0, head) for at, head in seen], published=published)
    # The second publish never decided, and before the third its head decided already.
    assert swap._until_live(run) == pytest.approx([500, 700])


def test_a_history_is_as_long_as_it_says(demo: Bundle, tmp_path: Path) -> None:
    with copied_bundle(demo.path, tmp_path) as bundle:
        for n_edits in (10, 4):
            growth._lengthen(bundle, n_edits)
            assert len(bundle.history()) == n_edits
        assert bundle.head().digest == bundle.live


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


def test_growth_is_the_slope_of_the_logarithms() -> None:
    def cost(size: int) -> Figure:
        return Figure(f"growth.classes.{size}.run", 1, 3 * size**0.7, 0, 0, 0, ())

    figures = [cost(size) for size in (10, 100, 1000)]
    assert growth.exponent(figures, "growth.classes.*.run") == pytest.approx(0.7)


# Questions


def test_the_parts_of_a_prediction_add_up_to_it(demo: Bundle, tmp_path: Path) -> None:
    from edgesplit.runtime import OrtBackend, Runtime
    from edgesplit.video.clips import read_clip, scale_frame, stack_clip

    clip = tmp_path / "made.mp4"
    latency.make_video(clip, demo.preprocessing)
    watched = latency._Watched(OrtBackend(demo.backbone()))
    with Runtime(demo, backend=watched) as runtime:
        times = latency._query(runtime, watched, clip, demo.preprocessing)
    parts = [times[f"latency.{name}"] for name in latency.ITEMS]
    assert sum(parts) == pytest.approx(times["latency.prediction"])
    assert min(parts) > 0
    frames = latency._read_frames(clip, demo.preprocessing)
    pictures = [scale_frame(frame, demo.preprocessing) for frame in frames]
    ours = stack_clip(pictures, demo.preprocessing)
    np.testing.assert_array_equal(ours, read_clip(clip, demo.preprocessing))


def test_every_question_has_figures_or_splits(record: dict[str, Any]) -> None:
    answers = record["answers"]
    assert set(answers) == set(QUESTIONS)
    assert all(answers[question]["figures"] for question in QUESTIONS if question != "locality")
    for answer in answers.values():
        for one in map(Figure.from_json, answer["figures"]):
            assert 0 < one.p50 <= one.p90 <= one.p95 <= one.p99
            assert all(value > 0 and base > 0 for value, base in one.blocks)


def test_gated_splits_change_nothing_else(record: dict[str, Any]) -> None:
    splits = record["answers"]["locality"]["facts"]["splits"]
    gated = [one for one in splits if one["composition"] == "gated"]
    assert gated
    for one in gated:
        assert (one["largest_logit_difference"], one["decisions_changed"]) == (0, 0)


@pytest.mark.usefixtures("record")
def test_the_bundle_stays_as_it_is_and_nothing_beside_it(demo: Bundle) -> None:
    assert files(demo.path) == files(ASSETS / BUNDLE)
    assert sorted(path.name for path in demo.path.parent.iterdir()) == ["clips", BUNDLE]


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
    assert "No class of this bundle can be split" in found["answers"]["edit"]["refused"]
    assert "Not measured: No class" in to_table(found)
    with pytest.raises(EdgesplitError, match="No class of this bundle can be split"):
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
        EdgesplitError, match=r"could not be measured \(exit code 1\)\. It said: .*nowhere"
    ):
        compare_sides(broken, this, turns=1)


def test_an_environment_that_is_none_is_refused(demo: Bundle, tmp_path: Path) -> None:
    arguments = ["bench", "--against-env", str(tmp_path), "--bundle", str(demo.path)]
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"There is no Python at {tmp_path / 'bin' / 'python'}" in result.stderr


# Record and page


def test_a_record_is_written_once_and_read_again(record: dict[str, Any], tmp_path: Path) -> None:
    folder = write_record(record, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bench.html",
        "bench.json",
        "bench.md",
    ]
    assert read_record(folder) == record == read_record(folder / "bench.json")
    with pytest.raises(EdgesplitError, match="out"):
        write_record(record, folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "not a record"), ('{"schema": 99, "answers": {}}', "schema 99"), ("x", "not a record")],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)
    with pytest.raises(EdgesplitError, match=message):
        read_record(path)


def test_the_table_names_every_figure(record: dict[str, Any]) -> None:
    table = to_table(record)
    for words in ("prediction, from the video file", "`edgesplit edit`, texts cached", "p99"):
        assert words in table
    assert "A quick look" in table
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
    assert "0.25 J of the whole module a prediction." in table
    assert "cpu-thermal: 51 °C before, 65 °C after." in table
    assert "slowed itself down 3 times" in table


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
    assert html.count("<svg") == html.count("</svg>") == 11
    for left, right, y, text, (width, height) in drawn.texts:
        assert left >= 0, text
        assert right <= width, text
        assert 10 <= y <= height - 4, text


def test_axes_carry_names_and_units(record: dict[str, Any]) -> None:
    charts = re.findall(r"<svg.*?</svg>", to_html(record))
    units = ("milliseconds", "kilobytes")
    assert all(any(unit in chart for unit in units) for chart in charts)
    lines = [chart for chart in charts if "polyline" in chart]
    assert all(re.search("percentile of|number of|edits in|splits below", one) for one in lines)


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
    chart = bars("<b>", [("a & b" * 8, {"x": 1.0, "y": 2.0})], axis="milliseconds", unit="ms")
    chart += curves("t", [Series("one", ((1.0, 5.0),))], x="x", y="y", logarithmic=True)
    for left, right, _, text, (width, _) in Drawn(chart).texts:
        assert left >= 0, text
        assert right <= width, text
    assert "<b>" not in chart


# The command


def test_the_command_measures_writes_and_compares(
    demo: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Usage, "now", lambda: None)  # or other work here would silence it
    # Two runs of a process of its own and five cold starts each: some five seconds.
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["bench", "latency", "--quick", "--seconds", "0.2", "--bundle", str(demo.path)]
    result = run(*common, "-o", first, "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["schema"], made["quick"], list(made["answers"])) == (1, True, ["latency"])
    assert made == json.loads((first / "bench.json").read_text())
    slow = json.loads((first / "bench.json").read_text())
    for figure in slow["answers"]["latency"]["figures"]:
        figure["blocks"] = [[value / 100, base] for value, base in figure["blocks"]]
    shutil.copytree(first, tmp_path / "earlier")
    (tmp_path / "earlier" / "bench.json").write_text(json.dumps(slow))
    arguments = [*common, "-o", str(second), "--against", str(tmp_path / "earlier")]
    result = run(*arguments)
    assert result.exit_code == 3, result.output
    assert "| slower |" in result.stdout
    assert "slower" in (second / "bench.html").read_text()


def test_turns_and_questions_are_not_asked_at_once(demo: Bundle) -> None:
    arguments = ["bench", "swap", "--against-bundle", str(demo.path), "--bundle", str(demo.path)]
    result = run(*arguments)
    assert result.exit_code == 2
    assert "leave out questions" in result.stderr


def test_the_package_gives_what_it_lists() -> None:
    from edgesplit.runtime import bench

    assert dir(bench) == sorted(bench.__all__)
    assert all(callable(getattr(bench, name)) for name in bench.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'run'"):
        _ = bench.run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--against", "locality"), "figures of nothing, and latency is asked"),
        (("-o", "file/below"), "Nothing can be written to .*file"),
        (("--seconds", "nan"), "nan is not a finite number"),
        (("--against-bundle", "demo.bundle", "--seconds", "9"), "leave out .*--seconds"),
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
    record = json.loads((FOLDER / "bench.json").read_text())
    record["answers"] = {"locality": record["answers"]["locality"]}
    Path("locality").mkdir()
    Path("locality", "bench.json").write_text(json.dumps(record))
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
