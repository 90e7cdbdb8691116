"""What makes the requests of a batch: the seam is `request_maker.py`."""
