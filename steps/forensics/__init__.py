"""What steps 0 to 4 and 6 share: draw histories, candidates for a generator, and their files."""
