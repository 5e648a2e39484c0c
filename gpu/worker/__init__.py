"""The child side: one process, one library, one device."""
