"""What each numbered step does, and the ground floor they stand on."""
