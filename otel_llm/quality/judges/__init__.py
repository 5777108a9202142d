"""Judging a sample of the answers, and saying how good all of them are from that: knows neither OpenTelemetry nor us.

A judging model is cheap and biased, people are expensive and taken for the truth. Neither the raw mean of a judge nor
that of the few answers people saw is reported: `estimate` combines both, without bias and with an interval, and
`agreement` says whether the judge may be listened to at all.
"""

from otel_llm.quality.judges.agreement import Agreement, agreement
from otel_llm.quality.judges.estimate import Case, Estimate, estimate
from otel_llm.quality.judges.rubric import CANNOT_TELL, AnswerError, Judgement, Rubric
from otel_llm.quality.judges.sampling import Sampling

__all__ = [
    "CANNOT_TELL",
    "Agreement",
    "AnswerError",
    "Case",
    "Estimate",
    "Judgement",
    "Rubric",
    "Sampling",
    "agreement",
    "estimate",
]
