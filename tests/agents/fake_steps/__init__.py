"""Steps that behave well and badly, for tests of the watcher."""
