"""Output of the commands: text for people, and JSON.

console   the terminal, progress, JSON and errors
edits     the report of an edit
ask       the clips of a question, and the account of the answers
sheet     the HTML page that shows the clips
bundle    history, labels, differences
backends  engines and variants, and the findings of `doctor`
stream    the events of a stream
"""
