"""Learning: the loop, what a run is made of and kept in, and what the network learns from."""
