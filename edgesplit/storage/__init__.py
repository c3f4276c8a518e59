"""Files that survive a crash, and the user's cache.

files       whole or not at all, in an order that holds on disk; locks
user_cache  where the cache is, and whether it can be trusted
text_file   UTF-8 text, refused by name where it is another encoding
"""
