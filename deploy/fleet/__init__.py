"""The fleet as a model: its scaling rules as AWS evaluates them, and a simulation of a day under them."""
