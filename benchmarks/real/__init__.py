"""Public benchmarks of real motion (wrist sensors, hand skeletons), not of real video.

SPAR: shoulder exercises, left or right, recorded by a wrist watch (Burns et al. 2018). It comes
with the package seglearn under a BSD licence (`trained/LICENSE.seglearn`), so heads trained on it
and their features are committed.
SHREC'17: hand gestures, with one finger or the whole hand, as skeletons (De Smedt et al. 2017). Its
files state no licence, so heads and features made from them are not committed, only figures. If the
files are missing, SHREC'17 is skipped.

Half of the categories of a head are collapsed into classes that the benchmark splits again.
"""
