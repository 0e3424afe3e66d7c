"""Where the reference values are, and the models that rstanarm fitted."""

from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
# rstanarm's reference posteriors: name -> formula and data set.
MODELS = {
    "gcse_m3": ("course ~ 1 + female + (1 + female | school)", "gcsemv"),
    "sleep_corr": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "imm_model4": ("math ~ homework + (homework|schnum)", "imm10"),
    "penicillin": ("diameter ~ 1 + (1|plate) + (1|sample)", "penicillin"),
}
