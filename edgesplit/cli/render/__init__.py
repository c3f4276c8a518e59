"""What the commands print: for people on a terminal, and as JSON.

console   the terminal, progress, JSON and errors
edits     the report of an edit
ask       clips that somebody is asked about, and what the answers did
sheet     a page that shows them
bundle    history, labels, differences
backends  engines and variants, and what `doctor` found
stream    the events of a stream
"""
