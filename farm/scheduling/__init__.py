"""Pure scheduling decisions: events in, instructions out. No I/O, no clock, no threads, no Ray."""
