"""Quality: was an answer any good, and has that changed? Pure: knows neither OpenTelemetry nor us.

signals/    cheap checks of one operation: no model, no download, microseconds
results.py  an evaluation result, and what identifies it
review.py   which cases people should look at
drift/      whether a stream of results has changed, at a known rate of false alarms
compare/    a canary against its control, decided at any time
judges/     judging a sample, and what it says about all
"""
