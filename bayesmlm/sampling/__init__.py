"""From a model to draws: NUTS on the compiled marginal density where there is one, on the PyMC graph otherwise."""
