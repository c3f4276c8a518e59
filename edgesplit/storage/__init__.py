"""Files that survive a crash, and the user's cache.

files       atomic and durable writes; locks
user_cache  the user's cache folder, and checks that nobody else can write to it
text_file   UTF-8 text; an error names the probable encoding of other text
"""
