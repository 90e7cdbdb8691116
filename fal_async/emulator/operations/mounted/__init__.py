"""The operations that a mounted application serves in place of an endpoint.

It imports `operations`, never the other way round.
"""
