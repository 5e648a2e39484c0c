"""What people read: live progress, the result of a run, status, dry run, doctor."""
