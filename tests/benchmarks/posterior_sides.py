"""The programs that draw from a posterior. Each fits one model in a process of its own.

As a script, ``python posterior_sides.py program folder key chains draws tune cores seed mark`` fits one model with a
Python program: it prints the program's report, then the line `mark`, then the measurements as JSON.
"""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

HERE = Path(__file__).parent
MARK = "-- the report is printed --"
SECOND_CALL = 10.0  # seconds of a first call beyond which there is no second
FEW = 20  # iterations of the uncounted process that fills the caches of compiled code

# Bambi has neither R's names nor a / between grouping factors nor log() nor cbind().
BAMBI = {
    "cbpp": "p(incidence, size) ~ period + (1 | herd)",
    "pastes": "strength ~ 1 + (1 | batch) + (1 | batch:cask)",
    "eng_lme9": "np.log(ATT8SCR) ~ np.log(PTFSM6CLA1A) + np.log(PERCTOT) + np.log(PNUMEAL) + PTPRIORLO + ADMPOL_PT "
    "+ (1 | OFSTEDRATING) + (1 | gor_name) + (1 | gor_name:LANAME)",
}
BAMBI_FAMILIES = {"crossed_binary": "bernoulli"}


@dataclass(frozen=True)
class Run:
    """Chains, draws and warm-up iterations of each, cores, seed."""

    chains: int = 4
    draws: int = 1000
    tune: int = 1000
    cores: int = 2
    seed: int = 20261


@dataclass(frozen=True)
class Outcome:
    """What one program did with one model.

    Attributes
    ----------
    call : float
        Seconds of the quickest call, compiling included.
    fresh : float
        Seconds from the start of a process to its printed report: imports, data, the first call, the report.
    cpu : float
        Processor seconds until then, of all its threads: a busy machine lengthens these less. For rstanarm those of
        its own process and, by Stan's clock, of the chains.
    ess, rhat : float
        Smallest bulk effective sample size and largest Rhat over fixed effects, standard deviations, correlations and
        sigma.
    lowest : str
        The parameter of that smallest sample size.
    divergent : int
        Draws that diverged.
    """

    call: float
    fresh: float
    cpu: float
    ess: float
    rhat: float
    lowest: str
    divergent: int


# -- this side: processes --------------------------------------------------------------------------


def measure(program: str, folder: Path, key: str, run: Run) -> Outcome:
    """Fit in a new process. One with a few iterations goes before it: caches of compiled code are warm."""
    if program == "rstanarm":
        fresh, found = _timed(_rscript(folder, key, run))
        found |= smallest(read_draws(folder / f"{key}.draws.csv", run.chains))
    else:
        _timed(_python(program, folder, key, Run(run.chains, FEW, FEW, run.cores, run.seed)))
        fresh, found = _timed(_python(program, folder, key, run))
    return Outcome(fresh=fresh, **found)


def _python(program: str, folder: Path, key: str, run: Run) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), program, str(folder), key, *_words(run), MARK]


def _rscript(folder: Path, key: str, run: Run) -> list[str]:
    return ["Rscript", "--vanilla", str(HERE / "posterior.R"), str(folder), key, *_words(run), MARK]


def _words(run: Run) -> list[str]:
    return [str(number) for number in astuple(run)]


def _timed(command: list[str]) -> tuple[float, dict[str, Any]]:
    """Return the seconds until the report was printed, and the measurements."""
    start, fresh, line = time.perf_counter(), float("nan"), ""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == MARK:
                fresh = time.perf_counter() - start
        if process.wait():
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command[:5])} ended with {process.returncode}:\n{errors.read()}")
    return fresh, json.loads(line)


def write_models(jobs: list, folder: Path) -> None:
    """Write what the processes read: csv and JSON for R, formula and data frame for each Python program."""
    from sides import write_jobs

    from bayesmlm.design import build_design
    from bayesmlm.families import read_family

    write_jobs(jobs, folder)
    for job in jobs:
        (folder / f"{job.key}.bayesmlm.pkl").write_bytes(pickle.dumps((job.formula, job.data, job.family)))
        rows = job.data.iloc[build_design(job.formula, job.data, read_family(job.family)).rows]
        ordered = {c: rows[c].cat.as_ordered() for c in rows.select_dtypes("category")}
        model = (
            BAMBI.get(job.key, job.formula),
            rows.assign(**ordered),
            BAMBI_FAMILIES.get(job.key, job.family),
        )
        (folder / f"{job.key}.bambi.pkl").write_bytes(pickle.dumps(model))


def rstanarm_is_here() -> bool:
    """Whether there is an Rscript with rstanarm and jsonlite."""
    if shutil.which("Rscript") is None:
        return False
    test = "quit(status = !all(sapply(c('rstanarm', 'jsonlite'), requireNamespace, quietly = TRUE)))"
    return subprocess.run(["Rscript", "--vanilla", "-e", test], capture_output=True).returncode == 0


def rstanarm_versions() -> str:
    """Say which R, rstanarm and rstan are there."""
    text = "v <- packageVersion; cat(sprintf('R %s, rstanarm %s, rstan %s', getRversion(), v('rstanarm'), v('rstan')))"
    return subprocess.run(["Rscript", "--vanilla", "-e", text], capture_output=True, text=True).stdout


# -- draws -----------------------------------------------------------------------------------------


def stacked(named: dict[str, Any]) -> xr.DataArray:
    """Stack parameters, each (chain, draw), as (chain, draw, parameter)."""
    import numpy as np
    import xarray as xr

    values = np.stack([np.asarray(v, dtype=float) for v in named.values()], axis=-1)
    return xr.DataArray(values, dims=("chain", "draw", "parameter"), coords={"parameter": list(named)})


def read_draws(path: Path, chains: int) -> xr.DataArray:
    """Read rows of draws, chain by chain."""
    import pandas as pd

    frame = pd.read_csv(path)
    return stacked({name: frame[name].to_numpy().reshape(chains, -1) for name in frame.columns})


def smallest(draws: xr.DataArray) -> dict[str, Any]:
    """Return the smallest bulk ESS, whose it is, and the largest Rhat, by ArviZ for every program."""
    from bayesmlm.diagnostics import convergence_frame

    table = convergence_frame(draws).dropna()
    return {
        "ess": float(table["ess_bulk"].min()),
        "lowest": str(table["ess_bulk"].idxmin()),
        "rhat": float(table["rhat"].max()),
    }


# -- the other side: Python programs ---------------------------------------------------------------


class Bayesmlm:
    """Ours, by default or on the PyMC graph."""

    data = "bayesmlm"

    def __init__(self, sampler: str):
        self.sampler = sampler

    def fit(self, formula: str, frame: Any, family: str, run: Run) -> Any:
        """Do the whole call."""
        import bayesmlm as bm

        chains = {"chains": run.chains, "draws": run.draws, "tune": run.tune, "cores": run.cores}
        return bm.fit(formula, frame, family, seed=run.seed, sampler=self.sampler, progress=False, **chains)

    def report(self, fit: Any) -> str:
        """Return what the user prints."""
        return str(fit)

    def draws(self, fit: Any) -> xr.DataArray:
        """Return fixed effects, standard deviations, correlations and sigma."""
        from bayesmlm.diagnostics import variance_draws

        fixef, variance = fit.posterior.fixef, variance_draws(fit.posterior)
        named = {str(c): fixef.sel(coefficient=c) for c in fixef["coefficient"].values}
        named |= {str(p): variance.sel(parameter=p) for p in variance["parameter"].values}
        if fit.posterior.sigma is not None:
            named["sigma"] = fit.posterior.sigma
        return stacked(named | dict(fit.posterior.auxiliary))

    def divergent(self, fit: Any) -> int:
        """Return the number of draws that diverged."""
        return int(fit.posterior.sample_stats["diverging"].sum())


class Bambi:
    """A bambi.Model with Bambi's own priors; its group effects are uncorrelated."""

    data = "bambi"

    def __init__(self, method: str):
        self.method = method

    def fit(self, formula: str, frame: Any, family: str, run: Run) -> Any:
        """Build the model and draw by `bambi.Model.fit`."""
        import bambi
        import numpy as np

        chains = {"chains": run.chains, "draws": run.draws, "tune": run.tune, "cores": run.cores}
        model = bambi.Model(formula, frame, family=family, extra_namespace={"np": np})
        tree = model.fit(inference_method=self.method, random_seed=run.seed, progressbar=False, **chains)
        return model, tree

    def report(self, fit: Any) -> str:
        """Return a summary of the parameters that are compared; of group effects too it would take longer."""
        import arviz as az

        return str(az.summary(fit[1], var_names=[str(v) for v in self._parameters(fit)]))

    def _parameters(self, fit: Any) -> list[str]:
        """Names of all variables but group effects and the linear predictor."""
        names = fit[1]["posterior"].data_vars
        many = ("__factor_dim", "__obs__")
        return [str(n) for n in names if not any(str(d).endswith(many) for d in names[n].dims)]

    def draws(self, fit: Any) -> xr.DataArray:
        """Return fixed effects, standard deviations and sigma."""
        named = {}
        for name in self._parameters(fit):
            values = fit[1]["posterior"][name].values
            flat = values.reshape(*values.shape[:2], -1)
            named |= {f"{name}[{i}]": flat[..., i] for i in range(flat.shape[2])}
        return stacked(named)

    def divergent(self, fit: Any) -> int:
        """Return the number of draws that diverged."""
        return int(fit[1]["sample_stats"]["diverging"].sum())


class NutpieOnBambi(Bambi):
    """nutpie's own compiler and sampler on the graph of the same bambi.Model."""

    def __init__(self) -> None:
        super().__init__("nutpie")

    def fit(self, formula: str, frame: Any, family: str, run: Run) -> Any:
        """Build the model, compile it and draw; only what Bambi keeps too."""
        import bambi
        import numpy as np
        import nutpie

        model = bambi.Model(formula, frame, family=family, extra_namespace={"np": np})
        model.build()
        graph = model.backend.model
        kept = [v.name for v in graph.unobserved_RVs if not v.name.endswith("_offset") and v.name != "mu"]
        compiled = nutpie.compile_pymc_model(graph, var_names=kept)
        chains = {"chains": run.chains, "draws": run.draws, "tune": run.tune, "cores": run.cores}
        return model, nutpie.sample(compiled, seed=run.seed, progress_bar=False, **chains)


SIDES = {
    "bayesmlm": Bayesmlm("auto"),
    "bayesmlm pymc": Bayesmlm("pymc"),
    "Bambi nutpie": Bambi("nutpie"),
    "nutpie on Bambi": NutpieOnBambi(),
    "Bambi pymc": Bambi("pymc"),
}


def fit_here(program: str, folder: Path, key: str, run: Run, mark: str) -> None:
    """Fit once, print the report and the mark; fit again if that was quick; print the measurements."""
    side = SIDES[program]
    formula, frame, family = pickle.loads((folder / f"{key}.{side.data}.pkl").read_bytes())
    start = time.perf_counter()
    fit = side.fit(formula, frame, family, run)
    call = time.perf_counter() - start
    print(side.report(fit))
    print(mark, flush=True)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found = smallest(side.draws(fit)) if run.draws > FEW else {"ess": 0.0, "rhat": 0.0, "lowest": ""}
    if call < SECOND_CALL and run.draws > FEW:
        start = time.perf_counter()
        side.fit(formula, frame, family, run)
        call = min(call, time.perf_counter() - start)
    cpu = sum(u.ru_utime + u.ru_stime for u in used)
    print(json.dumps({"call": call, "cpu": cpu, "divergent": side.divergent(fit), **found}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    fit_here(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Run(*map(int, sys.argv[4:9])), sys.argv[9])
