"""The formats of films that come with us, a file each, found by their FORMAT."""
