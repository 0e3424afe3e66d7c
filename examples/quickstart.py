"""rstanarm's GCSE tutorial: do girls do better in coursework, and by how much does that differ by school?

Fits the tutorial's third model, a varying intercept and a varying gender difference for each of 73 schools,
prints the Bayesian report, the maximum likelihood fit and the comparison of the two, and saves pictures.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # pictures go to files, also where there is no screen

import bayesmlm as bm

FORMULA = "course ~ 1 + female + (1 + female | school)"


def main() -> None:
    """Run the tutorial's third model from data to pictures."""
    gcse = bm.load_dataset("gcsemv")
    print(
        f"{len(gcse)} pupils in {gcse['school'].nunique()} schools; now sampling ...\n"
    )

    fit = bm.fit(FORMULA, gcse, seed=20261)
    print(fit, "\n")

    ref = bm.lmer(FORMULA, gcse, reml=False)
    print(ref, "\n")
    print(bm.compare(fit, ref), "\n")

    folder = Path(__file__).parent / "output"
    folder.mkdir(exist_ok=True)
    pictures = {
        "shrinkage.png": fit.plot_shrinkage(),
        "pooling_panels.png": fit.plot_pooling_panels().flat[0],
        "caterpillar.png": fit.plot_caterpillar(column="(Intercept)", ref=ref),
    }
    for name, axes in pictures.items():
        axes.figure.savefig(folder / name, dpi=150, bbox_inches="tight")
        print(f"saved {folder / name}")


if __name__ == "__main__":
    main()
