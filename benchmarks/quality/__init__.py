"""Measure the quality of edits: label groups, opposites, answers, locality after quantisation."""
