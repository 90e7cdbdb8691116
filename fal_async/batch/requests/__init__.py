"""Makes the requests of a batch's items. The seam is `request_maker.py`."""
