"""From a job's spec to its units: lists inputs, reads films, checks outputs, finds finished units.

Schedules nothing, stores nothing, and may be called from any thread.
"""
