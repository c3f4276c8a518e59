"""Check edgesplit on a machine with CUDA, in at most 8 minutes: `make gpu`.

    parts      names, limits and order of the parts
    prepare    make the environment, from an index, a folder of wheels or installed packages
    run        run the parts, each in a subprocess, and write the result
    measure    the parts themselves
    models     the shipped demo and a small video transformer, with their clips
    swaps      swap heads while several threads predict
    pack       pack files of at most 60 MB for a machine without a network

`parts`, `prepare`, `run` and `pack` need only Python: if a machine has nothing else, the result
states that.
"""
