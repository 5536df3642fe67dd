"""What plugins may offer (tasks, networks, executors), and how they are found and vetted.

Runs no plugin code beyond importing it.
"""
