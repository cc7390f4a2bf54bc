"""People's landmarks: found, followed, and what their motion says."""
