"""Step 1: search for the generator behind a history; split it into train and holdout."""
