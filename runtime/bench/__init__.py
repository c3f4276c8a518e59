"""`edgesplit bench`: what a bundle costs on this device, and whether something got slower.

harness    blocks of times, each beside a reference kernel; percentiles and their intervals
latency, swap, edit, locality, growth
           one question each: a job in, figures and facts out
copies     the copy of the bundle that edits are measured on
record     all of them, each in a process of its own; the record of it, read and written
compare    two sets of figures, or two bundles or environments in turns: slower, faster, the same?
contender  what a compared environment runs
charts     curves and bars in SVG
page       the record as Markdown and as a page
"""

__all__: list[str] = []
