"""The numerics: networks, exact tiles, objectives and pyramids. Only this package imports torch.

Import the module you need, for example ``from farm.engine import objectives``. The package itself
imports nothing, so it can be imported without loading torch.
"""
