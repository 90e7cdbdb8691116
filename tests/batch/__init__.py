"""`fal.map`."""
