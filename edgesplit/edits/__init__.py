"""From a request to a new head.

split         split a class; calls each stage below once

request       the request for a split
problem       the inputs of a split: class, subcategories, knowledge, clips, embeddings; uses
  naming        the names of the subcategories
    spelling      misspelt words -> words of the head
  groups        known labels that differ in one part, and axes of groups; uses
    tokens        a label, word by word
    vocabulary    words that are a known contrast: "left, right"
    contrasts     labels that differ in one part
    siblings      labels with the same beginning
    disjoint_sets connected components
  embedding     the texts of a split, and their embeddings; uses
    text_encoder  texts -> unit vectors; uses
      tokenizer     a text -> word pieces
transfer      zero-shot rows; uses
  axes          choose the axis of a split
  matching      match subcategories with known labels
  rules         known texts and vectors -> new rows
estimate      the expected accuracy of a split
checks        reasons to refuse a split, and warnings
fitting       rows fitted to clips, centred, with a temperature; uses
  whitening     features -> points with equal variance in all directions
  answers       move rows towards labelled clips
  refit         fit rows to the clips of the class
report        the report of an edit

asking        choose the clips to ask a person about, and when to stop

edit          edits without new rows: merge, rename, drop
plan          several splits in one edit
plan_file     the YAML file of a plan
answers_file  the CSV file of answers about clips
"""
