"""What a Bayesian fit can do, one subject per module; `bayesmlm.result.Fit` joins them."""
