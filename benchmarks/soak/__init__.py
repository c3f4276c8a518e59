"""The long counts of `make soak`: swaps, streams, fuzzed heads."""
