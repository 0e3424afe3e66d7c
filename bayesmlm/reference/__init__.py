"""Frequentist reference fits: ML and REML as lme4 computes them, complete pooling and no pooling."""
