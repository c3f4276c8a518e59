"""From a request to a new head.

split         split a class; enters each stage below once

request       what a split is asked for
problem       the class, its subcategories, what is known, and clips, embedded; by
  naming        what the subcategories are called
    spelling      misspelt words -> words of the head
  groups        known labels that differ in one thing, and the axes that they make; by
    tokens        a label, word by word
    vocabulary    words that are known to be a contrast: "left, right"
    contrasts     labels that differ in one place
    siblings      labels that begin alike
    disjoint_sets what hangs together
  embedding     the texts of a split, and their embeddings; by
    text_encoder  texts -> unit vectors; by
      tokenizer     a text -> word pieces
transfer      zero-shot rows; by
  axes          which axis of the head is meant
  matching      which known labels differ as the subcategories do
  rules         known texts and vectors -> new rows
estimate      how accurate the split will be
checks        reasons to refuse a split, and warnings
fitting       rows fitted to clips, centred, with a temperature; by
  whitening     features -> points, in which clips scatter alike
  answers       what labelled clips say of the rows
  refit         rows fitted to the clips of the class
report        what an edit says about itself

asking        which clips to ask a person about, and when to stop

edit          the edits that learn nothing: merge, rename, drop
plan          several splits in one edit
plan_file     the YAML file that asks for them
answers_file  the CSV file of what was said of clips
"""
