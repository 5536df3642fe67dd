"""From a job's spec to its units: lists inputs, reads films, checks outputs, finds what is already done.

Schedules nothing and stores nothing, and may be called from any thread.
"""
