"""Turns an order into a finished file: worker threads, rendering, training and finishing."""
