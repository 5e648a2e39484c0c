"""Say for each family whether its training was healthy: metrics, findings, the file of both."""
