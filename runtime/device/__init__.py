"""The machine that edgesplit runs on.

record     describe the machine
arm_cores  name ARM cores by their numbers
packages   find the TensorRT that Python imports
jetson     parse the files and tools of a Jetson
power      measure power and energy
probes     test providers, TensorRT, speed, codecs and cameras
doctor     report what works on this device and what to change
"""
