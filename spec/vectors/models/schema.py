"""The part of JSON Schema 2020-12 that schema.json uses."""
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = {"$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "patternProperties",
         "additionalProperties", "required", "items", "minItems", "maxItems", "enum", "const", "pattern", "minimum",
         "maximum", "minProperties", "maxProperties", "oneOf", "anyOf", "minLength"}


def is_type(value, name):
    if name in ("integer", "number"):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def faults(value, schema, root, at="$"):
    """Each place that does not conform, with what was expected there."""
    if schema is True:
        return []
    if schema is False:
        return [f"{at}: may not be there"]
    unknown = set(schema) - KNOWN
    if unknown:
        return [f"{at}: schema uses {sorted(unknown)}"]
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return faults(value, target, root, at)
    wrong = []
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(is_type(value, name) for name in types):
        return [f"{at}: no {' or '.join(types)}"]
    if "enum" in schema and value not in schema["enum"] or "const" in schema and value != schema["const"]:
        wrong.append(f"{at}: not {schema.get('enum', schema.get('const'))}")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            wrong.append(f"{at}: does not match {schema['pattern']}")
        if len(value) < schema.get("minLength", 0):
            wrong.append(f"{at}: too short")
    if is_type(value, "integer") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        wrong.append(f"{at}: out of range")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            wrong.append(f"{at}: {len(value)} elements")
        for i, element in enumerate(value):
            wrong += faults(element, schema.get("items", True), root, f"{at}[{i}]")
    if isinstance(value, dict):
        wrong += [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
        if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
            wrong.append(f"{at}: {len(value)} members")
        for name, member in value.items():
            matching = [s for pattern, s in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
            if name in schema.get("properties", {}):
                matching.append(schema["properties"][name])
            for part in matching or [schema.get("additionalProperties", True)]:
                wrong += faults(member, part, root, f"{at}.{name}")
    for keyword in ("oneOf", "anyOf"):
        if keyword in schema:
            results = [faults(value, part, root, at) for part in schema[keyword]]
            fit = sum(not result for result in results)
            if fit == 0 or keyword == "oneOf" and fit > 1:
                nearest = min(results, key=len)
                wrong.append(f"{at}: fits {fit} of {keyword}; " + "; ".join(nearest[:2]))
    return wrong
