"""fal's queue: what is served, the jobs that were taken, and the runners that work on them.

It imports `wire` and `storage`.
"""
