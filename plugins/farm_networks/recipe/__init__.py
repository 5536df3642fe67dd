"""The training recipe of the starter network; run it with ``python -m farm_networks.recipe``."""
