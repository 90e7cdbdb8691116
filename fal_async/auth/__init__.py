"""The sources of the key. They send requests to fal through a function that the caller passes."""
