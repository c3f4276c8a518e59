"""How good the edits are: label groups, opposites, locality after quantisation."""
