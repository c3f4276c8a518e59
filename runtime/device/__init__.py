"""The machine that edgesplit runs on.

record     describe the machine
arm_cores  name ARM cores by their numbers
packages   find which TensorRT Python takes
jetson     parse what a Jetson reports
power      measure power and energy
probes     try what runs here, and how fast
doctor     find what works here and what to change
"""
