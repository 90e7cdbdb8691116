"""`python -m benchmarks [PART ...] [--quick] [--rounds N]`: take figures and rewrite the tables of README.md.

Without parts, all of them are measured; `tables` measures nothing. `--quick` takes one or two minutes, prints the
tables, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import plan, taking
from benchmarks.harness.readme import rewrite
from benchmarks.harness.tables import TABLES

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PARTS: dict[str, Callable[[bool, int | None], dict[str, Any]]] = {
    "saturation": lambda quick, _: taking.take_saturation(1.0 if quick else 5.0),
    "imports": lambda quick, _: taking.take_imports(3 if quick else 15),
    "cold": lambda quick, _: taking.take_cold_starts(3 if quick else 15),
    "calls": lambda quick, rounds: taking.take(plan.calls(quick), rounds),
    "emulator": lambda quick, rounds: taking.take(plan.emulator(quick), rounds),
    "large": lambda quick, rounds: taking.take(plan.large(quick), rounds),
    "noticing": lambda quick, rounds: taking.take(plan.noticing(quick), rounds),
    "crowd": lambda quick, rounds: taking.take(plan.crowd(quick), rounds),
}


def main() -> None:
    options = _options()
    for part in options.parts or PARTS:
        if part == "tables":
            continue
        print(f"{part}:", flush=True)
        data = PARTS[part](options.quick, options.rounds)
        print(TABLES[part](data), flush=True)
        if not options.quick:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{part}.json").write_text(json.dumps(data, separators=(",", ":")) + "\n")
    if not options.quick:
        rewrite(HERE / "README.md", RESULTS)


def _options() -> argparse.Namespace:
    known = [*PARTS, "tables"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(known))
    parser.add_argument(
        "--quick", action="store_true", help="use small sizes and one round, and write nothing"
    )
    parser.add_argument("--rounds", type=int, help="rounds of a part under load (default: 3 or 5)")
    options = parser.parse_args()
    # argparse's own `choices` refuses an empty list.
    if unknown := [part for part in options.parts if part not in known]:
        parser.error(f"unknown part: {', '.join(unknown)}; expected {', '.join(known)}")
    return options


if __name__ == "__main__":
    main()
