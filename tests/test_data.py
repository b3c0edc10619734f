import hashlib
import json
import shutil

import numpy as np
import pytest

from dlcourse import Tensor, data, nn
from dlcourse.data import store

FOLDER = store._FOLDER

# What each loader gives: shapes, in the order of the fields; "f" float32, "i" int64, "s" str,
# "b" bool, "t" datetime64.
ARRAYS = {
    "load_adult": "i48842 s48842 s48842 i48842 s48842 s48842 s48842 s48842 s48842 i48842 i48842 "
    "i48842 s48842 i48842 b48842",
    "load_air_passengers": "t144 f144",
    "load_breast_cancer": "f569x30 i569 s30 s2",
    "load_co2": "t2284 f2284",
    "load_compas_counts": "s223 i223 i223 i223 i223 i223",
    "load_date_pairs": "s12000 s12000 s12000",
    "load_digits": "f1797x1x8x8 i1797 s10",
    "load_fashion_mnist": "f10000x1x28x28 i10000 f2000x1x28x28 i2000 s10",
    "load_images": "f240x320 f192x192x3 f256x256 f480x640 f150x226x3 f160x240x3 f303x384 "
    "f160x240x3",
    "load_iris": "f150x4 i150 s4 s3",
    "load_mnist": "f60000x1x28x28 i60000 f10000x1x28x28 i10000 s10",
    "load_penguins": "f342x4 i342 s4 s3 s342 s342 i342",
    "load_sunspots": "i309 f309",
    "load_surnames": "s4679 i4679 s12",
    "load_textures": "f576x1x32x32 i576 f192x1x32x32 i192 s3",
    "load_weather": "t1461 f1461 f1461 f1461 f1461 s1461",
}
KINDS = {np.float32: "f", np.int64: "i", np.str_: "s", np.bool_: "b", np.datetime64: "t"}
IMAGES = ["load_digits", "load_fashion_mnist", "load_mnist"]
MAKERS = [
    data.make_blobs,
    data.make_circles,
    data.make_moons,
    data.make_spiral,
    data.make_xor,
]


@pytest.mark.parametrize("loader", ARRAYS)
def test_arrays(loader):
    found = [
        KINDS[a.dtype.type] + "x".join(str(n) for n in a.shape) for a in getattr(data, loader)()
    ]
    assert found == ARRAYS[loader].split()


def test_every_loader_is_tested():
    others = ["load_ecg", "load_names", "load_shakespeare"]
    loaders = [name for name in data.__all__ if name.startswith("load_")]
    assert sorted(loaders) == sorted([*ARRAYS, *others])


@pytest.mark.parametrize("loader", IMAGES)
def test_images_fill_the_range_from_0_to_1(loader):
    images = [a for a in getattr(data, loader)() if a.dtype == np.float32]
    assert [(a.min(), a.max()) for a in images] == [(0, 1)] * len(images)


def test_pixels_and_labels_stay_together():
    mnist = data.load_mnist()
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.y_test[:5].tolist() == [7, 2, 1, 0, 4]
    # A one is drawn with far less ink than a zero.
    ink = mnist.x_train.mean(axis=(1, 2, 3))
    assert ink[mnist.y_train == 1].mean() < 0.5 * ink[mnist.y_train == 0].mean()
    clothes = data.load_fashion_mnist()
    assert clothes.classes[clothes.y_train[0]] == "Ankle boot"


def test_penguins():
    penguins = data.load_penguins()
    assert penguins.classes.tolist() == ["Adelie", "Chinstrap", "Gentoo"]
    assert np.bincount(penguins.y).tolist() == [151, 68, 123]
    assert penguins.x[0].tolist() == pytest.approx([39.1, 18.7, 181, 3750])
    assert np.isfinite(penguins.x).all()
    assert {s: int((penguins.sex == s).sum()) for s in ("female", "male", "")} == {
        "female": 165,
        "male": 168,
        "": 9,
    }


def test_tables():
    iris, cancer, adult = data.load_iris(), data.load_breast_cancer(), data.load_adult()
    assert np.bincount(iris.y).tolist() == [50, 50, 50]
    assert iris.x[0].tolist() == pytest.approx([5.1, 3.5, 1.4, 0.2])
    assert np.bincount(cancer.y).tolist() == [212, 357]
    assert cancer.classes[cancer.y[0]] == "malignant"
    assert np.bincount(adult.income_over_50k).tolist() == [37155, 11687]
    assert adult.train.sum() == 32561


def test_compas_counts_give_the_published_false_positive_rates():
    c = data.load_compas_counts()
    assert c.count.sum() == 7214
    for race, published in (("African-American", 44.85), ("Caucasian", 23.45)):
        negative = (c.race == race) & (c.two_year_recid == 0)
        flagged = negative & (c.decile_score >= 5)
        rate = 100 * c.count[flagged].sum() / c.count[negative].sum()
        assert rate == pytest.approx(published, abs=0.005)


def test_text():
    plays, names, surnames = data.load_shakespeare(), data.load_names(), data.load_surnames()
    assert (len(plays), len(set(plays))) == (999_708, 66)
    assert (len(names), names[0], names[-1]) == (10_388, "aaren", "zuzana")
    assert surnames.classes[surnames.y[surnames.surname == "Abbott"][0]] == "English"
    assert np.bincount(surnames.y).max() == 400
    dates = data.load_date_pairs()
    assert (dates.human[2], dates.iso[2], dates.language[2]) == (
        "april 5, 1995",
        "1995-04-05",
        "en",
    )


def test_time_series():
    sunspots, co2, passengers = data.load_sunspots(), data.load_co2(), data.load_air_passengers()
    assert sunspots.sunspots[sunspots.year == 1957] == np.float32(190.2)
    assert (np.isnan(co2.co2_ppm).sum(), str(co2.date[0])) == (59, "1958-03-29")
    assert (str(passengers.month[-1]), passengers.passengers_thousands[-1]) == ("1960-12", 432)
    weather = data.load_weather()
    assert (weather.temp_max >= weather.temp_min).all()
    assert set(weather.weather) == {"drizzle", "fog", "rain", "snow", "sun"}
    heart = data.load_ecg()
    assert (heart.mv.shape, heart.mv.dtype, heart.fs) == ((36000,), np.float32, 360)
    assert np.abs(heart.mv).max() < 5


# The folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give a copy of the manifest and one file, which the loaders now read."""
    for name in ("MANIFEST.json", "iris.csv"):
        shutil.copy(FOLDER / name, tmp_path)
    monkeypatch.setattr(store, "_FOLDER", tmp_path)
    monkeypatch.setattr(store, "_verified", set())
    return tmp_path


def test_manifest_and_folder_agree():
    listed = set(json.loads((FOLDER / "MANIFEST.json").read_text()))
    present = {p.name for p in FOLDER.iterdir() if p.is_file()} - {"MANIFEST.json", "README.md"}
    present |= {f"checkpoints/{p.name}" for p in FOLDER.glob("checkpoints/*")}
    assert listed == present
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(listed) if f"| `{name}` |" not in readme] == []


def test_a_missing_file_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"mnist\.npz is missing.*git checkout -- data/mni"):
        data.load_mnist()


def test_a_damaged_file_is_named_until_it_is_mended(folder):
    whole = (folder / "iris.csv").read_bytes()
    (folder / "iris.csv").write_bytes(whole[:-1])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"iris\.csv is damaged.*3869 bytes.*git checkout"):
            data.load_iris()
    (folder / "iris.csv").write_bytes(whole)
    data.load_iris()


@pytest.mark.parametrize("text", ["", "{}", "no json"])
def test_a_damaged_manifest_is_named(folder, text):
    (folder / "MANIFEST.json").write_text(text)
    with pytest.raises(ValueError, match=r"MANIFEST\.json is damaged.*git checkout"):
        data.load_iris()


def test_a_checkpoint_is_checked_and_an_unknown_one_named(folder):
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/tiny.npz").write_bytes(b"123")
    manifest = {"checkpoints/tiny.npz": {"sha256": hashlib.sha256(b"123").hexdigest()}}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    assert data.checkpoint("tiny").read_bytes() == b"123"
    with pytest.raises(FileNotFoundError, match="no checkpoint 'huge' is shipped; there are: tiny"):
        data.checkpoint("huge")
    store._verified.clear()
    (folder / "checkpoints/tiny.npz").write_bytes(b"124")
    with pytest.raises(ValueError, match=r"tiny\.npz is damaged.*git checkout"):
        data.checkpoint("tiny")


def test_an_installed_package_is_mended_by_installing_it(folder, monkeypatch):
    monkeypatch.setattr(store, "_INSTALLED", folder)
    with pytest.raises(FileNotFoundError, match="pip install --force-reinstall"):
        data.load_mnist()


def test_a_file_is_verified_once(folder, monkeypatch):
    hashed = []
    sha256 = store.hashlib.sha256
    monkeypatch.setattr(store.hashlib, "sha256", lambda b: hashed.append(len(b)) or sha256(b))
    data.load_iris()
    data.load_iris()
    assert hashed == [3870]


# Toy problems


@pytest.mark.parametrize("make", MAKERS)
def test_points(make):
    x, y = make(31, rng=0)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((31, 2), np.float32, (31,), np.int64)
    count = np.bincount(y)
    assert count.max() - count.min() <= 1
    assert np.abs(x).max() < 2.5


@pytest.mark.parametrize("make", MAKERS)
def test_points_repeat_with_their_seed_only(make):
    x, y = make(rng=3)
    again = make(rng=np.random.default_rng(3))
    assert (x == again.x).all()
    assert (y == again.y).all()
    assert (x != make(rng=4).x).any()
    assert (x != make().x).any()


def test_without_noise_the_shapes_are_exact():
    x, y = data.make_circles(50, noise=0)
    assert np.linalg.norm(x, axis=1) == pytest.approx(np.where(y == 0, 1, 0.4))
    x, y = data.make_xor(50, noise=0)
    assert ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int).tolist() == y.tolist()
    assert np.abs(x).min() >= 0.1
    x, y = data.make_moons(50, noise=0)
    centre = np.where(y == 0, [[-0.5], [-0.25]], [[0.5], [0.25]])
    assert np.hypot(*(x.T - centre)) == pytest.approx(1)
    assert (np.sign(x[:, 1] - centre[1]) == 1 - 2 * y).all()
    x, y = data.make_blobs(60, noise=0, classes=4)
    assert len(np.unique(x.round(3), axis=0)) == 4
    x, y = data.make_spiral(60, noise=0, classes=2)
    assert np.sort(x[y == 0], axis=0) == pytest.approx(np.sort(-x[y == 1], axis=0), abs=1e-6)


def test_noise_is_a_standard_deviation():
    still, moved = data.make_moons(5000, noise=0, rng=0), data.make_moons(5000, noise=0.2, rng=0)
    assert (moved.x - still.x).std() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 2}, "n must be at least 3"),
        ({"n": 1e3}, "n must be a whole number"),
        ({"classes": 2.5}, "classes must be a whole number"),
        ({"noise": -0.1}, "noise is a standard deviation"),
        ({"noise": float("nan")}, "noise is a standard deviation"),
        ({"classes": 1}, "classes must be at least 2"),
    ],
)
def test_impossible_points(wrong, message):
    with pytest.raises(ValueError, match=message):
        data.make_blobs(**wrong)


# Batches

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


def test_an_epoch_in_order():
    loader = data.DataLoader((X, Y), batch_size=4)
    batches = list(loader)
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert len(loader) == 3
    assert (np.concatenate([x for x, _ in batches]) == X).all()


def test_drop_last():
    loader = data.DataLoader((X, Y), batch_size=4, drop_last=True)
    assert [y.tolist() for _, y in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(loader) == 2
    assert len(data.DataLoader((X, Y), batch_size=5, drop_last=True)) == 2
    assert len(data.DataLoader((X, Y), batch_size=11)) == 1


def test_every_epoch_has_every_row_once_in_a_new_order():
    loader = data.DataLoader((X, Y), batch_size=3, shuffle=True, rng=0)
    epochs = [list(loader) for _ in range(3)]
    orders = [np.concatenate([y for _, y in epoch]).tolist() for epoch in epochs]
    assert all(sorted(order) == Y.tolist() for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert all((x[:, 0] == 2 * y).all() for epoch in epochs for x, y in epoch)


def test_orders_repeat_with_their_seed():
    def orders(rng):
        loader = data.DataLoader((Y,), batch_size=10, shuffle=True, rng=rng)
        return [y.tolist() for _ in range(2) for (y,) in loader]

    assert orders(1) == orders(1) == orders(np.random.default_rng(1)) != orders(2)


def test_batches_are_contiguous_copies_of_the_same_dtype():
    x = np.asfortranarray(X.astype(np.float64))
    loader = data.DataLoader((x, Y.astype(np.uint8)[::-1]), batch_size=4)
    for batch_x, batch_y in loader:
        assert batch_x.flags.c_contiguous
        assert (batch_x.dtype, batch_y.dtype) == (np.float64, np.uint8)
        batch_x[:] = -1
    assert (x == X).all()
    assert (loader.arrays[0] == X).all()
    # A contiguous source, or each batch would cost a copy of everything.
    assert all(a.flags.c_contiguous for a in loader.arrays)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (X, {}, "needs a tuple of arrays"),
        (Tensor(X), {}, "needs a tuple of arrays"),
        ({"x": X, "y": Y}, {}, "needs a tuple of arrays"),
        (None, {}, "needs a tuple of arrays"),
        ((), {}, "no examples"),
        ((X[:0], Y[:0]), {}, r"no examples: arrays of shapes \[\(0, 2\), \(0,\)\]"),
        ((X, 3), {}, "no examples"),
        ((X, Y[:9]), {}, r"different lengths, shapes \[\(10, 2\), \(9,\)\]"),
        ((X, Y), {"batch_size": 0}, "at least 1, got 0"),
        ((X, Y), {"batch_size": 2.0}, "must be an integer, got 2.0"),
        ((X, Y), {"batch_size": True}, "must be an integer, got True"),
        ((X, Y), {"batch_size": 11, "drop_last": True}, "leaves nothing of 10 examples"),
        ((np.array([0.0, np.nan]),), {}, r"array 0 holds nan at index \(1,\)"),
        ((Y, np.where(X == 7, -np.inf, X)), {}, r"array 1 holds -inf at index \(3, 1\)"),
    ],
)
def test_bad_input_is_refused_with_a_mend(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        data.DataLoader(arrays, **options)


def test_a_state_that_does_not_fit_changes_nothing():
    loader = data.DataLoader((X, Y), batch_size=3, shuffle=True, rng=0)
    next(iter(loader))
    twice = data.DataLoader((np.tile(X, (2, 1)), np.tile(Y, 2)), shuffle=True, batch_size=3, rng=0)
    next(iter(twice))
    other = data.DataLoader((X, Y), rng=np.random.Generator(np.random.MT19937(0)))
    before = loader.state_dict()
    for wrong, says in (
        (nn.Linear(1, 1).state_dict(), "not of a DataLoader"),
        (other.state_dict(), "whose rng is a PCG64"),
        (twice.state_dict(), "more than the 10 examples"),
    ):
        with pytest.raises(ValueError, match=says):
            loader.load_state_dict(wrong)
        after = loader.state_dict()
        assert after["rng"] == before["rng"]
        np.testing.assert_array_equal(after["left"], before["left"])


def test_a_ragged_list_is_refused():
    with pytest.raises(ValueError, match=r"array 0 is ragged.*rows of one length"):
        data.DataLoader(([[1, 2], [3]], [0, 1]))
