"""Benchmarks: one script per question; results are committed per machine under results/."""
