"""The long tests of `make soak`: swaps, streams, fuzzed heads."""
