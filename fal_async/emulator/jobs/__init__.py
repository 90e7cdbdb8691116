"""The queue: endpoints, jobs, and the runners that execute the jobs.

It imports `wire` and `storage`.
"""
