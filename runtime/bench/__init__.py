"""`edgesplit bench`: measure a bundle on this device; A/B tests of bundles and environments.

timing   blocks of times, each with the time of a reference kernel; percentiles and intervals
latency, swap, edit, locality
         one question each: take a job, return figures and facts
sandbox  the copy of the bundle that edits are measured on
process  child processes that read and write lines
record   run each question in a subprocess, and write the record
compare  A/B test: is one side slower, faster or the same?
worker   the script that each side of an A/B test runs
charts   curves and bars in SVG
page     the record as Markdown and as an HTML page

    record = run_bench(Job(Path("lab.bundle"), Effort.usual(quick=True)), ("latency",))
"""

from typing import TYPE_CHECKING

from edgesplit._lazy import load_on_use

if TYPE_CHECKING:
    from edgesplit.runtime.bench.compare import Comparison, compare_now
    from edgesplit.runtime.bench.record import run_bench, write_record
    from edgesplit.runtime.bench.timing import Effort, Job

__all__ = ["Comparison", "Effort", "Job", "compare_now", "run_bench", "write_record"]

_HOMES = {
    "edgesplit.runtime.bench.compare": ("Comparison", "compare_now"),
    "edgesplit.runtime.bench.record": ("run_bench", "write_record"),
    "edgesplit.runtime.bench.timing": ("Effort", "Job"),
}

__getattr__, __dir__ = load_on_use(__name__, _HOMES)
