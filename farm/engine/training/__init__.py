"""Training runs: the loop, its checkpoints, and the detection of a collapse."""
