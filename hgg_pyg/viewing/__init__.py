"""Looking inside captures, avatars and trained networks in a browser, by viser: one file a kind of page or layer."""
