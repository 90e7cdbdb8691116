"""What fal_async costs, beside other clients; README.md has the figures.

Programs: `python -m benchmarks` (calls, following, imports), `streaming` and `storage`, which print tables of their
own, and `saturation` (what the load server can take). `harness` plans, takes and shows the figures. `rivals` has
the clients that are measured, `servers` what they talk to, `cold_start` scripts, `results` the raw figures.
"""
