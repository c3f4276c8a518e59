"""The machine: what it is, what it can do.

record  the machine in a record
jetson  a Jetson's own words, parsed
power   energy while something runs
probes  what has to be tried to be known
doctor  what to change
"""
