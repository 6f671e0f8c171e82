"""Our fronts, a file each."""
