"""Makes the requests of a batch. The seam is `request_maker.py`."""
