"""What a machine with CUDA can do with edgesplit, in at most 8 minutes: `make gpu`.

    parts      the parts' names, limits and order
    prepare    makes the environment, from an index, from a folder of wheels, or from what is there
    run        runs part after part, each in a process of its own, and writes the result
    measure    the parts themselves
    models     the shipped demo and a small video transformer, and their clips
    swaps      heads that are swapped while several threads predict
    pack       files of at most 60 MB for a machine without a network

`parts`, `prepare`, `run` and `pack` need nothing but Python: a machine may have nothing else, and
then the result says so.
"""
