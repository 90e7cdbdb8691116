"""The platform API: models, prices, usage, billing, past requests, keys, workflows (protocol 11). Pure.

Each module has the values of one subject, and the functions that build its HTTP requests and parse its responses.
`queries.py` checks arguments and makes queries of them; `documents.py` reads JSON objects and pages as values.

Citations such as (protocol 11.8) are sections of `fal_async/protocol/README.md`.
"""
