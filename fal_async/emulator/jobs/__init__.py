"""The queue: endpoints, the jobs that were taken, and the runners that work on them.

It imports `wire` and `storage`.
"""
