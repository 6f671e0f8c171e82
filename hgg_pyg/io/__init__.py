"""Files written whole or not at all, files that carry their digest, pickles read through allow-lists, splats."""
