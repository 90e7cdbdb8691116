"""Python modules with the types of endpoints, for `fal-async types`: from fal's schemas to text, without I/O.

`schema_reading.py` makes records and fields (`declarations.py`) of the JSON schemas, `record_names.py` gives them
names and merges equal ones, `module_text.py` writes the module in one of the styles of `styles.py`, formatted by
`layout.py`. `differences.py` compares two such modules.

datamodel-code-generator was tried: it has no style for attrs, puts fal's defaults into the input, its dataclasses
lose the names in JSON, and requires black, isort and Jinja.
"""
