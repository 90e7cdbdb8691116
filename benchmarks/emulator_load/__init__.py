"""What the emulator itself costs under load: `python -m benchmarks.emulator_load`.

`calls.py` sends requests from raw sockets, `measures.py` has the measurements, `__main__.py` repeats and prints
them.
"""
