"""Code that benchmarks share: results, the documents that quote them, child processes."""
