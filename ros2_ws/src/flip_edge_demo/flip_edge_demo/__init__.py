"""The demo robot of flip_edge: a simulated household, a robot that acts in it, and what it was told to do."""
