"""Turns a job's spec into units: lists inputs, reads films, checks outputs, finds finished units.

Schedules nothing, stores nothing, and may be called from any thread.
"""
