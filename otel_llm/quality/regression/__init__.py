"""Whether a change has made answers worse, told from a data set: knows neither OpenTelemetry nor us.

Each case is run several times, as answers differ from one time to the next, and its share of successes is compared with
that of the same case in a stored baseline. What is tested is the sum of these differences: a case that fails now and
then fails nobody's build, many cases that fail a little more often do.
"""

from otel_llm.quality.regression.baseline import BaselineError, read_baseline, write_baseline
from otel_llm.quality.regression.cases import Case, CaseError, read_cases
from otel_llm.quality.regression.run import CaseResult, run_cases
from otel_llm.quality.regression.verdict import Verdict, compare

__all__ = [
    "BaselineError",
    "Case",
    "CaseError",
    "CaseResult",
    "Verdict",
    "compare",
    "read_baseline",
    "read_cases",
    "run_cases",
    "write_baseline",
]
