"""The numerics: networks, exact tiles, objectives, pyramids. The only room that imports torch.

Import what is needed by module, for example ``from farm.engine import objectives``; this
package itself imports nothing, so that naming a network costs no torch.
"""
