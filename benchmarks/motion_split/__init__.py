"""Motion-Split: a rendered video benchmark for splitting the classes of a video classifier.

Run from the root of the checkout::

    python -m benchmarks.motion_split.sheet DIR                # look at the classes
    python -m benchmarks.motion_split.train --half A --seed 0  # render, train, evaluate
    python -m benchmarks.motion_split.features DIR             # features of held-out clips
    python -m benchmarks.motion_split.videos DIR               # held-out clips as MP4

``classes`` says what there is (frozen, with its digest), ``programs`` how each action moves,
``moves`` what they share, ``scene`` what is in a clip, ``render`` how it looks; ``data`` turns
seeds into arrays.
"""
