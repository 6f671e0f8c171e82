"""Training a front: one view of a person in, the person from all around out."""
