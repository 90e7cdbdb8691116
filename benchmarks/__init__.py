"""What fal_async costs, compared with other clients; README.md has the figures.

Programs: `python -m benchmarks` (calls, following, imports); `streaming`, `storage`, `ledger` and
`emulator_load`, which print their own figures; `saturation` (the capacity of the load server). `harness` plans,
takes and shows the figures. `rivals` contains the measured clients, `servers` the servers that they call,
`cold_start` scripts, `results` the raw figures.
"""
