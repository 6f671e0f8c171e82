"""From ordinary video to a capture: cameras, landmarks, masks and body poses."""
