"""Files written whole or not at all, pickles read through allow-lists, splats."""
