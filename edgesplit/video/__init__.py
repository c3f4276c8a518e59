"""From a video file to the clip that a backbone takes.

preprocessing  frames, size and layout of a clip
container      open a file, and choose its stream
clips          decode and sample a file
previews       a file -> a strip of small pictures, for people
resize         scale pictures as training code does
"""
