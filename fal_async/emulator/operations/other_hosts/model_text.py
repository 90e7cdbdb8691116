"""`llms.txt`: what fal tells agents about its models, as text (protocol 16.3)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.openapi import openapi_document
from fal_async.emulator.operations.platform.model_list import metadata
from fal_async.emulator.wire.answers import Answer

Schema = Mapping[str, Any]
_MODEL = re.compile(r"models/(.+)/llms\.txt")
_TYPES = {"number": "float", "array": "list"}
_EXAMPLES = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "array": [], "object": {}}
_SNIPPETS = """## Usage Examples

### cURL

```bash
curl --request POST \\
  --url https://fal.run/{id} \\
  --header "Authorization: Key $FAL_KEY" \\
  --header "Content-Type: application/json" \\
  --data '{shell}'
```

### Python

```python
import fal_client

result = fal_client.subscribe("{id}", arguments={python})
print(result)
```

### JavaScript

```javascript
import {{ fal }} from "@fal-ai/client";

const result = await fal.subscribe("{id}", {{ input: {input} }});
console.log(result.data);
```

## Additional Resources

- [Model Playground](https://fal.ai/models/{id})
- [API Documentation](https://fal.ai/models/{id}/api)
- [OpenAPI Schema](https://fal.ai/api/openapi/queue/openapi.json?endpoint_id={id})
"""


async def model_text(core: Core, call: Call) -> Answer | None:
    """Return the text of a path of fal.ai; None if it has none."""
    if call.route.rest == "llms.txt":
        return _plain(_overview(core))
    named = _MODEL.fullmatch(call.route.rest)
    served = core.endpoints.serving(named[1]) if named else None
    document = await openapi_document(core, named[1]) if named else None
    if named is None or served is None or document is None:
        return None
    about = metadata(core, call, served)
    return _plain("\n".join((*_about(core, served, named[1], about), *_api(document, named[1]))))


def _plain(text: str) -> Answer:
    return Answer(200, {"Content-Type": "text/plain; charset=utf-8"}, text)


def _overview(core: Core) -> str:
    models = "\n".join(
        f"- [{one.endpoint_id}](https://fal.ai/models/{one.endpoint_id}/llms.txt)" for one in core.endpoints
    )
    return f"# fal\n\n> The endpoints that this emulator of fal serves.\n\n## Models\n\n{models}\n"


def _about(core: Core, served: Served, name: str, about: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {about['display_name']}\n\n> {about['description']}\n\n## Overview\n"
    yield f"- **Endpoint**: `https://fal.run/{name}`\n- **Model ID**: `{name}`"
    yield f"- **Category**: {about['category']}\n- **Kind**: {about['kind']}"
    if about["tags"]:
        yield f"**Tags**: {', '.join(about['tags'])}"
    price = core.prices.find(served.endpoint_id)
    if price is not None:
        yield f"\n## Pricing\n\n- **Price**: ${price.unit_price} per {price.unit}"


def _api(document: Mapping[str, Any], name: str) -> Iterator[str]:
    components: Mapping[str, Schema] = document.get("components", {}).get("schemas", {})
    input, output = (_resolved(one, components) for one in _input_and_output(document, name))
    yield "\n## API Information\n\n### Input Schema\n"
    yield from _fields(input, components)
    example = _example(input, components)
    yield f"**Required Parameters Example**:\n\n```json\n{json.dumps(example, indent=2)}\n```\n"
    yield "### Output Schema\n"
    yield from _fields(output, components)
    text = json.dumps(example)
    quoted = text.replace("'", "'\\''")  # within the single quotes of a shell
    yield _SNIPPETS.format(id=name, shell=quoted, input=text, python=repr(example))


def _input_and_output(document: Mapping[str, Any], endpoint_id: str) -> Iterator[Schema]:
    """Yield the body of `POST /{id}`, and that of the result's 200 (11.6)."""
    paths = document.get("paths", {})
    submit = paths.get(f"/{endpoint_id}", {}).get("post", {}).get("requestBody", {})
    result = paths.get(f"/{endpoint_id}/requests/{{request_id}}", {}).get("get", {})
    for part in (submit, result.get("responses", {}).get("200", {})):
        yield part.get("content", {}).get("application/json", {}).get("schema", {})


def _resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    return components.get(_name(schema), schema) if "$ref" in schema else schema


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _fields(schema: Schema, components: Mapping[str, Schema]) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        needed = "required" if name in required else "optional"
        yield f"- **`{name}`** (`{_type(field)}`, _{needed}_):"
        if text := field.get("description", ""):
            yield "  " + text.replace("\n", "\n  ")
        yield from _details(_whole(field, components))
        yield ""


def _whole(field: Schema, components: Mapping[str, Schema]) -> Schema:
    """Return a field with what its only reference adds, such as the choices of an enum."""
    referred = field.get("allOf", [field])
    return {**_resolved(referred[0], components), **field} if len(referred) == 1 else field


def _details(field: Schema) -> Iterator[str]:
    if "default" in field:
        yield f"  - Default: `{json.dumps(field['default'])}`"
    if "minimum" in field and "maximum" in field:
        yield f"  - Range: `{field['minimum']}` to `{field['maximum']}`"
    elif "minimum" in field or "maximum" in field:
        limit = "minimum" if "minimum" in field else "maximum"
        yield f"  - {limit.title()}: `{field[limit]}`"
    if "enum" in field:
        yield f"  - Options: {', '.join(f'`{json.dumps(one)}`' for one in field['enum'])}"
    if "example" in field:
        yield f"  - Examples: {json.dumps(field['example'])}"


def _type(field: Schema) -> str:
    """Return the type as fal writes it: `list<string>`, `ImageSize | Enum`."""
    for word in ("anyOf", "oneOf", "allOf"):
        if word in field:
            return " | ".join(_type(one) for one in field[word])
    if "$ref" in field:
        return _name(field)
    if "enum" in field:
        return "Enum"
    kind = str(field.get("type", "any"))
    inner = f"<{_type(field['items'])}>" if kind == "array" and field.get("items") else ""
    return _TYPES.get(kind, kind) + inner


def _example(schema: Schema, components: Mapping[str, Schema]) -> dict[str, Any]:
    """Return the required fields with their examples, defaults, first choices, or empty values."""
    fields = schema.get("properties", {})
    return {name: _value(_whole(fields.get(name, {}), components)) for name in schema.get("required", ())}


def _value(field: Schema) -> Any:
    for word in ("example", "default"):
        if word in field:
            return field[word]
    return field["enum"][0] if field.get("enum") else _EXAMPLES.get(str(field.get("type")))
