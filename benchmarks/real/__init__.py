"""Benchmarks that others made: real motion (wrist sensors, hand skeletons), not real video.

SPAR: shoulder exercises, left or right, seen by a wrist watch (Burns et al. 2018). It comes with
the package seglearn under a BSD licence, so heads trained on it and their features are committed.
SHREC'17: hand gestures, with one finger or the whole hand, as skeletons (De Smedt et al. 2017). Its
files state no licence: nothing made from them is committed, and where they are not, they are left
out. Half of the categories of a head are collapsed into classes that the benchmark splits again.
"""
