"""Calls that recordings answer, or fal itself while it is recorded."""
