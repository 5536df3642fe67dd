"""From an order to a finished file: worker threads, rendering, training and finishing."""
