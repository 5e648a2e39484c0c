"""The WATCHER: reads manifests and policies, runs steps, judges, decides."""

__version__ = "0.1.0"
