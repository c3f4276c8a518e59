"""`edgesplit bench`: what a bundle costs on this device, and A/B tests of bundles and environments.

timing   blocks of times, each beside a reference kernel; percentiles and their intervals
latency, swap, edit, locality
         a question each: a job in, figures and facts out
sandbox  the copy of the bundle that edits are measured on
process  child processes that talk in lines
record   runs the questions, each in a process of its own, and writes the record
compare  A/B test: is one side slower, faster or the same?
worker   the script that each side of an A/B test runs
charts   curves and bars in SVG
page     the record as Markdown and as a page

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
