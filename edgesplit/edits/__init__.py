"""From a request to a new head.

split         split a class; the pipeline through the modules below
naming        what the subcategories are called
groups        known labels that share an action and differ in a modifier
problem       all that a rule is given, embedded
matching      which known labels the subcategories differ like
rules         known texts and vectors -> new rows
estimate      how accurate the split will be
checks        reasons to refuse a split, and warnings
report        what an edit says about itself
edit          the edits that learn nothing: merge, rename, drop
plan          several splits in one edit; the file that asks for them
text_encoder  label texts -> unit vectors
"""
