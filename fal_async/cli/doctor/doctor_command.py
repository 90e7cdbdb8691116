"""Runs `fal-async doctor` with parsed arguments."""

from __future__ import annotations

import argparse
import asyncio
import os
import time

from fal_async.cli.doctor.doctor_report import document_of, status_of, text_of
from fal_async.cli.doctor.examination import examine
from fal_async.cli.messages import fail
from fal_async.cli.output import OutputLostError, forget_standard_output, put, put_line


def examine_and_report(options: argparse.Namespace) -> int:
    """Print the report, and return the exit status."""
    findings = asyncio.run(examine(dict(os.environ), options.ledger))
    now = time.time()
    try:
        if options.json:
            put(document_of(findings, now))
        else:
            put_line(text_of(findings, now))
    except OutputLostError as error:
        forget_standard_output()
        return fail("doctor", str(error))
    return status_of(findings)
