"""Quality: was an answer any good? Pure: knows neither OpenTelemetry nor us.

signals/    cheap checks of one operation: no model, no download, microseconds
results.py  an evaluation result, and what identifies it
review.py   which cases people should look at
"""
