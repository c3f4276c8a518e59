"""Clips in, predictions out, while heads are swapped.

runtime        the backbone and the live head together
live_head      the head that serves; follows the bundle's HEAD
shadow         a candidate that is scored beside the live head
auto_rollback  roll back an edit that changes too many other answers
"""
