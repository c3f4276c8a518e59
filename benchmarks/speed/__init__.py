"""Measure speed: one script per question, one result per machine."""
