"""What one would do without edgesplit, in the same run: one script per question."""
