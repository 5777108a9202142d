"""Tells when something has changed, with a known rate of false alarms: knows neither OpenTelemetry nor us.

The law of this package: evidence is bought with budget. Each observation adds a little weight to a detector, and bets
against "nothing has changed" multiply what is there. Under "nothing has changed" a bet wins nothing on average, so what
a detector holds is on average at most what was put in. It alarms at 1: the expected number of false alarms is therefore
at most the sum of all weights ever added, for every detector and over all of them, however often anyone looks. With the
same weight a at each observation that is a Shiryaev-Roberts e-detector, whose false alarms are at least 1/a
observations apart on average.

Source: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2022); that
weights may be any that were fixed before the observation is our addition, by the same argument.
"""

from otel_llm.quality.drift.monitor import Alarm, Monitor, Segment, Settings, Value, Watched
from otel_llm.quality.drift.shift import Shift
from otel_llm.quality.drift.texts import features_of

__all__ = ["Alarm", "Monitor", "Segment", "Settings", "Shift", "Value", "Watched", "features_of"]
