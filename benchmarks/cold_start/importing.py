"""`importing.py MODULE` or `MODULE:NAME`: measure an import.

Prints seconds, CPU seconds, bytes and modules.
"""

import sys
import time
from resource import getpagesize


def memory() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * getpagesize()


module, _, name = sys.argv[1].partition(":")
loaded, bytes_before = len(sys.modules), memory()
cpu, started = time.process_time(), time.perf_counter()
imported = __import__(module)
if name:
    getattr(imported, name)
took, cpu = time.perf_counter() - started, time.process_time() - cpu
print(f"[{took}, {cpu}, {memory() - bytes_before}, {len(sys.modules) - loaded}]")
