"""Policy files to documents: YAML with several documents in a file, or JSON. Every problem is named with its place.

YAML is read by the 1.2 core schema, as editors read it (`off` and dates are texts), from the node tree: so duplicate
keys are found, and aliases, which could blow up a file of a few lines, are refused.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from otel_llm.policy.sets.reading import PolicyError

if TYPE_CHECKING:
    import yaml

MOST_BYTES: Final = 4 * 1024 * 1024
_DEEPEST: Final = 20
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_TAG: Final = "tag:yaml.org,2002:"
_CORE_SCHEMA: Final = {
    "null": re.compile(r"(?:~|null|Null|NULL|)\Z"),
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"[-+]?[0-9]{1,18}\Z"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"),
}


def load_documents(paths: Iterable[Path]) -> list[tuple[str, object]]:
    """Every document of files, and of the YAML and JSON files that lie in folders, each with its file's name.

    Raises:
        PolicyError: with every problem.
    """
    problems: list[str] = []
    documents: list[tuple[str, object]] = []
    for path in paths:
        try:
            files = policy_files(path)
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror or error}")
            continue
        if not files:
            problems.append(f"{path}: no file of policies here; expected a .yaml or .json file, or a folder of them")
        for file in files:
            try:
                found = load_texts(file)
            except OSError as error:
                problems.append(f"{file}: cannot be read: {error.strerror or error}")
            except PolicyError as error:
                problems += error.problems
            else:
                documents += [(str(file), one) for one in found]
                if not found:  # as one is that somebody is writing just now
                    problems.append(f"{file}: nothing in it; expected policies, or no file")
    if problems:
        raise PolicyError(problems)
    return documents


def policy_files(path: Path) -> list[Path]:
    """The file, or the files in the folder, by name; those of test suites (`*.test.yaml`) are none.

    A link is one also where it leads nowhere: then it is a file that cannot be read.
    """
    found = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    named = (one for one in found if one.suffix in _SUFFIXES and not one.stem.endswith(".test"))
    return [one for one in named if one.is_file() or (one.is_symlink() and not one.exists())]


def load_texts(file: Path) -> list[object]:
    """Every document of one file.

    Raises:
        OSError: it cannot be read.
        PolicyError: with every problem.
    """
    with file.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise PolicyError([f"{file}: expected at most {MOST_BYTES} bytes"])
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise PolicyError([f"{file}: expected text in UTF-8"]) from None
    return read_text(text, str(file))


def read_text(text: str, file: str) -> list[object]:
    """The documents of a text, JSON when the file's name says so.

    Raises:
        PolicyError: with every problem.
    """
    documents = _read_json(text, file) if file.endswith(".json") else _read_yaml(text, file)
    try:
        msgspec.json.encode(documents)
    except UnicodeEncodeError:
        raise PolicyError([f"{file}: half of a surrogate pair in a text; expected whole characters"]) from None
    return documents


def _read_json(text: str, file: str) -> list[object]:
    problems: list[str] = []

    def section(pairs: list[tuple[str, object]]) -> dict[str, object]:
        values = dict(pairs)
        if len(values) < len(pairs):
            often = Counter(name for name, _ in pairs)
            twice = sorted(name[:60] for name, times in often.items() if times > 1)
            problems.extend(f"{file}: {name} is written twice; remove one of them" for name in twice)
        return values

    def refused(constant: str) -> object:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        value: object = json.loads(text, object_pairs_hook=section, parse_constant=refused)
    except RecursionError:
        raise PolicyError([f"{file}: nested deeper than {_DEEPEST} levels"]) from None
    except ValueError as error:
        raise PolicyError([f"{file}: not JSON: {error}"]) from None
    if _is_deeper(value, _DEEPEST):
        problems.append(f"{file}: nested deeper than {_DEEPEST} levels")
    if problems:
        raise PolicyError(problems)
    return [value]


def _is_deeper(value: object, levels: int) -> bool:
    if levels < 0:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_deeper(one, levels - 1) for one in inner)


def _read_yaml(text: str, file: str) -> list[object]:
    try:
        import yaml  # noqa: PLC0415 - where policies come as JSON, nobody needs it
    except ImportError:
        raise PolicyError(
            [f"{file}: YAML needs pyyaml, which is not installed; pip install 'otel-llm[policy]'"]
        ) from None
    try:
        nodes = list(yaml.compose_all(text, _loader()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        parts = ", ".join(part for part in (error.context, error.problem) if part)
        raise PolicyError([f"{file}:{where}: not YAML: {parts}"]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PolicyError([f"{file}: line {line}: not YAML: {error.reason}"]) from None
    except (yaml.YAMLError, RecursionError):
        raise PolicyError([f"{file}: not YAML, or nested too deep"]) from None
    problems: list[str] = []
    reader = _NodeReader(file, problems)
    documents = [reader.value(node, 0) for node in nodes if node is not None]
    if problems:
        raise PolicyError(problems)
    return [one for one in documents if one is not None]


def _loader() -> type[yaml.SafeLoader]:
    import yaml  # noqa: PLC0415 - see above

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's way; replaces the table that the base class shares

    for name, pattern in _CORE_SCHEMA.items():
        Loader.add_implicit_resolver(_TAG + name, pattern, None)
    return Loader


class _NodeReader:
    """Builds values from nodes and collects what is wrong with them."""

    def __init__(self, file: str, problems: list[str]) -> None:
        import yaml  # noqa: PLC0415 - see above

        self._types: Mapping[str, type[yaml.Node]] = {
            "map": yaml.MappingNode,
            "seq": yaml.SequenceNode,
            **dict.fromkeys(_SCALARS, yaml.ScalarNode),
        }
        self._file = file
        self._problems = problems
        self._seen: set[int] = set()
        # Kept, so that no other node gets the id of one that is gone.
        self._nodes: list[yaml.Node] = []

    def value(self, node: yaml.Node, depth: int) -> object:
        """The value of a node; None after a problem."""
        if id(node) in self._seen:
            self._problem(node, "an alias; write it out")
            return None
        self._seen.add(id(node))
        self._nodes.append(node)
        if depth > _DEEPEST:
            self._problem(node, f"nested deeper than {_DEEPEST} levels")
            return None
        kind = node.tag.removeprefix(_TAG)
        # A tag that somebody has written says nothing of what stands behind it.
        if isinstance(node, self._types.get(kind, ())):
            if kind == "map":
                return self._mapping(node, depth)
            if kind == "seq":
                return [self.value(one, depth + 1) for one in node.value]
            if kind == "str" or _CORE_SCHEMA[kind].match(node.value):
                return _SCALARS[kind](node.value)
        self._problem(node, f"the tag {node.tag[:60]} cannot be used here")
        return None

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, object]:
        pairs: Sequence[tuple[yaml.Node, yaml.Node]] = node.value
        values: dict[str, object] = {}
        for key, one in pairs:
            if not isinstance(key.value, str):
                self._problem(key, "expected a name before the colon")
            elif key.value in values:
                self._problem(key, f"{key.value[:60]} is written twice; remove one of them")
            else:
                values[key.value] = self.value(one, depth + 1)
        return values

    def _problem(self, node: yaml.Node, message: str) -> None:
        self._problems.append(f"{self._file}: line {node.start_mark.line + 1}: {message}")


_SCALARS: Final[Mapping[str, Callable[[str], object]]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "str": str,
}
