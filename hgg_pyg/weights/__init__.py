"""Networks of others that are fetched, never committed: checked by checksum, put where we look for them."""
