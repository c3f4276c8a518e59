"""The machine that edgesplit runs on.

record    describe the machine
packages  find which TensorRT Python takes
jetson    parse what a Jetson reports
power     measure power and energy
probes    try what runs here, and how fast
doctor    find what works here and what to change
"""
