"""One file a way of computing attention; a file that defines a `VARIANT` is found, tested and timed by itself."""
