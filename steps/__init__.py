"""What each numbered step does, and the ground floor they stand on."""

__version__ = "0.1.0"
