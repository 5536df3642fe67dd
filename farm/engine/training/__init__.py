"""Training: the loop, its checkpoints, and the warning of a collapse."""
