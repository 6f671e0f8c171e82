"""One file for each format of motions; each defines a `FORMAT`, which is how it is found."""
