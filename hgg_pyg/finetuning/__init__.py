"""Training the per-frame network on captures."""
