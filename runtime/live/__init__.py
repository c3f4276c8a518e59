"""Clips in, predictions out, while heads are swapped.

runtime        backbone and live head together
live_head      the head that serves, following HEAD; built, checked and warmed before
shadow         a candidate beside the live head
auto_rollback  an edit that changes too many other answers goes back
"""
