"""A plugin of one file, for tests that change it."""

PLUGIN = '''
import os
from farm import Effect, hookimpl

class Own(Effect):
    """Returns the picture unchanged."""
    name = "own"
    def render(self, image, context):
        return image

@hookimpl
def farm_tasks():
    return [Own]
'''
