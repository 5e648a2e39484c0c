"""The report of a run as one HTML file that opens anywhere, and the index of all runs."""
