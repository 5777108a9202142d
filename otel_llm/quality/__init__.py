"""Quality: was an answer any good, and has that changed? Pure: knows neither OpenTelemetry nor us.

signals/      cheap checks of one operation: no model, no download, microseconds
results.py    an evaluation result, and what identifies it
review.py     which cases people should look at
drift/        when something has moved, with a known rate of false alarms
compare/      whether a canary is worse than its control
judges/       judging a sample, and what that says about all answers
regression/   whether a change made answers worse, from a data set
intervals.py  intervals for a share
"""
