"""Builds the compiled span reader where there is a C compiler.

Without one, the package is pure Python and works the same, only slower (docs/decisions/0007).
OTEL_LLM_PURE_PYTHON=1 leaves it out.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULE = "otel_llm.codecs._compiled"
SOURCE = "otel_llm/codecs/_compiled.pyx"


class CompiledReaderHook(BuildHookInterface):
    """Compiles the reader into the source tree and adds it to the wheel."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Build it, or say why not."""
        del version
        if self.target_name != "wheel" or os.environ.get("OTEL_LLM_PURE_PYTHON") or sys.byteorder != "little":
            return
        try:
            library = compile_reader(Path(self.root))
        except Exception as error:  # noqa: BLE001 - no compiler, no Python headers, ...: nothing may fail the installation
            self.app.display_warning(f"otel_llm: the span reader is not compiled, the portable one is used: {error}")
            return
        build_data["artifacts"] = [f"/{library.relative_to(self.root)}"]
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_reader(root: Path) -> Path:
    """The extension module, built beside its source.

    Raises:
        Exception: it cannot be built here; the compilers' errors have no base of their own.
    """
    with tempfile.TemporaryDirectory() as scratch:
        extension = Extension(MODULE, [SOURCE], extra_compile_args=[] if sys.platform == "win32" else ["-g0"])
        here = Path.cwd()
        os.chdir(root)
        try:
            command = build_ext(Distribution({"ext_modules": cythonize([extension], build_dir=scratch, quiet=True)}))
            command.build_temp = scratch
            command.inplace = True
            command.ensure_finalized()
            command.run()
            return root / command.get_ext_fullpath(MODULE)
        finally:
            os.chdir(here)
