"""The bundle: a folder with one backbone, every head there ever was, and which one is live.

bundle      open, edit, publish, roll back, prune, verify
publishing  the durable steps by which a head goes live, or goes
history     log.jsonl: what went live when
gate        a head goes live only if it leaves alone what it must
create      a new bundle, all at once
videos      videos through the bundle's backbone -> features
shots       a folder of labelled clips -> features
"""
