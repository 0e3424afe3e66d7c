"""A saved fit is the fit, to the last bit; a file that is not whole is never read; nothing is lost on the way."""

import copy
import errno
import multiprocessing
import os
import pickle
import shutil
import warnings
import zipfile
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmlm as bm
from bayesmlm.fits import base
from bayesmlm.newdata import new_design
from bayesmlm.priors import Distribution
from bayesmlm.reuse import alike
from bayesmlm.storage import archive
from bayesmlm.storage.archive import Archive, Named, read_archive, write_archive
from bayesmlm.storage.codec import Encoder, decode
from bayesmlm.storage.columns import decode_column, encode_column
from bayesmlm.storage.fitfile import FORMAT, fit_archive


def pupils(n=120, seed=1):
    """Columns of every kind that a formula takes, with gaps in some."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(12), n // 12)
    x = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "y": 10 + x + rng.normal(0, 1.5, 12)[g] + rng.normal(size=n),
            "x": np.where(np.arange(n) % 17 == 3, np.nan, x),
            "z": rng.uniform(1, 9, n),
            "count": rng.integers(0, 5, n),
            "g": g + 9_007_199_254_740_993,  # as a float two of them would be one
            "class": np.tile([1, 2], n // 2),
            "Größe": rng.normal(size=n),
            "kind": pd.Categorical.from_codes(rng.integers(0, 3, n), ["low", "mid", "high"], ordered=True),
            "école": np.array([f"É {i}/a" for i in range(12)])[g],
            "flag": rng.random(n) < 0.5,
            "maybe": pd.array(np.where(np.arange(n) % 11 == 0, None, np.arange(n) % 4), dtype="Int64"),
            "month": rng.integers(1, 7, n),
            "w": rng.normal(size=n),
            "unused": pd.date_range("2020-01-01", periods=n),
        },
        index=pd.date_range("2021-01-01", periods=n, name="day"),
    )
    frame["band"] = pd.cut(frame["z"], 3)
    return frame


def quick(formula, data, **settings):
    """A fit of few draws, about whose convergence nothing is to be said."""
    given = {"chains": 2, "draws": 30, "tune": 60, "seed": 5, "progress": False, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesMLMWarning)
        return bm.fit(formula, data, **given)


FITS = {
    "ints as groups": ("y ~ x + (1 | g)", {}),
    "slopes, unicode, declared order": ("y ~ Größe + kind + (Größe | école)", {}),
    "nested": ("y ~ scale(x) + (1 | g/class)", {}),
    "crossed": ("y ~ 1 + (1 | g) + (1 | month)", {}),
    "independent effects": ("y ~ x + (x || g)", {}),
    "splines and polynomials": ("y ~ poly(z, 2) + ns(x, 3) + bs(Größe, df = 4) + (1 | g)", {}),
    "centred, with a summary": ("y ~ I(z - mean(z)) + log(z) + (1 | g)", {}),
    "intervals, booleans, nullable": ("y ~ band + flag + maybe + (1 | g)", {}),
    "factor of numbers": ("log(y) ~ factor(count) * x + (1 | factor(month))", {}),
    "no intercept": ("y / 2 ~ 0 + kind + (0 + flag | g)", {}),
    "offsets": ("y ~ x + offset(z) + (1 | g)", {"offset": "w"}),
    "offset as an array": ("y ~ 1 + (1 | g)", {"offset": np.linspace(0, 1, 120)}),
    "priors": (
        "y ~ x + kind + (x | g)",
        {"priors": {"fixed": bm.normal(0, 3), "g": bm.lkj(2, bm.half_normal(4)), "sigma": bm.gamma(2, 0.1)}},
    ),
    "no group effects kept": ("y ~ x + (x | g)", {"keep_ranef": False}),
    "some kept": ("y ~ x + (1 | école) + (1 | month)", {"keep_ranef": {"école": ["É 3/a", "É 0/a"]}}),
    "aliased": ("y ~ x + I(2 * x) + (1 | g)", {}),
}


@pytest.fixture(scope="module")
def data():
    return pupils()


@pytest.fixture(scope="module")
def made(data):
    """Fit a model of FITS on first use."""
    found = {}

    def get(name):
        if name not in found:
            formula, settings = FITS[name]
            found[name] = quick(formula, data, **settings)
        return found[name]

    return get


@pytest.fixture(scope="module")
def small(made):
    return made("slopes, unicode, declared order")


def parts(fit):
    """All that a file holds of a fit, but for the time; arrays with their place in memory."""
    whole = fit_archive(fit)
    return {k: v for k, v in whole.attrs.items() if k not in {"saved", "created"}}, whole.arrays


def assert_same_fit(again, fit):
    for found, kept in zip(parts(again)[1].items(), parts(fit)[1].items(), strict=True):
        assert found[0] == kept[0]
        assert found[1].values.dtype == kept[1].values.dtype
        np.testing.assert_array_equal(found[1].values, kept[1].values)
    assert parts(again)[0] == parts(fit)[0]
    assert [f.name for f in fields(again)] == [f.name for f in fields(fit)]


# -- the fit comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_what_is_read_is_what_was_saved(made, data, name, tmp_path):
    fit = made(name)
    again = bm.load(fit.save(tmp_path / "fit"))
    assert_same_fit(again, fit)
    assert again.posterior.fixef.identical(fit.posterior.fixef)
    assert again.posterior.sigma.identical(fit.posterior.sigma)
    assert again.posterior.mean_ppd.identical(fit.posterior.mean_ppd)
    assert again.posterior.sample_stats.identical(fit.posterior.sample_stats)
    for ours, theirs in zip(again.posterior.blocks, fit.posterior.blocks, strict=True):
        for part in ("sd", "corr", "b"):
            xr.testing.assert_identical(getattr(ours, part), getattr(theirs, part))
            assert getattr(ours, part).values.strides == getattr(theirs, part).values.strides
    assert again.settings == fit.settings
    assert (again.notes, again.seconds, again.sampler) == (fit.notes, fit.seconds, fit.sampler)
    assert again.design.formula == fit.design.formula
    assert again.design.formula.text == fit.design.formula.text
    pd.testing.assert_frame_equal(again.design.frame, fit.design.frame.pipe(intervals_as_text))
    np.testing.assert_array_equal(again.design.labels, fit.design.labels)
    assert again.design.labels.dtype == fit.design.labels.dtype
    new = data.sample(40, random_state=3)
    offset = np.zeros(40) if "array" in name else None
    ours, theirs = (new_design(f.design, new, offset=offset, allow_new_levels=True) for f in (again, fit))
    np.testing.assert_array_equal(ours.X, theirs.X)
    for left, right in zip(ours.blocks, theirs.blocks, strict=True):
        np.testing.assert_array_equal(left.Z, right.Z)
        np.testing.assert_array_equal(left.index, right.index)


def intervals_as_text(frame):
    """Formulas know an interval by its text."""
    if "band" not in frame:
        return frame
    return frame.assign(band=frame["band"].cat.rename_categories(lambda v: str(v)))


def test_pages_tables_and_the_reference_fit_are_the_same(made, tmp_path):
    for name in ("slopes, unicode, declared order", "nested", "offsets", "priors"):
        fit = made(name)
        again = bm.load(fit.save(tmp_path / "fit"))
        assert str(again) == str(fit)
        assert again._repr_html_() == fit._repr_html_()
        assert str(again.summary()) == str(fit.summary())
        assert str(again.prior_summary()) == str(fit.prior_summary())
        assert str(again.diagnostics()) == str(fit.diagnostics())
        assert str(again.compare()) == str(fit.compare())
        pd.testing.assert_frame_equal(again.tidy(), fit.tidy(), check_exact=True)
        np.testing.assert_array_equal(again.fitted(), fit.fitted())
        pd.testing.assert_series_equal(again.reference().fixef(), fit.reference().fixef(), check_exact=True)
        assert str(again.reference(reml=False)) == str(fit.reference(reml=False))


def test_bambis_model_and_draws_can_be_had_of_a_loaded_fit(m3, tmp_path):
    again = bm.load(m3.save(tmp_path / "m3"))
    xr.testing.assert_identical(again.draws["posterior"].to_dataset(), m3.draws["posterior"].to_dataset())
    xr.testing.assert_identical(
        again.draws["sample_stats"].to_dataset(), m3.draws["sample_stats"].to_dataset()
    )
    assert str(again.model) == str(m3.model)
    assert again.plot_caterpillar() is not None


def test_draws_of_the_graph_are_kept_too(graph_fits, tmp_path):
    fit = graph_fits("penicillin")
    again = bm.load(fit.save(tmp_path / "graph"))
    assert_same_fit(again, fit)
    xr.testing.assert_identical(again.posterior.sample_stats, fit.posterior.sample_stats)
    assert again.posterior.sample_stats["divergence_message"].values[0, 0] is None
    ours, theirs = (f.draws["posterior"].to_dataset() for f in (again, fit))
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name].values, theirs[name].transpose(*ours[name].dims).values)


def test_group_effects_that_were_not_kept_can_be_drawn_later(made, tmp_path):
    fit = made("no group effects kept")
    again = bm.load(fit.save(tmp_path / "fit"))
    assert again.posterior.blocks[0].b.sizes["level"] == 0
    ours, theirs = (f.with_ranef().posterior.blocks[0].b for f in (again, fit))
    xr.testing.assert_identical(ours, theirs)


def test_a_loaded_fit_is_saved_again_as_it_was_and_says_where_it_comes_from(small, tmp_path):
    first = bm.load(small.save(tmp_path / "a"))
    second = bm.load(first.save(tmp_path / "b", compress=False))
    assert_same_fit(second, small)
    assert small.saved is None
    assert first.saved.path == tmp_path / "a.zarr.zip"
    assert second.saved.created == first.saved.created
    assert second.saved.versions["python"]
    assert set(second.saved.versions) >= {"bayesmlm", "bambi", "pymc", "nutpie", "numpy"}


def test_the_callers_other_columns_stay_out_of_the_file(small, tmp_path):
    again = bm.load(small.save(tmp_path / "fit"))
    assert list(again.design.data.columns) == ["y", "Größe", "kind", "école"]
    assert len(again.design.data) == small.design.n_given


def test_data_changed_since_the_fit_do_not_change_what_is_saved(data, tmp_path):
    frame = data.copy()
    fit = quick("y ~ x + (1 | g)", frame)
    X = fit.design.X.copy()
    frame.loc[frame.index[:5], "x"] = 100.0
    again = bm.load(fit.save(tmp_path / "fit"))
    np.testing.assert_array_equal(again.design.X, X)
    assert again.design.data is None
    with pytest.raises(bm.DataError, match=r"has no data for another fit.*give data="):
        again.update("~ . - x")


# -- the format ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (5, 3), (4, 0, 2), (3, 5, 2), (2, 9, 3, 2)], ids=str)
def test_arrays_of_any_shape_in_small_chunks(shape, compress, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "CHUNK", 48)
    rng = np.random.default_rng(3)
    whole = rng.normal(size=shape)
    arrays = {
        "a/float": whole,
        "a/turned": np.asfortranarray(whole),
        "b/int": (whole * 100).astype("int16"),
        "b/bool": whole > 0,
        "b/text": np.array([f"Größe {v:.2f}" for v in whole.ravel()], dtype=str).reshape(shape),
        "b/big": np.full(shape, 2**63 + 1, dtype="uint64"),
        "b/end": np.full(shape, -0.0),
    }
    dims = tuple("pqrs"[: len(shape)])
    path = tmp_path / "arrays.zip"
    write_archive(
        path, Archive({"x": 1}, {k: Named(v, dims, {"note": "é"}) for k, v in arrays.items()}), compress
    )
    found = read_archive(path)
    assert found.attrs == {"x": 1}
    zarr = pytest.importorskip("zarr")
    independent = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r", zarr_format=2)
    for name, values in arrays.items():
        assert found.arrays[name].values.dtype == values.dtype
        assert found.arrays[name].dims == dims
        assert found.arrays[name].attrs == {"note": "é"}
        np.testing.assert_array_equal(found.arrays[name].values, values)
        np.testing.assert_array_equal(independent[name][...], values)
    assert np.signbit(found.arrays["b/end"].values).all()


def test_xarray_opens_the_file(small, tmp_path):
    zarr = pytest.importorskip("zarr")
    path = small.save(tmp_path / "fit")
    tree = xr.open_datatree(zarr.storage.ZipStore(path, mode="r"), engine="zarr")
    assert tree.attrs["formula"] == small.formula
    posterior = tree["posterior"].to_dataset()
    assert (
        posterior["fixef"]
        .sel(coefficient="Größe")
        .equals(
            small.posterior.fixef.sel(coefficient="Größe")
            .drop_vars("coefficient")
            .assign_coords(coefficient="Größe")
        )
    )
    b = posterior["b[école]"]
    assert b.dims == ("chain", "draw", "level[école]", "column[école]")
    np.testing.assert_array_equal(b, small.posterior.blocks[0].b)
    np.testing.assert_array_equal(tree["observed_data"]["y"], small.design.y)
    assert tree["sample_stats"]["diverging"].dtype == bool


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1.5, np.nan, -0.0]),
        pd.Series([1, 2, 3], dtype="int8"),
        pd.Series([0.5, 1.5], dtype="float32"),
        pd.Series([True, False, True]),
        pd.Series([2**62 + 1, None, 3], dtype="Int64"),
        pd.Series([2**63 + 1, None], dtype="UInt64"),
        pd.Series([1.5, None], dtype="Float64"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1, None], dtype="int64[pyarrow]"),
        pd.Series(["b", None, "ä"], dtype=object),
        pd.Series(["b", None, "ä"], dtype="string"),
        pd.Series(["b", None, "ä"]),
        pd.Series(["b", None, ""], dtype="string[pyarrow]"),
        pd.Series([2**70, 1, None], dtype=object),
        pd.Series([1.5, 2, "NA"], dtype=object),
        pd.Series(pd.Categorical(["b", "a", None], ["c", "b", "a"], ordered=True)),
        pd.Series(pd.Categorical([3, 1, None], [3, 2, 1])),
        pd.Series(pd.Categorical([0.1, None], [0.2, 0.1])),
        pd.Series(pd.Categorical([True, False])),
        pd.Series([], dtype=float),
        pd.Series([], dtype=object),
    ],
    ids=lambda s: f"{s.dtype}-{len(s)}",
)
def test_columns_come_back_with_their_type(values):
    kept = {}

    def put(name, array):
        kept[name] = array.copy()
        return name

    spec = encode_column(values.rename("x"), put)
    pd.testing.assert_series_equal(pd.Series(decode_column(spec, kept.__getitem__)), values)


def test_a_column_that_no_formula_takes_is_refused():
    with pytest.raises(bm.FileError, match=r"column 'when' holds.*cannot be saved"):
        encode_column(pd.Series(pd.date_range("2020", periods=2), name="when"), lambda n, v: n)


VALUES = [
    None,
    "text",
    float("inf"),
    -0.0,
    (1, [2.5, ("a",)], {"$": {"is": "tuple"}, 3: None}),
    np.float64(2.5),
    np.int32(7),
    np.bool_(True),
    np.arange(6.0).reshape(2, 3).T,
    np.array(["a", None], dtype=object),
    Distribution("horseshoe_of_tomorrow", (("scale", 2.5), ("df", 3.0)), autoscale=True),
    bm.lkj(2.0, bm.half_student_t(3, 2, autoscale=True)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_values_of_every_kind_come_back(value):
    encoder = Encoder()
    found = decode(encoder.encode(value, "x"), encoder.arrays)
    assert type(found) is type(value)
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found, value)
        assert found.strides == value.strides
    else:
        assert found == value
        assert str(found) == str(value)


def test_the_same_array_is_kept_once():
    encoder, values = Encoder(), np.arange(5.0)
    encoder.encode({"a": values, "b": values.copy(), "c": values.astype(int)}, "x")
    assert set(encoder.arrays) == {"model/x.a", "model/x.c"}


def test_priors_of_bambi_come_back_and_functions_are_refused(small, tmp_path):
    import bambi

    prior = bambi.Prior("Normal", mu=bambi.Prior("Laplace", mu=0, b=2), sigma=[1, 2])
    encoder = Encoder()
    found = decode(encoder.encode(prior, "x"), encoder.arrays)
    assert isinstance(found, bambi.Prior)
    assert str(found) == str(prior)
    assert alike(found, prior)
    assert not alike(bambi.Prior("Normal", mu=0, sigma=1), bambi.Prior("Normal", mu=0, sigma=2))
    own = replace(small.priors, given={"Größe": bambi.Prior("Mine", dist=lambda name: None)})
    with pytest.raises(bm.FileError, match=r"priors\.given\.Größe is a bambi\.Prior with a function"):
        replace(small, priors=own).save(tmp_path / "fit")
    assert not list(tmp_path.iterdir())


# -- what is not a saved fit -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def bytes_of(made, tmp_path_factory):
    path = made("ints as groups").save(tmp_path_factory.mktemp("whole") / "fit.zip")
    return path.read_bytes()


def test_a_changed_byte_anywhere_is_found(bytes_of, tmp_path):
    rng, path = np.random.default_rng(1), tmp_path / "fit.zip"
    size = len(bytes_of)
    ends = [0, 3, 14, 35, 50, *range(size - 110, size)]
    for at in [*rng.integers(0, size, 200).tolist(), *ends]:
        bad = bytearray(bytes_of)
        bad[at] ^= int(rng.integers(1, 256))
        path.write_bytes(bad)
        with pytest.raises(bm.FileError) as problem:
            bm.load(path)
        assert problem.value.damaged, at


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.5, 0.9, 0.999, 0.9999])
def test_a_file_cut_short_is_damaged(bytes_of, share, tmp_path):
    path = tmp_path / "fit.zip"
    path.write_bytes(bytes_of[: max(60, int(share * len(bytes_of)))])
    with pytest.raises(bm.FileError, match=r"is damaged: .*fit the model again"):
        bm.load(path)


def test_a_longer_file_is_damaged(bytes_of, tmp_path):
    path = tmp_path / "fit.zip"
    path.write_bytes(bytes_of + b"\n")
    with pytest.raises(bm.FileError, match="damaged"):
        bm.load(path)


FOREIGN = {
    "empty": (lambda p: p.write_bytes(b""), "is not a fit saved by bayesmlm"),
    "text": (lambda p: p.write_text("a,b\n1,2\n"), "is not a fit saved by bayesmlm"),
    "netcdf": (
        lambda p: xr.Dataset({"x": ("i", [1.0, 2.0])}).to_netcdf(p, engine="scipy"),
        "looks like NetCDF: xarray",
    ),
    "hdf5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "NetCDF or HDF5"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps([1, 2])), "looks like a pickle"),
    "zip": (lambda p: zipfile.ZipFile(p, "w").close() or zip_of(p), "some other zip file"),
}


def zip_of(path):
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("a.txt", "hello")


@pytest.mark.parametrize("what", FOREIGN)
def test_other_files_are_refused_in_words(what, tmp_path):
    make, words = FOREIGN[what]
    path = tmp_path / "other"
    make(path)
    with pytest.raises(bm.FileError, match=words) as problem:
        bm.load(path)
    assert not problem.value.damaged


def test_a_missing_file(tmp_path, small):
    small.save(tmp_path / "model_3")
    with pytest.raises(
        FileNotFoundError, match=r"there is no file .*model_2\. Did you mean '.*model_3\.zarr\.zip'"
    ):
        bm.load(tmp_path / "model_2")
    with pytest.raises(bm.FileError, match="is a directory, not a file"):
        bm.load(tmp_path)
    with pytest.raises(bm.FileError, match="give the name of a file"):
        bm.load(None)


def rewritten(path, saved, **changes):
    whole = fit_archive(saved)
    write_archive(path, Archive({**whole.attrs, **changes}, whole.arrays))
    return path


def test_versions(small, tmp_path):
    path = tmp_path / "fit.zip"
    versions = {"bayesmlm": "7.1"}
    with pytest.raises(
        bm.FileError, match=r"by bayesmlm 7\.1 in format 9; this version reads up to format 1"
    ):
        bm.load(rewritten(path, small, format=9, versions=versions))
    assert str(bm.load(rewritten(path, small, format=FORMAT, versions={"bayesmlm": "0.0.1"}))) == str(small)
    with pytest.raises(bm.FileError, match="is not a fit saved by bayesmlm"):
        bm.load(rewritten(path, small, program="other"))
    without = {k: v for k, v in fit_archive(small).attrs["fit"].items() if k != "settings"}
    with pytest.raises(bm.FileError, match=r"by bayesmlm 7\.1, and this version cannot read it.*settings"):
        bm.load(rewritten(path, small, fit=without, versions=versions))


def test_nothing_in_a_file_is_run(small, tmp_path):
    path, fit = tmp_path / "fit.zip", fit_archive(small).attrs["fit"]
    for evil in (
        {"is": "object", "class": "os.system", "value": {"command": "true"}},
        {"is": "object", "class": "Popen", "value": {}},
        {"is": "pickle", "value": "gASVAAAA"},
    ):
        with pytest.raises(bm.FileError, match="cannot read it"):
            bm.load(rewritten(path, small, fit={**fit, "notes": evil}))
    head = {"zarr_format": 2, "shape": [1], "chunks": [1], "fill_value": None, "order": "C"}
    for way in (
        {"dtype": "|O", "compressor": None, "filters": [{"id": "pickle"}]},
        {"dtype": "<f8", "compressor": {"id": "pickle"}, "filters": None},
        {"dtype": "<f8", "compressor": None, "filters": [{"id": "pickle"}]},
    ):
        with zipfile.ZipFile(path, "w") as members:
            members.writestr("a/x/0", pickle.dumps(print))
        heads = {"a/x/.zarray": {**head, **way}, "a/x/.zattrs": {"_ARRAY_DIMENSIONS": ["i"]}}
        with zipfile.ZipFile(path) as members, pytest.raises(ValueError, match="not ours"):
            archive._read_array(members, "a/x", heads)


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("m3", "m3.zarr.zip"),
        ("m3.zip", "m3.zip"),
        ("m.3", "m.3"),
        ("m3.zarr.zip", "m3.zarr.zip"),
        ("é ü", "é ü.zarr.zip"),
    ],
)
def test_names_of_files(name, found, tmp_path, small):
    assert small.save(tmp_path / name) == tmp_path / found
    assert small.save(str(tmp_path / name)) == tmp_path / found
    assert str(bm.load(str(tmp_path / name))) == str(small)
    assert [p.name for p in tmp_path.iterdir()] == [found]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m3.nc", "promises another format.*write 'm3.zarr.zip'"),
        ("m3.RDS", "promises another format"),
        ("data.csv", "promises another format"),
        ("nowhere/m3", "there is no directory .*nowhere: make it first"),
        (".", "is a directory: give the name of a file"),
    ],
)
def test_names_that_will_not_do(name, words, tmp_path, small):
    with pytest.raises(bm.FileError, match=words):
        small.save(tmp_path / name)
    with pytest.raises(bm.FileError, match="give the name of a file"):
        small.save(3)


def test_a_file_is_replaced_only_if_it_may_be(made, small, tmp_path):
    path = made("crossed").save(tmp_path / "fit")
    with pytest.raises(bm.FileError, match="exists: take another name, or overwrite=True"):
        small.save(path, overwrite=False)
    assert bm.load(path).formula == made("crossed").formula
    small.save(path)
    assert bm.load(path).formula == small.formula


FAILURES = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("step", ["_add", "_seal", "fsync", "replace"])
def test_a_failure_while_saving_leaves_the_old_file(made, small, step, failure, tmp_path, monkeypatch):
    path = made("crossed").save(tmp_path / "fit")
    before, left = path.read_bytes(), [12]

    def fails(*args, **kwargs):
        left[0] -= 1
        if step != "_add" or left[0] < 0:
            raise failure
        return whole(*args, **kwargs)

    owner = archive if step.startswith("_") else os
    whole = getattr(owner, step)
    monkeypatch.setattr(owner, step, fails)
    with pytest.raises(bm.FileError if isinstance(failure, OSError) else type(failure)) as problem:
        small.save(path)
    monkeypatch.undo()
    assert not isinstance(failure, OSError) or "could not be written: No space left" in str(problem.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.zarr.zip"]


@pytest.mark.skipif(os.name != "posix", reason="links and modes of a Unix file system")
def test_a_link_stays_a_link_and_a_mode_stays(small, tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "fit.zip"
    link.symlink_to(tmp_path / "disk" / "real.zip")
    small.save(link)
    (tmp_path / "disk" / "real.zip").chmod(0o640)
    small.save(link)
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.zip").stat().st_mode & 0o777 == 0o640
    assert str(bm.load(link)) == str(small)


def test_files_are_compact(m3, tmp_path):
    raw = sum(b.values.nbytes for b in archive_of(m3).values())
    assert m3.save(tmp_path / "a").stat().st_size < 0.9 * raw
    assert m3.save(tmp_path / "b", compress=False).stat().st_size < 1.05 * raw + 50_000


def archive_of(fit):
    return fit_archive(fit).arrays


# -- fit(file=) ------------------------------------------------------------------------------------

FORMULA = "y ~ x + kind + (1 | g)"
ASKED = {"chains": 2, "draws": 30, "tune": 60, "progress": False}


def scaled(column, by=2.0):
    return lambda d: d.assign(**{column: d[column] * by})


def changed(column, value):
    return lambda d: d.assign(**{column: d[column].where(np.arange(len(d)) != 1, value)})


def same(d):
    return d


# What the second call asks for, and why it samples again; None if it does not.
SECOND = [
    (FORMULA, same, {}, None),
    ("y ~ 1 + x + kind + (1 | g)", same, {}, None),
    ("y~x+kind+(1|g)", same, {}, None),
    (FORMULA, scaled("w"), {}, None),
    (FORMULA, lambda d: d.assign(unused=1, more=2), {}, None),
    (FORMULA, lambda d: d.assign(g=d["g"].astype(str)), {}, None),
    (FORMULA, same, {"progress": True, "cores": 1}, None),
    (FORMULA, same, {"target_accept": 0.9}, None),
    (FORMULA, same, {"sampler": "kernel"}, None),
    (FORMULA, same, {"priors": {"sigma": bm.exponential(1, autoscale=True)}}, None),
    (FORMULA, same, {"keep_ranef": False}, None),
    ("y ~ x + kind + (x | g)", same, {}, r"the formula was y ~ x \+ kind \+ \(1 \| g\)"),
    ("y ~ kind + (1 | g)", same, {}, "the formula was"),
    (FORMULA, lambda d: d.iloc[:-3], {}, "the data have 3 complete rows fewer"),
    (FORMULA, lambda d: pd.concat([d, d.iloc[:1]]), {}, "the data have 1 complete row more"),
    (FORMULA, scaled("y"), {}, "the data have changed: y$"),
    (FORMULA, changed("x", 0.25), {}, "the data have changed: x$"),
    (FORMULA, changed("g", 1), {}, "the data have changed: g$"),
    (
        FORMULA,
        lambda d: d.assign(kind=d["kind"].cat.rename_categories({"mid": "middle"})),
        {},
        "the data have changed: kindmid, kindmiddle",
    ),
    (
        FORMULA,
        lambda d: d.assign(kind=d["kind"].cat.reorder_categories(["mid", "low", "high"])),
        {},
        "kindlow, kindmid",
    ),
    (FORMULA, lambda d: d.iloc[::-1], {}, "the data have changed: y, x"),
    (FORMULA, same, {"offset": "w"}, "the data have changed: offset"),
    (
        FORMULA,
        same,
        {"priors": {"x": bm.normal(0, 1)}},
        r"the prior of x was normal\(location = 0, .*\), is normal\(location = 0, scale = 1\)",
    ),
    (
        FORMULA,
        same,
        {"priors": {"g": bm.decov(2)}},
        r"the prior of g was decov\(reg\. = 1, .* is decov\(reg\. = 2",
    ),
    (FORMULA, same, {"draws": 40}, "draws was 30, is 40"),
    (FORMULA, same, {"chains": 3}, "chains was 2, is 3"),
    (FORMULA, same, {"tune": 70}, "tune was 60, is 70"),
    (FORMULA, same, {"seed": 6}, r"seed was \d+, is 6"),
    (FORMULA, same, {"target_accept": 0.8}, r"target_accept was 0\.9, is 0\.8"),
]


@pytest.fixture
def sampled(monkeypatch):
    """Count what is sampled."""
    calls, real = [], base.draw_posterior

    def counting(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(base, "draw_posterior", counting)
    return calls


@pytest.fixture(scope="module")
def first_file(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("first") / "fit.zip"
    quick(FORMULA, data, file=path)
    return path


@pytest.mark.filterwarnings("ignore::bayesmlm.BayesMLMWarning")
@pytest.mark.parametrize(("formula", "data_of", "asked", "reason"), SECOND)
def test_a_fit_is_made_again_only_if_something_that_matters_has_changed(
    data, first_file, sampled, formula, data_of, asked, reason, tmp_path, capfd
):
    path = shutil.copy(first_file, tmp_path / "fit.zip")
    old = bm.load(path)
    frame = data_of(data)
    again = bm.fit(formula, frame, **{**ASKED, **asked, "progress": True}, file=path)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("fit.zip: ")]
    if reason is None:
        assert not sampled
        assert said == ["fit.zip: loaded, nothing has changed"]
        assert again.posterior.fixef.identical(old.posterior.fixef)
        assert list(again.design.data.columns) == list(frame.columns)
        assert again.saved.all_columns
        if "keep_ranef" in asked:
            assert again.posterior.blocks[0].b.sizes["level"] == 0
    else:
        assert len(sampled) == 1
        assert pd.Series(said[0]).str.contains(rf"fitting again, because .*{reason}").all(), said
        assert said[1:] == ["fit.zip: saved"]
        assert_same_fit(bm.load(path), again)


@pytest.mark.filterwarnings("ignore::bayesmlm.BayesMLMWarning")
def test_when_to_fit_again_can_be_chosen(data, first_file, sampled, tmp_path, capfd):
    path = shutil.copy(first_file, tmp_path / "fit.zip")
    kept = bm.fit(FORMULA, scaled("y")(data), **ASKED, file=path, file_refit="never")
    assert not sampled
    assert kept.design.y.max() < 20
    assert capfd.readouterr().err == ""
    bm.fit(FORMULA, data, **ASKED, file=path, file_refit="always")
    assert len(sampled) == 1
    bm.fit(FORMULA, data, **ASKED, file=tmp_path / "new", file_refit="never")
    assert len(sampled) == 2
    assert (tmp_path / "new.zarr.zip").exists()
    with pytest.raises(bm.BayesMLMError, match=r"file_refit = 'allways'.*Did you mean 'always'"):
        bm.fit(FORMULA, data, **ASKED, file=path, file_refit="allways")


def test_the_seed_that_is_not_given_is_the_one_of_the_file(data, first_file, sampled):
    assert bm.fit(FORMULA, data, **ASKED, file=first_file).settings.seed == 5
    assert bm.fit(FORMULA, data, **ASKED, seed=5, file=first_file).settings.seed == 5
    assert not sampled


@pytest.mark.filterwarnings("ignore::bayesmlm.ConvergenceWarning")
def test_an_interrupted_fit_is_kept_and_made_anew_later(data, first_file, sampled, tmp_path):
    old = bm.load(first_file)
    p, few = old.posterior, {"draw": slice(0, 12)}
    blocks = [replace(b, **{n: getattr(b, n).isel(few) for n in ("sd", "corr", "b")}) for b in p.blocks]
    rest = {n: getattr(p, n).isel(few) for n in ("fixef", "sigma", "mean_ppd", "sample_stats")}
    path = replace(old, posterior=replace(p, blocks=tuple(blocks), **rest)).save(tmp_path / "cut")
    bm.fit(FORMULA, data, **ASKED, file=path)
    assert len(sampled) == 1


def test_other_files_are_never_replaced_and_bad_names_cost_no_sampling(data, sampled, tmp_path):
    other = tmp_path / "thesis.zip"
    zip_of(other)
    before = other.read_bytes()
    for refit in ("on_change", "always", "never"):
        with pytest.raises(bm.FileError, match="some other zip file"):
            bm.fit(FORMULA, data, **ASKED, file=other, file_refit=refit)
    assert other.read_bytes() == before
    with pytest.raises(bm.FileError, match="there is no directory"):
        bm.fit(FORMULA, data, **ASKED, file=tmp_path / "no" / "fit")
    import bambi

    own = bambi.Prior("Mine", dist=lambda name: None)
    with pytest.raises(bm.FileError, match="with a function of its own"):
        bm.fit(FORMULA, data, **ASKED, priors={"x": own}, file=tmp_path / "fit")
    assert not sampled


@pytest.mark.filterwarnings("ignore::bayesmlm.ConvergenceWarning")
def test_a_damaged_file_is_made_anew(data, first_file, sampled, tmp_path):
    path = tmp_path / "fit.zip"
    path.write_bytes(first_file.read_bytes()[:-5000])
    with pytest.raises(bm.FileError, match="damaged"):
        bm.fit(FORMULA, data, **ASKED, file=path, file_refit="never")
    with pytest.warns(bm.BayesMLMWarning, match=r"fit\.zip is damaged: the model is fitted again"):
        fit = bm.fit(FORMULA, data, **ASKED, file=path)
    assert len(sampled) == 1
    assert_same_fit(bm.load(path), fit)


@pytest.mark.filterwarnings("ignore::bayesmlm.ConvergenceWarning")
@pytest.mark.parametrize("failure", FAILURES, ids=lambda e: type(e).__name__)
def test_a_fit_that_cannot_be_saved_is_returned_all_the_same(data, failure, tmp_path, monkeypatch):
    def fails(*args):
        raise failure

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.warns(bm.BayesMLMWarning, match=r"the fit is not saved: .*fit\.save\(path\) tries again"):
        fit = bm.fit(FORMULA, data, **ASKED, seed=5, file=tmp_path / "fit")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
    assert fit.posterior.n_draws == 60
    assert bm.load(fit.save(tmp_path / "fit")).nobs == fit.nobs


# -- update ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chosen(data):
    given = {"x": bm.normal(0, 1), "sigma": bm.half_normal(2), "g": bm.decov(2)}
    return quick("y ~ x + kind + (1 | g)", data, priors=given, offset="w")


def unchanged(fit):
    return {k: v for k, v in vars(fit.settings).items() if k != "progress"}


@pytest.mark.filterwarnings("ignore::bayesmlm.BayesMLMWarning")
def test_update_changes_what_is_said_and_keeps_the_rest(chosen, data):
    more = chosen.update(". ~ . + z + (1 | month) - (1 | g) + (z | g)")
    assert more.formula == "y ~ x + kind + z + (1 | month) + (z | g)"
    assert unchanged(more) == unchanged(chosen)
    assert more.priors.given == chosen.priors.given
    assert more.priors.coefficients["x"].used == bm.normal(0, 1)
    assert more.design.given["offset"] == "w"
    same = chosen.update()
    assert same.posterior.fixef.identical(chosen.posterior.fixef)
    half = chosen.update(data=data.iloc[:60])
    assert half.design.n_given == 60
    plain = chosen.update(priors=None, offset=None, seed=8, chains=3, draws=20)
    assert plain.priors.given == {}
    assert plain.design.offset is None
    assert (plain.posterior.n_chains, plain.posterior.n_draws, plain.settings.seed) == (3, 60, 8)
    assert chosen.update(seed=None).settings.seed != chosen.settings.seed


@pytest.mark.filterwarnings("ignore::bayesmlm.ConvergenceWarning")
def test_rows_come_back_with_a_column_that_is_left_out(chosen):
    with pytest.warns(
        bm.DataWarning, match=r"the prior given for 'x' is left out of the new model: the model has no"
    ):
        less = chosen.update("~ . - x")
    assert less.nobs == 120 > chosen.nobs
    assert set(less.priors.given) == {"sigma", "g"}


def test_the_samplers_own_target_is_not_carried_to_another_sampler(chosen):
    assert chosen._settings_with({}).target_accept is None
    assert (
        replace(chosen, settings=replace(chosen.settings, target_accept=0.8))._settings_with({}).target_accept
        == 0.8
    )


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"drws": 5}, bm.SamplingError, r"no setting 'drws'\. Did you mean 'draws'"),
        ({"draws": 0}, bm.SamplingError, "draws = 0"),
        ({"priors": {"q": bm.normal()}}, bm.PriorError, "the model has no 'q'"),
        ({"formula": "~ . + q"}, bm.FormulaError, "unknown column 'q'"),
        ({"formula": "y ~ x"}, bm.FormulaError, "no random part"),
        ({"weights": "w"}, bm.DataError, "weights are positive"),
    ],
)
def test_update_refuses_in_words(chosen, asked, error, words):
    with pytest.raises(error, match=words):
        chosen.update(**asked)


@pytest.mark.filterwarnings("ignore::bayesmlm.BayesMLMWarning")
def test_a_loaded_fit_is_updated_with_the_columns_it_has(chosen, data, tmp_path):
    again = bm.load(chosen.save(tmp_path / "fit"))
    ours, theirs = (f.update(". ~ . - x - kind") for f in (again, chosen))
    assert ours.posterior.fixef.identical(theirs.posterior.fixef)
    assert ours.saved is None
    with pytest.raises(
        bm.DataError, match=r"fit\.zarr\.zip has only the columns .*\(y, x, kind, g, w\), not z: give data="
    ):
        again.update(". ~ . + z")
    ours, theirs = (again.update(". ~ . + z", data), chosen.update(". ~ . + z"))
    assert ours.posterior.fixef.identical(theirs.posterior.fixef)


# -- pickles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_fresh_and_loaded_fits(small, protocol, tmp_path):
    small.reference(reml=False)
    for fit in (small, bm.load(small.save(tmp_path / "fit"))):
        again = pickle.loads(pickle.dumps(fit, protocol))
        assert str(again) == str(fit)
        assert again.design.data is None
        assert again.saved == fit.saved
        ours, theirs = parts(again)[1], parts(fit)[1]
        assert set(theirs) - set(ours) <= {name for name in theirs if name.startswith("model/design.data")}
        for name, array in ours.items():
            np.testing.assert_array_equal(array.values, theirs[name].values)
        assert_same_fit(bm.load(again.save(tmp_path / "pickled")), again)


def test_copies(small, m3):
    for fit in (small, m3):
        again = copy.deepcopy(fit)
        assert str(again) == str(fit)
        assert again.posterior.fixef.identical(fit.posterior.fixef)
        assert again.posterior.fixef.values is not fit.posterior.fixef.values
    assert m3.draws is not None
    assert pickle.loads(pickle.dumps(m3)).draws.identical(m3.draws)


def test_a_reference_fit_can_be_pickled(small):
    ref = small.reference()
    again = pickle.loads(pickle.dumps(ref))
    assert str(again) == str(ref)
    assert str(small.compare(again)) == str(small.compare(ref))


def test_a_fit_travels_to_another_process(small):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(str, (small,)) == str(small)
