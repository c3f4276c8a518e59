"""What the benchmarks share: results, the documents that quote them, child processes."""
