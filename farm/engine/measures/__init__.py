"""How good samples are: figures that compare them with training pictures, and with each other."""
