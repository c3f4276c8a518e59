"""From a video file to the clip that a backbone takes.

preprocessing  which frames, which size, which layout
container      open a file, and choose its stream
clips          decode and sample a file
previews       a file -> a strip of small pictures, for people
resize         scale pictures as trainings do
"""
