"""The parent side: devices, leases and worker processes, without any GPU library."""
