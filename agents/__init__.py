"""The WATCHER: reads manifests and policies, runs steps, judges, decides."""

from steps import __version__

__all__ = ["__version__"]
