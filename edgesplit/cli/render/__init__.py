"""What the commands print: for people on a terminal, and as JSON."""
