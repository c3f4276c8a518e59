"""Predict clips while heads are swapped.

runtime        run the backbone and the live head
live_head      serve the head that the bundle's HEAD names
shadow         score a candidate head beside the live head
auto_rollback  roll back an edit that changes too many other answers
"""
