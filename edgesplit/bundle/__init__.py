"""The bundle: a folder with one backbone, all its heads, and the name of the live one.

bundle      open, read, edit; the methods of a bundle
head_files  the heads by digest, and which one is live
publishing  publish, roll back, prune: their checks and durable steps
verify      checks of every file
history     log.jsonl: what went live when
gate        refuses a head that changes more than its edit may
create      a new bundle, made atomically
label_texts the labels' embeddings, made at export
videos      features of videos, or of a folder of labelled clips
questions   clips to ask about, the answers so far, and the split by them
"""
