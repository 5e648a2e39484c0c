"""The network, its inputs, and the ways to train it."""
