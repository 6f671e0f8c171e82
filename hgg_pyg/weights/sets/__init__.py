"""What can be fetched, one file each."""
