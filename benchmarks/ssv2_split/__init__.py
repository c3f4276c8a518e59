"""The paper's own benchmark: SSv2-Split and FineGym-Split, from the authors' files.

Run from the root of the checkout::

    python -m benchmarks.ssv2_split DATA --videos FOLDER --bundle BUNDLE

``layout`` reads the authors' files, ``features`` runs every video through a backbone once,
``evaluate`` splits and scores all categories from those features, ``vlm_gate`` is the paper's
baseline, ``table`` shows the figures beside the published ones.

One clip of each video is used, as the bundle samples it. The authors average several views; their
number is not known.
"""
