"""From a request to a new head.

split         split a class; enters each stage below once

request       what a split is asked for
problem       the class, its subcategories, what is known, and clips, embedded; by
  naming        what the subcategories are called
  groups        known labels that share an action and differ in a modifier
  text_encoder  label texts -> unit vectors
transfer      zero-shot rows; by
  matching      which known labels differ as the subcategories do
  rules         known texts and vectors -> new rows
estimate      how accurate the split will be
checks        reasons to refuse a split, and warnings
fitting       rows moved by labelled clips, centred, with a temperature
report        what an edit says about itself

edit          the edits that learn nothing: merge, rename, drop
plan          several splits in one edit
plan_file     the YAML file that asks for them
"""
