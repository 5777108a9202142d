"""Cases of the CEL project's own conformance tests, as they lie beside the project."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_llm.policy.cel import ABSENT, CelError, Environment, ExpressionError, Overload, Variables
from otel_llm.policy.cel import types as t
from otel_llm.policy.cel.values import TypeValue, Uint, make_map

Case = Mapping[str, Any]
_PRIMITIVES = {
    "BOOL": t.BOOL,
    "INT64": t.INT,
    "UINT64": t.UINT,
    "DOUBLE": t.DOUBLE,
    "STRING": t.STRING,
    "BYTES": t.BYTES,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an expression gave: its type and its value, or an error."""

    type: t.Type | None = None
    value: object = None
    error: str | None = None


def cases(path: Path) -> Iterator[Case]:
    """Those that need no protobuf messages."""
    for line in path.read_text().splitlines():
        case = json.loads(line)
        if not case["uses_proto"]:
            yield case


def name_of(case: Case) -> str:
    return f"{case['file']}/{case['section']}/{case['name']}"


def outcome(case: Case) -> Outcome:
    """Compile and evaluate a case."""
    try:
        bindings = {name: value_of(bound["value"]) for name, bound in case.get("bindings", {}).items()}
        program = _environment(case, bindings).compile(case["expr"])
        if case.get("check_only"):
            return Outcome(program.type)
        return Outcome(program.type, program.evaluate(Variables(lambda name: bindings.get(name, ABSENT))))
    except (CelError, ExpressionError) as error:
        return Outcome(error=str(error))


def _environment(case: Case, bindings: Mapping[str, object]) -> Environment:
    variables = dict.fromkeys(bindings, t.DYN)
    functions: list[Overload] = []
    for declared in case.get("type_env", []):
        if "ident" in declared:
            variables[declared["name"]] = type_of(declared["ident"]["type"])
            continue
        for overload in declared["function"]["overloads"]:
            parameters = tuple(type_of(one) for one in overload.get("params", []))
            functions.append(Overload(declared["name"], parameters, type_of(overload["result_type"]), lambda *_: None))
    return Environment(
        variables,
        functions=functions,
        container=case.get("container", ""),
        is_checked=not case.get("disable_check"),
    )


def is_as_expected(case: Case, found: Outcome) -> bool:
    if "eval_error" in case:
        return found.error is not None
    if found.error is not None:
        return False
    if "typed_result" in case:
        wanted = case["typed_result"]
        is_type = found.type == type_of(wanted["deduced_type"])
        return is_type and ("result" not in wanted or _same(found.value, value_of(wanted["result"])))
    return _same(found.value, value_of(case["value"]) if "value" in case else True)


def _same(found: object, wanted: object) -> bool:
    """Types included: 1 is neither 1u nor 1.0 nor true."""
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(found, float) and math.isnan(found)
    if type(found) is not type(wanted):
        return False
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return len(found) == len(wanted) and all(key in found and _same(found[key], wanted[key]) for key in wanted)
    return found == wanted


def value_of(message: Mapping[str, Any]) -> object:
    """A cel.expr.Value in JSON."""
    ((kind, value),) = message.items()
    match kind:
        case "int64_value":
            return int(value)
        case "uint64_value":
            return Uint(value)
        case "double_value":
            return float(value)
        case "bytes_value":
            return base64.b64decode(value)
        case "list_value":
            return [value_of(item) for item in value.get("values", [])]
        case "map_value":
            return make_map((value_of(one["key"]), value_of(one["value"])) for one in value.get("entries", []))
        case "type_value":
            return TypeValue(value)
    return value


def type_of(message: Mapping[str, Any]) -> t.Type:
    """A cel.expr.Type in JSON."""
    ((kind, value),) = message.items()
    match kind:
        case "primitive":
            return _PRIMITIVES[value]
        case "list_type":
            return t.list_of(type_of(value["elem_type"]))
        case "map_type":
            return t.map_of(type_of(value["key_type"]), type_of(value["value_type"]))
        case "null":
            return t.NULL
        case "type_param":
            return t.parameter(value)
        case "well_known":
            return {"TIMESTAMP": t.TIMESTAMP, "DURATION": t.DURATION}.get(value, t.DYN)
        case "abstract_type":
            return t.Type(value["name"], tuple(type_of(one) for one in value.get("parameter_types", [])))
    return t.DYN
