"""Models side by side: the numbers of each, one row for each quantity, markup that holds whatever a name has in it."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from synthetic import fit_of

import bayesmlm as bm
from bayesmlm.report.markup import markdown_text
from bayesmlm.variance import variance_parts

SLEEP = bm.load_dataset("sleepstudy")
ODD = 'a_1 <b> & $c% | "#"^~\\{}'


@pytest.fixture(scope="module")
def models():
    return {
        "lm": bm.lm("Reaction ~ Days", SLEEP),
        "intercepts": bm.lmer("Reaction ~ 1 + (1 | Subject)", SLEEP),
        "ML": bm.lmer("Reaction ~ Days + (Days | Subject)", SLEEP, reml=False),
        "Bayes": fit_of("Reaction ~ Days + (Days | Subject)", SLEEP, spread=0.1),
    }


def rows_of(frame, model, part):
    return frame[(frame["model"] == model) & (frame["part"] == part)]


# -- numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lm", "intercepts", "ML", "Bayes"])
def test_coefficients_are_those_of_tidy(models, name):
    frame = bm.table(models, prob=0.8).frame
    tidy = models[name].tidy(conf_level=0.8)
    tidy = tidy[tidy["effect"] == "fixed"]
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    np.testing.assert_array_equal(rows_of(frame, name, "fixed")[columns], tidy[columns])


@pytest.mark.parametrize("name", ["intercepts", "ML", "Bayes"])
def test_variance_components_are_those_of_tidy(models, name):
    random = rows_of(bm.table(models).frame, name, "random")
    tidy = models[name].tidy("ran_pars")
    np.testing.assert_array_equal(random["estimate"], tidy["estimate"])
    assert random["term"].tolist() == tidy["term"].tolist()
    assert random["std_error"].notna().all() == (name == "Bayes"), "a reference fit has no error of an sd"


def test_the_sigma_of_a_linear_model_stands_in_the_row_of_the_others(models):
    (row,) = rows_of(bm.table(models).frame, "lm", "random").to_dict("records")
    assert (row["group"], row["term"], row["estimate"]) == ("Residual", "sd__Observation", models["lm"].sigma)


def test_shares_of_a_reference_fit(models):
    share = rows_of(bm.table(models).frame, "ML", "share").set_index("term")["estimate"]
    assert share["icc"] == models["ML"].icc()["Subject"]
    assert share["r2_marginal"] == models["ML"].r2()["marginal"]
    assert share["r2_conditional"] == models["ML"].r2()["conditional"]


def test_shares_of_a_posterior_are_summaries_over_the_draws(models):
    fit = models["Bayes"]
    share = rows_of(bm.table(fit, prob=0.8, names=["Bayes"]).frame, "Bayes", "share").set_index("term")
    block, one_by_one = fit.posterior.blocks[0], []
    for c in range(2):
        for d in range(250):
            cov = block.cov.values[c, d]
            beta, sigma = fit.posterior.fixef.values[c, d], float(fit.posterior.sigma[c, d])
            one_by_one.append(float(variance_parts(fit.design, beta, [cov], sigma).conditional_r2))
    all_draws = fit.posterior.fixef.sizes["chain"] * 250
    assert len(one_by_one) == all_draws / 2
    # Half of the draws: their median is within four standard errors of a median of that many.
    error = 1.2533 * np.std(one_by_one) / np.sqrt(len(one_by_one))
    assert share.loc["r2_conditional", "estimate"] == pytest.approx(np.median(one_by_one), abs=4 * error)
    icc = block.sd.values[..., 0] ** 2 / (block.sd.values[..., 0] ** 2 + fit.posterior.sigma.values**2)
    ends = share.loc["icc", ["conf_low", "conf_high"]].to_numpy(float)
    np.testing.assert_allclose(ends, np.quantile(icc, [0.1, 0.9]))


def test_sizes_and_criteria(models):
    frame = bm.table(models, stats=("default", "deviance")).frame
    value = {(r.model, r.term): r.estimate for r in frame[frame["part"].isin(["size", "fit"])].itertuples()}
    assert [value[m, "nobs"] for m in models] == [180] * 4
    assert value["ML", "ngroups"] == 18
    assert value["Bayes", "draws"] == 1000
    ref = models["intercepts"]
    assert (value["intercepts", "log_lik"], value["intercepts", "aic"]) == (ref.loglik, ref.aic)
    assert value["intercepts", "reml_criterion"] == ref.reml_criterion
    assert value["ML", "deviance"] == models["ML"].deviance
    assert ("lm", "deviance") not in value, "R's is a sum of squares, not -2 logLik"
    assert ("ML", "reml_criterion") not in value
    assert ("Bayes", "aic") not in value


def test_statistics_are_chosen_by_name(models):
    frame = bm.table(models, stats=("aic", "nobs")).frame
    assert set(frame.loc[~frame["part"].isin(["fixed", "random"]), "term"]) == {"aic", "nobs"}
    assert bm.table(models, stats=()).frame["part"].isin(["fixed", "random"]).all()


def test_predictive_accuracy_is_shown_when_asked_for(models, monkeypatch):
    fit = models["Bayes"]
    result = SimpleNamespace(elpd=-861.25, se=22.5)
    monkeypatch.setattr(type(fit), "loo", lambda self: result, raising=False)
    frame = bm.table(models, stats="loo").frame
    (row,) = frame[frame["part"] == "fit"].to_dict("records")
    assert (row["model"], row["term"], row["estimate"], row["std_error"]) == (
        "Bayes",
        "elpd_loo",
        -861.25,
        22.5,
    )
    assert "elpd (LOO)" in str(bm.table(models, stats="loo"))


def test_p_values_are_those_of_the_coefficients_table(models):
    frame = bm.table(models, stars=True).frame
    p = rows_of(frame, "ML", "fixed")["p_value"]
    np.testing.assert_array_equal(p, models["ML"].coefficients("satterthwaite")["p_value"])
    assert rows_of(frame, "Bayes", "fixed")["p_value"].isna().all()
    assert rows_of(bm.table(models).frame, "ML", "fixed")["p_value"].isna().all()


# -- rows ----------------------------------------------------------------------------------------------


def test_rows_are_the_union_in_the_order_of_the_models():
    data = SLEEP.assign(x=np.arange(180.0) % 7, night=np.tile(np.arange(10), 18).astype(str))
    table = bm.table(
        bm.lmer("Reaction ~ x + (1 | Subject)", data),
        bm.lmer("Reaction ~ Days + x + (Days | Subject) + (1 | night)", data),
    )
    first = [term for part, term, value in table.to_frame().index if value == "estimate" and part in PARTS]
    assert first == [
        "(Intercept)",
        "x",
        "Days",
        "Subject sd (Intercept)",
        "Subject sd Days",
        "Subject cor (Intercept).Days",
        "night sd (Intercept)",
        "sigma",
    ]
    cells = cells_of(table, "Fixed effects", "Days").loc["estimate"].tolist()
    assert cells[0] == "", "the first model lacks the term"
    assert cells[1] != ""


PARTS = ("Fixed effects", "Random effects")


def cells_of(table, part, term):
    """Rows of strings of one quantity by what they are: estimate, std_error, interval."""
    shown = table.to_frame()
    here = (shown.index.get_level_values("part") == part) & (shown.index.get_level_values("term") == term)
    return shown[here].droplevel(["part", "term"])


def test_independent_effects_stand_in_the_rows_of_correlated_ones(models):
    table = bm.table(models["ML"], bm.lmer("Reaction ~ Days + (Days || Subject)", SLEEP))
    assert (cells_of(table, "Random effects", "Subject sd Days").loc["estimate"] != "").all()
    assert cells_of(table, "Random effects", "Subject cor (Intercept).Days").loc["estimate"].iloc[1] == ""


@pytest.mark.filterwarnings("ignore::bayesmlm.DataWarning")
def test_blocks_that_share_a_column_keep_their_labels():
    table = bm.table(bm.lmer("Reaction ~ Days + (Days | Subject) + (1 | Subject)", SLEEP))
    assert {"Subject", "Subject.1"} <= set(table.frame["group"].dropna())


# -- cells ---------------------------------------------------------------------------------------------


def test_cells_are_the_rounded_numbers(models):
    table = bm.table(models, show="both", digits=3)
    row = rows_of(table.frame, "ML", "fixed").iloc[1]
    cells = cells_of(table, "Fixed effects", "Days").iloc[:, list(models).index("ML")]
    assert cells["estimate"] == f"{row['estimate']:.3f}"
    assert cells["std_error"] == f"({row['std_error']:.3f})"
    assert cells["interval"] == f"[{row['conf_low']:.3f}, {row['conf_high']:.3f}]"


def test_what_is_shown_beside_has_columns_of_its_own(models):
    shown = bm.table(models["ML"], models["Bayes"], show="both", style="beside", prob=0.8).to_frame()
    assert shown.columns.get_level_values("value").tolist() == [
        *("Estimate", "SE", "80% interval"),
        *("Median", "MAD_SD", "80% interval"),
    ]
    assert shown.index.names == ["part", "term"]


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e3])
def test_small_numbers_do_not_vanish(unit):
    fit = bm.lmer("Reaction ~ x + (1 | Subject)", SLEEP.assign(x=SLEEP["Days"] / unit))
    cells = cells_of(bm.table(fit), "Fixed effects", "x").iloc[:, 0]
    estimate, se = fit.fixef()["x"], fit.se()["x"]
    assert float(cells["estimate"]) == pytest.approx(estimate, rel=0.05)
    assert float(cells["std_error"].strip("()")) == pytest.approx(se, rel=0.05)


def test_a_zero_is_shown_with_the_usual_decimals():
    fit = bm.lmer("Yield ~ 1 + (1 | Batch)", bm.load_dataset("dyestuff2"))
    table = bm.table(fit)
    assert cells_of(table, "Random effects", "Batch sd (Intercept)").loc["estimate"].item() == "0.00"
    assert any("singular" in note for note in table.notes), "and the note says why"


def test_stars_are_off_unless_asked_for(models):
    assert "*" not in str(bm.table(models))
    table = bm.table(models, stars=True)
    cells = dict(zip(models, cells_of(table, "Fixed effects", "Days").loc["estimate"], strict=True))
    assert cells["ML"].endswith("***")
    assert not cells["Bayes"].endswith("*")
    assert "* p < 0.05" in "".join(table.notes)


def test_notes_say_what_the_numbers_are(models):
    notes = " ".join(bm.table(models, show="both", prob=0.8).notes)
    assert (
        "Bayes: posterior medians; MAD_SD in parentheses; 80% central posterior intervals in brackets."
        in notes
    )
    assert "OLS, REML, ML: estimates; standard errors in parentheses; 80% confidence intervals" in notes
    assert "restricted likelihood" in notes
    assert "restricted" not in " ".join(bm.table(models["ML"], models["Bayes"]).notes)


def test_a_posterior_that_did_not_converge_is_said_to_be_so():
    fit = fit_of("Reaction ~ Days + (1 | Subject)", SLEEP, notes=["3 of 1000 draws diverged"])
    assert "(1): 3 of 1000 draws diverged." in bm.table(fit).notes


def test_heads_name_response_model_and_method(models):
    columns = bm.table(models).to_frame().columns
    assert columns.names == ["response", "model", "method"]
    assert columns.tolist()[1:] == [
        ("Reaction", "intercepts", "REML"),
        ("Reaction", "ML", "ML"),
        ("Reaction", "Bayes", "Bayes"),
    ]


# -- forms ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd():
    """A table in which everything that can have a name has an awkward one."""
    data = SLEEP.assign(**{"x_1&2": np.where(SLEEP["Days"] > 4, "late <$5|%>", "early_#")})
    fit = bm.lmer("log(Reaction) ~ `x_1&2` + I(Days^2) + (1 | Subject)", data)
    return bm.table({ODD: fit, "other": bm.lm("Reaction ~ Days", SLEEP)}, show="both")


class Cells(HTMLParser):
    """Texts of the cells of a table, row by row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
            self.open = True
        else:
            assert tag in {"style", "table", "thead", "tbody", "caption"}, f"a name has become the tag {tag}"

    def handle_endtag(self, tag):
        if tag in {"td", "th"}:
            self.open = False

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def test_html_holds_the_strings_of_the_frame(odd):
    rows = [[c for c in row if c.strip("\xa0")] for row in Cells(odd.to_html()).rows]
    texts = [c for row in rows for c in row]
    assert ODD in texts
    assert set(odd.frame.loc[odd.frame["part"] == "fixed", "term"]) <= set(texts)
    numbers = [c.replace("-", "−") for c in odd.to_frame().to_numpy().ravel() if c]
    assert [c for c in texts if c in set(numbers)] == numbers


def test_html_is_the_same_each_time(odd):
    assert odd.to_html() == odd.to_html()


def test_latex_is_a_tabular_with_full_rows(odd):
    text = odd.to_latex("Marks", label="tab:marks")
    assert r"\label{tab:marks}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [r for r in body.split("\\\\\n") if "&" in r and "multicolumn" not in r]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}, "two columns of names, two of models"
    assert r"\cline" not in text
    assert not text.strip().startswith("[")


def test_latex_escapes_every_special_character(odd):
    text = odd.to_latex(notes=False)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    plain = re.sub(r"\$-\$|\$\^2\$|\\[&%$#_{}]|\\[a-z]+(rule)?(\{\}|\\?)", "", body)
    for name in ("_", "#", "%", "$", "^", "~", "<", ">", "|"):
        assert name not in plain, name
    assert r"\textless{}" in body
    assert r"x\_1\&2" in body


def test_bare_latex_has_no_float(odd):
    assert odd.to_latex(notes=False).startswith(r"\begin{tabular}")
    assert odd.to_latex("Marks").startswith(r"\begin{table}")
    assert r"\caption{Marks. REML, OLS:" in odd.to_latex("Marks")


def test_negative_numbers_have_a_minus(models):
    table = bm.table(bm.lmer("Reaction ~ I(-Days) + (1 | Subject)", SLEEP))
    assert "$-$10.47" in table.to_latex()
    assert "−10.47" in table.to_html()
    assert "-10.47" in str(table)
    assert "I(-Days)" in table.to_html(), "the sign in a name is none of a number"


def test_markdown_rows_have_equal_cells(odd):
    lines = [x for x in odd.to_markdown().split("\n") if x.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert markdown_text("x_1&2") in odd.to_markdown()


def test_text_has_one_column_per_model(models):
    lines = str(bm.table(models)).split("\n")
    assert lines[1].split() == list(models)
    assert lines[2].split() == ["OLS", "REML", "ML", "Bayes"]
    ends = {re.search(r"[\d)] ?$", line).end() for line in lines if re.search(r"(4000|\(\d.*\))$", line)}
    assert len(ends) == 1, "numbers of the last model end in one column"


@pytest.mark.parametrize(
    ("ending", "start"),
    [
        (".html", "<!DOCTYPE html>"),
        (".tex", r"\begin{table}"),
        (".md", "|"),
        (".txt", " "),
        (".csv", "model,part"),
    ],
)
def test_a_table_is_saved_by_the_ending_of_its_name(odd, tmp_path, ending, start):
    path = odd.save(tmp_path / f"table{ending}")
    assert path.read_text(encoding="utf-8").startswith(start)


def test_csv_has_the_numbers_unrounded(odd, tmp_path):
    again = pd.read_csv(odd.save(tmp_path / "table.csv"))
    np.testing.assert_allclose(again["estimate"], odd.frame["estimate"], rtol=1e-15)


def test_notebooks_show_html(odd):
    assert odd.to_html() in odd._repr_html_()


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["a"]}, "different name to each of the 2 models"),
        ({"names": ["a", "a"]}, "different name"),
        ({"stats": "aiic"}, "Did you mean 'aic'"),
        ({"show": "stderr"}, "'se', 'interval', 'both', 'none'"),
        ({"style": "above"}, "'below', 'beside'"),
        ({"digits": -1}, "number of decimals"),
        ({"prob": 95}, "between 0 and 1"),
        ({"ddf": "kenward"}, "kenward"),
    ],
)
def test_choices_are_checked(models, arguments, message):
    with pytest.raises(bm.BayesMLMError, match=message):
        bm.table([models["ML"], models["Bayes"]], **arguments)


def test_models_are_fits(models):
    with pytest.raises(bm.BayesMLMError, match=r"bm.fit, bm.lmer, bm.glmer and bm.lm, not str"):
        bm.table("y ~ x")
    with pytest.raises(bm.BayesMLMError, match="at least one model"):
        bm.table([])
    with pytest.raises(bm.BayesMLMError, match="names already"):
        bm.table(models, names=["a", "b", "c", "d"])


def test_an_unknown_ending_is_refused(models, tmp_path):
    with pytest.raises(bm.BayesMLMError, match=r"\.html, \.tex, \.md"):
        bm.table(models).save(tmp_path / "table.docx")
    assert not list(tmp_path.iterdir())


def test_one_model_a_list_and_several_are_the_same_to_it(models):
    a, b = models["ML"], models["Bayes"]
    assert str(bm.table(a, b)) == str(bm.table([a, b])) == str(bm.table({"(1)": a, "(2)": b}))
