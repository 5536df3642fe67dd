"""What plugins can offer (tasks, networks, executors), and how they are found and checked.

Runs no plugin code beyond importing it and calling its hooks.
"""
