"""What a camera sees, window after window.

stream      a source read on one thread, predicted on another, opened again
sources     a file, URL, camera or pipe -> frames with timestamps
windows     frames -> clips
queue       the windows that wait
accounting  what became of every frame
smoothing   decide over several windows; decide the recent ones again
events      what a stream reports
"""
