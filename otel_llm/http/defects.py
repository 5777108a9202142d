"""How a defect is told in a log: what kind of error, raised where; never its text, which may quote a request."""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """Such as `KeyError in price:120`: type, function and line, without a path."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{type(error).__name__} in {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
