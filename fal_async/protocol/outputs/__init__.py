"""Which types `output_type` accepts, and how decoded JSON becomes them. Used through `protocol/structure.py`."""
