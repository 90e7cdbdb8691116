"""The sources of the fal key. They send requests to fal by a function that the caller passes."""
