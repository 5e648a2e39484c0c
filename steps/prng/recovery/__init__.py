"""Recover a generator's state from the draws it made: algebra first, brute force where it stops."""
