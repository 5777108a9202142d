"""Builds the compiled modules, the span reader and the detectors' searches, where there is a C compiler.

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

MODULES = {
    "otel_llm.codecs._compiled": "otel_llm/codecs/_compiled.pyx",
    "otel_llm.policy.detectors._compiled": "otel_llm/policy/detectors/_compiled.pyx",
}


class CompiledModulesHook(BuildHookInterface):
    """Compiles the modules into the source tree and adds them to the wheel."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Build it, or say why not."""
        del version
        if self.target_name != "wheel" or os.environ.get("OTEL_LLM_PURE_PYTHON") or sys.byteorder != "little":
            return
        try:
            libraries = compile_modules(Path(self.root))
        except Exception as error:  # noqa: BLE001 - no compiler, no Python headers, ...: nothing may fail the installation
            self.app.display_warning(f"otel_llm: nothing is compiled, the portable modules are used: {error}")
            return
        build_data["artifacts"] = [f"/{library.relative_to(self.root)}" for library in libraries]
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(root: Path) -> list[Path]:
    """The extension modules, each built beside its source.

    Raises:
        Exception: they cannot be built here; the compilers' errors have no base of their own.
    """
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [] if sys.platform == "win32" else ["-g0"]
        extensions = [Extension(name, [source], extra_compile_args=arguments) for name, source in MODULES.items()]
        here = Path.cwd()
        os.chdir(root)
        try:
            command = build_ext(Distribution({"ext_modules": cythonize(extensions, build_dir=scratch, quiet=True)}))
            command.build_temp = scratch
            command.inplace = True
            command.ensure_finalized()
            command.run()
            return [root / command.get_ext_fullpath(name) for name in MODULES]
        finally:
            os.chdir(here)
