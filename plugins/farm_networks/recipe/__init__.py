"""How the starter network was trained: ``python -m farm_networks.recipe`` does it again."""
