"""Step 5: compare four model families on one table; say whether there is anything to predict."""
