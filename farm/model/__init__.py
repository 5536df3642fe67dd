"""Frozen data that every other room shares: jobs, units, films, events and messages.

No I/O, no clock, no torch. Imports nothing from the farm but its errors.
"""
