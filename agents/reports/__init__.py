"""What is told of runs and machines: gathered as values, printed by views."""
