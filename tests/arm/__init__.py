"""An ARM machine that QEMU plays: `userland` makes it, `__main__` runs a command in it."""
