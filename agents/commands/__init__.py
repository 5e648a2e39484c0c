"""What each flag of the command does: flags in, an Answer out."""
