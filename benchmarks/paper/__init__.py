"""Baselines and the low-shot rule of the paper."""
