"""Tables behind the shrinkage pictures: one grouping factor, all its blocks, joined by level."""

import numpy as np
import pandas as pd
import pytest
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.shrinkage import caterpillar_table, pooling_lines, shrinkage_table

SLEEP = bm.load_dataset("sleepstudy")


def design_and_posterior(formula):
    design = build_design(formula, SLEEP)
    rng = np.random.default_rng(4)
    b = {block.label: rng.normal(size=(18, len(block.columns))) * 9 for block in design.blocks}
    sd = {block.label: np.full(len(block.columns), 9.0) for block in design.blocks}
    return design, posterior_of(design, fixef=[250.0, 10.0], sd=sd, sigma=25.0, b=b, spread=1e-12), b


def test_uncorrelated_blocks_are_one_picture():
    """(x || g) has two blocks, but a subject has one line: intercept and slope of its own."""
    design, posterior, b = design_and_posterior("Reaction ~ Days + (Days || Subject)")
    together = np.column_stack([b["Subject"], b["Subject.1"]]) + np.array([250.0, 10.0])
    lines = pooling_lines(design, posterior).set_index(["pooling", "level"])
    np.testing.assert_allclose(lines.loc["partial"].to_numpy(), together, rtol=1e-6)
    table = shrinkage_table(design, posterior, "Subject")
    np.testing.assert_allclose(table["partial"].to_numpy().reshape(18, 2), together, rtol=1e-6)
    own = np.polyfit(np.arange(10), SLEEP.loc[SLEEP["Subject"] == "308", "Reaction"], 1)[::-1]
    np.testing.assert_allclose(table.loc[table["level"] == "308", "no_pooling"], own)
    np.testing.assert_allclose(lines.loc["no"].loc["308"], own)


@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_effects_of_one_column_in_two_blocks_add_up():
    design, posterior, b = design_and_posterior("Reaction ~ Days + (Days | Subject) + (1 | Subject)")
    table = shrinkage_table(design, posterior).query("term == '(Intercept)'")
    first, second = (b[block.label][:, 0] for block in design.blocks)
    np.testing.assert_allclose(table["partial"], 250 + first + second, rtol=1e-6)


def test_blups_are_joined_by_level():
    design, posterior, _ = design_and_posterior("Reaction ~ Days + (Days | Subject)")
    turned = SLEEP.assign(Subject=pd.Categorical(SLEEP["Subject"], design.blocks[0].levels[::-1]))
    blups = bm.lmer("Reaction ~ Days + (Days | Subject)", turned).ranef()
    table = caterpillar_table(design, posterior, blups)
    wanted = bm.lmer("Reaction ~ Days + (Days | Subject)", SLEEP).ranef()["Subject"]
    np.testing.assert_allclose(table["reference"].to_numpy().reshape(18, 2), wanted, rtol=1e-6)
    assert caterpillar_table(design, posterior, {})["reference"].isna().all()


def test_lines_need_one_slope():
    design, posterior, _ = design_and_posterior("Reaction ~ Days + (Days + I(Days^2) | Subject)")
    with pytest.raises(bm.DataError, match="one slope per level"):
        pooling_lines(design, posterior)
