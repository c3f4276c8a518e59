"""The paper's own benchmark: SSv2-Split and FineGym-Split, from the authors' files.

Run from the root of the checkout::

    python -m benchmarks.ssv2_split DATA --videos FOLDER --bundle BUNDLE

``layout`` reads the authors' files, ``features`` takes every video through a backbone once,
``evaluate`` splits and scores all categories from those features, ``vlm_gate`` is the paper's
baseline, ``table`` puts the figures beside the published ones.

One clip of each video is looked at, as the bundle samples it. The authors average views; how many
is not known.
"""
