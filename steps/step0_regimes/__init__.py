"""Step 0: is the history uniform, and did the machine change? The default answer is one regime."""
