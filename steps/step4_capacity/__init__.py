"""Step 4: parameters of Step 5 that fit one table, one machine and one time budget."""
