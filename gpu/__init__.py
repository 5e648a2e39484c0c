"""Devices, leases, worker processes and training kernels."""
