"""From an order to a finished file: threads, workers, rendering, training and finishing."""
