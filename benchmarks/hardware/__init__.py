"""Record the kinds of machines that edgesplit ran on, and make the table of docs/hardware.md."""
