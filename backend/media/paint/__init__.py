"""What is drawn over a film's pictures, layer by layer, after they are cut and before they are encoded. Child process
only."""
