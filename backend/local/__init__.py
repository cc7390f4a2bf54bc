"""framefleet on one machine: embedded parts, worker processes, one job from start to end, the demo."""
