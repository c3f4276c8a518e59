"""What the paper compares its rules with."""
