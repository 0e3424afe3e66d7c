"""The house: imports go one way, few modules know Bambi and PyMC, and importing the package is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bayesmlm"
# A module may import only from modules named before it (or from its own package).
ORDER = [
    "errors",
    "families",
    "progress",
    "averages",
    "datasets",
    "syntax",
    "formulas",
    "distributional",
    "transforms",
    "columns",
    "source",
    "evaluate",
    "coding",
    "rows",
    "responses",
    "blocks",
    "design",
    "meanings",
    "information",
    "wanted",
    "new_responses",
    "newdata",
    "updating",
    "covariance",
    "crossprod",
    "priors",
    "kernels",
    "variance",
    "reference",
    "predictor",
    "predictive_mean",
    "draws",
    "bambi_draws",
    "prior_draws",
    "model",
    "sampling",
    "diagnostics",
    "tables",
    "link_scale",
    "intervals",
    "observations",
    "glmm_rows",
    "glmm_tables",
    "glmm_intervals",
    "comparison",
    "shrinkage",
    "integrals",
    "left_out",
    "response_scale",
    "group_density",
    "predictive_fit",
    "folds",
    "replicates",
    "model_rows",
    "arithmetic",
    "prior_values",
    "parameter_names",
    "evidence",
    "hypotheses",
    "backtransform",
    "outcome",
    "predicting",
    "predicted",
    "slopes",
    "changes",
    "explaining",
    "doctoring",
    "shares",
    "vpc",
    "response_partition",
    "design_effects",
    "variance_explained",
    "reliability",
    "pooling_factors",
    "residual_checks",
    "tiers",
    "ranks",
    "scores",
    "views",
    "prior_posterior",
    "sensitivity",
    "report",
    "plots",
    "explained",
    "diagnosed",
    "estimates",
    "quantities",
    "reference_pictures",
    "frequentist",
    "generalised",
    "linear",
    "anova_tables",
    "drawing",
    "specifying",
    "storage",
    "fits",
    "result",
    "opening",
    "reuse",
    "fitting",
]
SAMPLER_MODULES = {"model", "sampling"}
# What these need from a sampler they get as arrays: they must work on saved or synthetic draws.
SAMPLER_FREE = {
    "diagnostics",
    "tables",
    "link_scale",
    "comparison",
    "shrinkage",
    "report",
    "plots",
    "draws",
    "predicted",
    "changes",
    "shares",
    "vpc",
    "response_partition",
    "ranks",
}
SAMPLER_FREE |= {"explaining", "doctoring"}
SAMPLER_FREE |= {"views"}


def room(path: Path) -> str:
    """Name of the module or package of a file, directly below bayesmlm."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def imported(path: Path) -> set[str]:
    """Dotted names of the modules a file imports anywhere, type-checking imports apart."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = node.module == "bayesmlm"
            names |= {f"bayesmlm.{a.name}" for a in node.names} if inside else {node.module or ""}
    return names


def test_every_module_has_its_place():
    assert {room(p) for p in files()} == set(ORDER)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = room(path)
    earlier = {*ORDER[: ORDER.index(own)], own}
    ours = {n.split(".")[1] for n in imported(path) if n.startswith("bayesmlm.")}
    assert ours <= earlier, f"{path.name} imports {ours - earlier}, which come later"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_few_modules_know_the_sampler(path):
    roots = {n.split(".")[0] for n in imported(path)}
    if room(path) not in SAMPLER_MODULES:
        assert not roots & {"bambi", "pymc", "pytensor", "nutpie", "formulae"}
    if room(path) not in {"plots"}:
        assert "matplotlib" not in roots


def test_sampler_free_modules_do_not_load_a_sampler():
    code = "\n".join(f"import bayesmlm.{name}" for name in sorted(SAMPLER_FREE))
    loaded = modules_after(code)
    assert not loaded & {"bambi", "pymc", "pytensor", "nutpie"}


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import bayesmlm; bayesmlm.FormulaError; dir(bayesmlm)")
    assert not loaded & {
        "numpy",
        "pandas",
        "scipy",
        "xarray",
        "matplotlib",
        "bambi",
        "pymc",
        "arviz",
        "numba",
    }


def test_every_public_name_can_be_had():
    lines = ["import bayesmlm as bm", "assert all(hasattr(bm, name) for name in bm.__all__)"]
    code = "\n".join([*lines, "assert callable(bm.fit) and callable(bm.compare)"])
    assert not modules_after(code) & {"bambi", "pymc"}


def test_an_unknown_name_is_an_attribute_error():
    import bayesmlm

    with pytest.raises(AttributeError, match="no_such_name"):
        bayesmlm.no_such_name  # noqa: B018


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running some code."""
    script = f"{code}\nimport sys\nprint(' '.join(m for m in sys.modules if '.' not in m))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_no_module_has_the_name_of_a_public_function():
    """Importing such a module would put it in the function's place."""
    import bayesmlm

    modules = {room(path) for path in files()}
    assert not modules & ({*bayesmlm.__all__} - {"plots"})
