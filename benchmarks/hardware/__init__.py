"""What was run on which kind of machine: a lane for each, and the table of docs/hardware.md."""
