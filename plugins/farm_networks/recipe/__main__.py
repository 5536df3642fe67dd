"""Train the starter network: ``python -m farm_networks.recipe --help``."""

from farm_networks.recipe.train import main

if __name__ == "__main__":
    main()
