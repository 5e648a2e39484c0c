"""Run the pipeline again and again: by time, and when watched files are new."""
