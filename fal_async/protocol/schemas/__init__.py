"""Schemas of endpoints: what fal publishes about the input and the output of a model (protocol 11.6).

`endpoint_schema.py` reads fal's OpenAPI document, `self_contained.py` makes JSON schemas of parts of it,
`schema_fields.py` lists the fields of such a schema.
"""
