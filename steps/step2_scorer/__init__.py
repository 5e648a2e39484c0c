"""Step 2: how evidence for a candidate is weighed, chosen by what it predicts inside train."""
