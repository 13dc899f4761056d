#!/usr/bin/env python3
"""Our JSON Schema (base/core/src/schema*.c) against PyPI jsonschema, Draft 2020-12, on generated schemas and values.

Every schema uses only the keywords of base/schema.h; each scalar keyword is also tried alone against every scalar below.
Expected verdicts come from jsonschema, set up to read as our header says where the draft leaves a choice or jsonschema
departs from it (see Oracle). A part of the schemas is broken on purpose, or leads back to itself: those must be refused.
Exits 1 and prints the first case that differs; the seed repeats it.

    python3 schema_differential.py --tool build/tests/contract/schema_check_tool [--seed N] [--cases N]
"""
import argparse
import copy
import datetime
import json
import random
import re
import subprocess
import sys
import uuid
from fractions import Fraction

import jsonschema
from jsonschema import _utils, validators

VALUES_PER_SCHEMA = 6
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Our pattern, read as ECMA-262 reads it, and the same for Python's re (with re.ASCII).
PATTERNS = {
    "^[a-z]+$": r"^[a-z]+\Z",
    "b": "b",
    "^.{2,3}$": r"^[^\r\n]{2,3}\Z",
    "^\\d+(\\.\\d{2})?$": r"^\d+(\.\d{2})?\Z",
    "\\w-\\w": r"\w-\w",
    "^(a|bb)*$": r"^(a|bb)*\Z",
    "[]": r"(?!)",
    "^\\u0061": "^a",
    "(a)|b\\1c": r"(a)|bc",
    "\u00fc|\U0001f600{2}": "\u00fc|\U0001f600{2}",
    "^(?!no)\\S*$": r"^(?!no)\S*\Z",
}
NAMES = ["a", "b", "c", "kind", "a/b", "m~n", "\u00fc", "", "longer name"]
STRINGS = ["", "a", "b", "ab", "abba", "bb", "a-b", "no", "nothing", "12", "12.34", "\u00fc", "\U0001f600",
           "\U0001f600\U0001f600", "e\u0301", "a\nb", "a\n", "\r", "abc", "bc", "\u0663", "card", "sepa",
           "0190a7c2-5f3e-7d1a-9b4c-2e8f6a1d3c5b", "0190A7C2-5F3E-7D1A-9B4C-2E8F6A1D3C5B", "0190a7c25f3e-7d1a-9b4c-2e8f-6a1d3c5b",
           "2026-11-28T21:13:34Z", "2026-11-28t21:13:34.5+01:00", "2026-02-29T00:00:00Z", "2024-02-29T23:59:59-00:30",
           "2026-11-28 21:13:34Z", "2026-11-28T24:00:00Z", "2026-11-28T21:13:34", "2026-13-01T00:00:00Z",
           "name@example.org", "a.b+c@x-y.example", "a..b@example.org", "@example.org", "name@-x.org", "name", "a b@example.org",
           "https://example.org/a?b=c#d", "urn:x:y", "//example.org", "http://[::1]:80/", "http://exa mple.org", "a:%4",
           "mailto:a@b", "http://example.org:8o/", "http://a/[b]",
           "2026-04-31T00:00:00Z", "2026-04-30T00:00:00Z", "a.@example.org",
           "\u00fc\u00fc\u00fc\u00fc", "a\rb", "a\n\n"]
NUMBERS = [0, 1, -1, 2, 3, 5, 7, 10, 100, 606, 0.5, 1.5, 2.0, 606.0, 606.5, -0.0, 0.1, 0.3, 19.99, 1e3, 1e18, 1e300, -1e300, 1e-7,
           2**53, 2**53 + 1, float(2**53), 2**63 - 1, -2**63, 9007199254740993, 9.3e18, -9.3e18]
DIVISORS = [1, 2, 3, 7, 0.5, 0.1, 0.01, 1.5, 2.5, 606.0]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Oracle:
    """jsonschema, with what base/schema.h says: a real above 2^53 is not an integer; multipleOf with a fraction is judged to
    14 digits; patterns as in ECMA-262; the four formats as assertions. Its own uniqueItems sorts [1], [true], [1] and misses
    the pair, its own multipleOf goes through doubles."""

    def __init__(self):
        draft = validators.Draft202012Validator
        checker = draft.TYPE_CHECKER.redefine("integer", lambda _, v: is_integer(v))
        overrides = {"multipleOf": self.multiple_of, "pattern": self.pattern, "uniqueItems": self.unique_items}
        self.make = validators.extend(draft, overrides, type_checker=checker)
        self.formats = jsonschema.FormatChecker(formats=())
        for name, holds in FORMATS.items():
            self.formats.checks(name)(lambda v, holds=holds: not isinstance(v, str) or holds(v))

    def validator(self, schema):
        return self.make(schema, format_checker=self.formats)

    @staticmethod
    def multiple_of(validator, divisor, value, schema):
        if validator.is_type(value, "number"):
            quotient = Fraction(value) / Fraction(divisor)
            tolerance = 0 if float(divisor).is_integer() else Fraction(1, 10**14) * abs(quotient)
            if abs(quotient - round(quotient)) > tolerance:
                yield jsonschema.ValidationError("not a multiple")

    @staticmethod
    def pattern(validator, pattern, value, schema):
        if isinstance(value, str) and not re.search(PATTERNS[pattern], value, re.ASCII):
            yield jsonschema.ValidationError("does not match")

    @staticmethod
    def unique_items(validator, wanted, value, schema):
        if wanted and isinstance(value, list):
            if any(_utils.equal(a, b) for i, a in enumerate(value) for b in value[:i]):
                yield jsonschema.ValidationError("not unique")


def is_integer(v):
    if isinstance(v, bool):
        return False
    return isinstance(v, int) or (isinstance(v, float) and v.is_integer() and abs(v) <= 2**53)


def is_uuid(s):
    try:
        return str(uuid.UUID(s)) == s.lower()
    except ValueError:
        return False


def is_date_time(s):
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", s, re.ASCII):
        return False
    try:
        datetime.datetime.fromisoformat(s.upper())
        return True
    except ValueError:
        return False


def is_email(s):
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
    label = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    return re.fullmatch(rf"{atom}(\.{atom})*@{label}(\.{label})*", s) is not None


def is_uri(s):
    char = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
    host = r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)"
    user = r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
    path = rf"(?://{user}{host}(?::\d*)?(?:/{char}*)*|/?{char}+(?:/{char}*)*|/|)"
    return re.fullmatch(rf"[A-Za-z][A-Za-z0-9+.-]*:{path}(?:\?(?:{char}|[/?])*)?(?:#(?:{char}|[/?])*)?", s, re.ASCII) is not None


FORMATS = {"uuid": is_uuid, "date-time": is_date_time, "email": is_email, "uri": is_uri}


class Generator:
    """Random schemas over three definitions, and values that nearly fit them."""

    DEFS = ["one", "two", "x/y ~z"]

    def __init__(self, rng):
        self.rng = rng

    def chance(self, p):
        return self.rng.random() < p

    def document(self):
        schema = self.schema(3)
        if isinstance(schema, dict):
            schema["$defs"] = {name: self.schema(2) for name in self.DEFS}
            if self.chance(0.3):
                schema.update({"$schema": DIALECT, "$id": "https://example.org/s", "title": "t", "x-note": {"any": "thing"}})
        return schema

    def ref(self):
        name = self.rng.choice(self.DEFS)
        return "#/$defs/" + name.replace("~", "~0").replace("/", "~1").replace(" ", "%20")

    def schema(self, depth):
        if self.chance(0.06):
            return self.chance(0.7)
        schema = {}
        makers = [self.typed, self.numeric, self.textual, self.fixed]
        if depth > 0:
            makers += [self.members, self.members, self.members, self.list, self.list, self.combined, self.tagged]
        for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3])):
            self.rng.choice(makers)(schema, depth)
        if depth < 3 and self.chance(0.12):
            schema["$ref"] = self.ref()
        if self.chance(0.1):
            schema.update(description="d", default=None, examples=[1], deprecated=False)
        return schema

    def typed(self, schema, depth):
        kinds = self.rng.sample(TYPES, self.rng.choice([1, 1, 1, 2, 3]))
        schema["type"] = kinds[0] if len(kinds) == 1 else kinds

    def numeric(self, schema, depth):
        if self.chance(0.5):
            schema["type"] = self.rng.choice(["integer", "number"])
        for key in self.rng.sample(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], self.rng.choice([0, 1, 2])):
            schema[key] = self.rng.choice(NUMBERS)
        if self.chance(0.4):
            schema["multipleOf"] = self.rng.choice(DIVISORS)

    def textual(self, schema, depth):
        if self.chance(0.5):
            schema["type"] = "string"
        if self.chance(0.3):
            schema["minLength"] = self.rng.choice([0, 1, 2, 3.0])
        if self.chance(0.3):
            schema["maxLength"] = self.rng.choice([0, 1, 2, 10])
        if self.chance(0.4):
            schema["pattern"] = self.rng.choice(list(PATTERNS))
        if self.chance(0.3):
            schema["format"] = self.rng.choice(list(FORMATS))

    def fixed(self, schema, depth):
        if self.chance(0.5):
            schema["const"] = self.value(2)
        else:
            schema["enum"] = [self.value(2) for _ in range(self.rng.randint(1, 4))]

    def members(self, schema, depth):
        if self.chance(0.7):
            schema["type"] = "object"
        if self.chance(0.9):
            schema["properties"] = {n: self.schema(depth - 1) for n in self.rng.sample(NAMES, self.rng.randint(0, 3))}
        if self.chance(0.4):
            schema["required"] = self.rng.sample(list(schema.get("properties", {})) or NAMES, 1)
        if self.chance(0.4):
            schema["additionalProperties"] = self.rng.choice([False, False, self.schema(depth - 1)])
        if self.chance(0.15):
            schema["propertyNames"] = self.schema(0)
        if self.chance(0.15):
            schema["dependentRequired"] = {self.rng.choice(NAMES): self.rng.sample(NAMES, self.rng.randint(0, 2))}
        if self.chance(0.15):
            schema["minProperties"] = self.rng.randint(0, 2)
        if self.chance(0.15):
            schema["maxProperties"] = self.rng.randint(0, 3)

    def list(self, schema, depth):
        if self.chance(0.7):
            schema["type"] = "array"
        if self.chance(0.7):
            schema["items"] = self.schema(depth - 1)
        if self.chance(0.25):
            schema["prefixItems"] = [self.schema(depth - 1) for _ in range(self.rng.randint(1, 2))]
        if self.chance(0.2):
            schema["minItems"] = self.rng.randint(0, 2)
        if self.chance(0.2):
            schema["maxItems"] = self.rng.randint(0, 3)
        if self.chance(0.35):
            schema["uniqueItems"] = self.chance(0.9)

    def combined(self, schema, depth):
        key = self.rng.choice(["allOf", "anyOf", "anyOf", "oneOf", "oneOf", "not"])
        many = [self.schema(depth - 1) for _ in range(self.rng.randint(1, 3))]
        schema[key] = many[0] if key == "not" else many

    def tagged(self, schema, depth):
        branches = []
        for tag in ["card", "sepa"]:
            branch = {"type": "object", "properties": {"kind": {"const": tag}, "a": self.schema(depth - 1)}, "required": ["kind"]}
            branches.append(branch)
        schema[self.rng.choice(["oneOf", "anyOf"])] = branches

    def value(self, depth):
        kinds = ["scalar", "number", "string"] + (["scalar", "array", "object"] if depth > 0 else [])
        kind = self.rng.choice(kinds)
        if kind == "number":
            return self.rng.choice(NUMBERS)
        if kind == "string":
            return self.rng.choice(STRINGS)
        if kind == "array":
            return [self.value(depth - 1) for _ in range(self.rng.randint(0, 3))]
        if kind == "object":
            return {n: self.value(depth - 1) for n in self.rng.sample(NAMES, self.rng.randint(0, 3))}
        return self.rng.choice([None, True, False, 0, 1])

    def fitting(self, schema, root, depth):
        """A value made along the schema; often, not always, valid."""
        if not isinstance(schema, dict) or depth == 0:
            return self.value(1)
        if "$ref" in schema and self.chance(0.7):
            return self.fitting(root["$defs"][unescape(schema["$ref"])], root, depth - 1)
        if "const" in schema:
            return copy.deepcopy(schema["const"])
        if "enum" in schema:
            return copy.deepcopy(self.rng.choice(schema["enum"]))
        for key in ("oneOf", "anyOf", "allOf"):
            if key in schema and self.chance(0.8):
                return self.fitting(self.rng.choice(schema[key]), root, depth - 1)
        return self.of_type(schema, root, depth)

    def of_type(self, schema, root, depth):
        kinds = schema.get("type", self.guess(schema))
        kind = self.rng.choice(kinds) if isinstance(kinds, list) else kinds
        if kind == "object":
            names = [n for n in schema.get("properties", {}) if self.chance(0.7)] + schema.get("required", [])
            names += [n for n in NAMES if "additionalProperties" not in schema and self.chance(0.05)]
            properties = schema.get("properties", {})
            return {n: self.fitting(properties.get(n, schema.get("additionalProperties")), root, depth - 1) for n in names}
        if kind == "array":
            prefix = schema.get("prefixItems", [])
            n = self.rng.choice([schema.get("minItems", 0), schema.get("maxItems", 2), len(prefix), 2])
            return [self.fitting(prefix[i] if i < len(prefix) else schema.get("items"), root, depth - 1) for i in range(n)]
        if kind in ("integer", "number"):
            bounds = [schema[k] for k in schema if k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")]
            near = self.rng.choice(bounds or [0])
            near = near + self.rng.choice([-1, 0, 0, 1, 1.0, 0.5]) if abs(near) < 2**62 else near
            return self.rng.choice([near, near, schema.get("multipleOf", 1) * self.rng.randint(-9, 99), self.rng.choice(NUMBERS)])
        if kind == "string":
            return self.rng.choice(STRINGS)
        return {"null": None, "boolean": self.chance(0.5)}.get(kind)

    def guess(self, schema):
        for kind, keys in (("object", "properties required additionalProperties propertyNames minProperties dependentRequired"),
                           ("array", "items prefixItems minItems uniqueItems"), ("string", "pattern minLength maxLength format"),
                           ("number", "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf")):
            if any(k in schema for k in keys.split()):
                return kind
        return TYPES

    def mutated(self, value):
        """The value with one thing changed somewhere inside."""
        if isinstance(value, dict) and value and self.chance(0.7):
            name = self.rng.choice(list(value))
            changed = dict(value)
            if self.chance(0.25):
                del changed[name]
            else:
                changed[name] = self.mutated(value[name])
            return changed
        if isinstance(value, list) and value and self.chance(0.7):
            i = self.rng.randrange(len(value))
            return value[:i] + [self.mutated(value[i])] + self.rng.choice([value[i + 1:], value[i:], []])
        if isinstance(value, dict) and self.chance(0.5):
            return {**value, self.rng.choice(NAMES): self.value(1)}
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53 and self.chance(0.7):
            return self.rng.choice([value + 1, value - 1, -value, value + 0.5, float(value)])
        return self.value(1)

    def broken(self, schema):
        """A schema that must be refused: one thing wrong in some subschema."""
        schema = copy.deepcopy(schema)
        if not isinstance(schema, dict):
            return 5
        wrong = [("const2", 1), ("contains", {}), ("patternProperties", {}), ("if", True), ("unevaluatedProperties", False),
                 ("type", "int"), ("type", []), ("type", ["string", "string"]), ("enum", []), ("enum", 1), ("required", "a"),
                 ("required", [1]), ("properties", []), ("properties", {"a": 5}), ("items", [True]), ("allOf", []), ("oneOf", {}),
                 ("minLength", -1), ("minItems", 1.5), ("maxProperties", "1"), ("minimum", "0"), ("multipleOf", 0),
                 ("pattern", "("), ("pattern", 1), ("format", "ipv4"), ("uniqueItems", 1), ("additionalProperties", None),
                 ("$ref", "#/$defs/none"), ("$ref", "other.json"), ("$ref", "#one"), ("$ref", "#/$defs"), ("not", []),
                 ("dependentRequired", {"a": "b"}), ("$defs", [])]
        places = [schema] + [s for s in schema.get("properties", {}).values() if isinstance(s, dict)]
        key, value = self.rng.choice(wrong)
        self.rng.choice(places)[key] = value
        return schema


def unescape(ref):
    return ref.removeprefix("#/$defs/").replace("%20", " ").replace("~1", "/").replace("~0", "~")


def loops(schema, root, path=()):
    """Whether the schema leads back to itself on one and the same value."""
    if not isinstance(schema, dict):
        return False
    if id(schema) in path:
        return True
    path += (id(schema),)
    inner = [s for k in ("allOf", "anyOf", "oneOf") for s in schema.get(k, [])] + [schema[k] for k in ("not",) if k in schema]
    if "$ref" in schema:
        inner.append(root["$defs"][unescape(schema["$ref"])])
    return any(loops(s, root, path) for s in inner)


def subschemas(schema):
    if isinstance(schema, dict):
        yield schema
        for key in ("properties", "$defs"):
            for inner in schema.get(key, {}).values():
                yield from subschemas(inner)
        for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
            for inner in schema.get(key, []):
                yield from subschemas(inner)
        for key in ("not", "items", "additionalProperties", "propertyNames"):
            yield from subschemas(schema.get(key))


def alone():
    """Every scalar keyword, alone, against every scalar."""
    bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
    table = [("pattern", PATTERNS, STRINGS), ("format", FORMATS, STRINGS), ("minLength", range(5), STRINGS),
             ("maxLength", range(5), STRINGS), ("multipleOf", DIVISORS, NUMBERS),
             ("const", NUMBERS + [True, False, None], NUMBERS + [True])] + [(key, NUMBERS, NUMBERS) for key in bounds]
    for key, choices, values in table:
        for choice in choices:
            for value in values:
                yield {key: choice}, value


def cases(rng, oracle, count):
    """(expected verdict, schema, value) …"""
    for schema, value in alone():
        yield "valid" if oracle.validator(schema).is_valid(value) else "invalid", schema, value
    generator = Generator(rng)
    while count > 0:
        schema = generator.document()
        if generator.chance(0.05):
            count -= 1
            yield "refused", generator.broken(schema), None
            continue
        looping = any(loops(s, schema) for s in subschemas(schema))
        validator = None if looping else oracle.validator(schema)
        for _ in range(1 if looping else VALUES_PER_SCHEMA):
            count -= 1
            value = generator.fitting(schema, schema, 6)
            for _ in range(rng.choice([0, 0, 1, 1, 2])):
                value = generator.mutated(value)
            yield "refused" if looping else "valid" if validator.is_valid(value) else "invalid", schema, value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True, help="path of schema_check_tool")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=3000)
    options = parser.parse_args()
    wanted = list(cases(random.Random(options.seed), Oracle(), options.cases))
    lines = "".join(json.dumps({"schema": s, "value": v}) + "\n" for _, s, v in wanted)
    answers = subprocess.run([options.tool], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    if len(answers) != len(wanted):
        sys.exit(f"seed {options.seed}: {len(wanted)} cases, {len(answers)} answers")
    seen = {}
    for number, ((expected, schema, value), answer) in enumerate(zip(wanted, answers), 1):
        verdict, _, detail = answer.partition("\t")
        seen[verdict] = seen.get(verdict, 0) + 1
        if verdict != expected:
            sys.exit(f"seed {options.seed}, case {number}: expected {expected}, got {verdict} ({detail.strip()})\n"
                     f"schema: {json.dumps(schema)}\nvalue:  {json.dumps(value)}")
    print(f"seed {options.seed}: {len(wanted)} cases agree: " + ", ".join(f"{n} {v}" for v, n in sorted(seen.items())))


if __name__ == "__main__":
    main()
