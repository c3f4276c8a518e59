"""From a video file to the clip that a backbone takes.

preprocessing  which frames, which size, which layout
clips          decode and sample a file
resize         scale pictures as trainings do
"""
