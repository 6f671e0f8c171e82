"""Measurements of the fast paths beside their references; results are committed under results/."""
