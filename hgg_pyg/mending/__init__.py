"""Captures whose poses are mended once, by the images themselves, and written in their own layout."""
