"""JSON schemas of endpoints: read from OpenAPI documents and types, used to check inputs and to make outputs.

It imports `wire`, `jobs` and `builtin`. Checks need jsonschema, and types need msgspec or pydantic, which are
imported when an endpoint with a schema or a type is registered or called.
"""
