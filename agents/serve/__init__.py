"""Show a workspace in the browser, live: reads and never writes, on this machine unless told."""
