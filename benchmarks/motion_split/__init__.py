"""Motion-Split: a rendered video benchmark for splitting the classes of a video classifier.

Run from the root of the checkout::

    python -m benchmarks.motion_split.sheet DIR                # look at the classes
    python -m benchmarks.motion_split.train --half A --seed 0  # render, train, evaluate
    python -m benchmarks.motion_split.features DIR             # features of held-out clips
    python -m benchmarks.motion_split.videos DIR               # held-out clips as MP4

``classes`` defines the classes (frozen, with a digest), ``programs`` the movement of each action,
``moves`` their shared parts, ``scene`` the content of a clip and ``render`` its look; ``data``
turns seeds into arrays.
"""
