"""What is told of a run's training diagnostics: found, read, masked, put into words."""
