"""`python -m edgesplit` is the command line."""

from edgesplit.cli import main

main()
