"""The operations that a mounted application serves in place of an endpoint.

It imports `operations`, which does not import it.
"""
