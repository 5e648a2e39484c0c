"""What succeeded with what: hashes of files, facts of steps, and what a run recalls of them."""
