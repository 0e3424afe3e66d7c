"""Generalised linear mixed models by maximum likelihood: Laplace's approximation and adaptive quadrature."""
