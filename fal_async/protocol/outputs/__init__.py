"""What an `output_type` may be, and how decoded JSON becomes one. `protocol/structure.py` is its face."""
