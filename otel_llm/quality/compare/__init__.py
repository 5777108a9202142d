"""Whether a canary is worse than the control beside it; the answer may be looked at at any time.

Each observation of the canary is set against observations of the control from the same time, so that what changes for
both of them (the hour, the load, a provider's bad day) says nothing. Bets on the difference multiply a stake of 1; as
long as the canary is no worse they win nothing on average, so the stake reaches 1/alpha with a probability of at most
alpha, ever (Ville's inequality). Nobody has to say beforehand how many observations there will be.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2023).
"""

from otel_llm.quality.compare.comparison import Comparison, Guardrail, Result, Settings, Standing

__all__ = ["Comparison", "Guardrail", "Result", "Settings", "Standing"]
