"""Poses as part of the graph: the network hears how the images pull at each joint, and answers with corrections."""
