"""Loaders of the shipped data sets; data/README.md names each one's source, terms and authors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlcourse.data.store import codes, numbers, read, read_npz, read_table

Float = NDArray[np.float32]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]
Str = NDArray[np.str_]
Time = NDArray[np.datetime64]

# Images


class ImageSplit(NamedTuple):
    """Labelled grey images, in a training and a test set.

    Attributes
    ----------
    x_train, x_test
        Images, (N, 1, H, W), from 0 (black) to 1 (white).
    y_train, y_test
        Class numbers, (N,).
    classes
        What the class numbers mean, (C,).
    """

    x_train: Float
    y_train: Int
    x_test: Float
    y_test: Int
    classes: Str


class LabelledImages(NamedTuple):
    """Labelled grey images.

    Attributes
    ----------
    x
        Images, (N, 1, H, W), from 0 (black) to 1 (white).
    y
        Class numbers, (N,).
    classes
        What the class numbers mean, (C,).
    """

    x: Float
    y: Int
    classes: Str


class Images(NamedTuple):
    """Photographs, each (H, W) grey or (H, W, 3) colour, from 0 (black) to 1 (white)."""

    airplane: Float
    astronaut: Float
    camera: Float
    cat_locomotion: Float
    chelsea: Float
    coffee: Float
    coins: Float
    rocket: Float


def load_mnist() -> ImageSplit:
    """Load MNIST: handwritten digits, 60,000 to train on and 10,000 to test, 28 by 28 pixels.

    Pixels are the files' 0 to 255 divided by 255. All of it takes 220 MB of memory.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86 (1998), doi:10.1109/5.726791.
    """
    return _image_split("mnist.npz")


def load_fashion_mnist() -> ImageSplit:
    """Load part of Fashion-MNIST: clothes, 28 by 28 pixels.

    The first 10,000 of its training images and the first 2,000 of its test images. Pixels are the
    files' 0 to 255 divided by 255.

    References
    ----------
    Xiao, Rasul and Vollgraf, "Fashion-MNIST" (2017), arXiv:1708.07747.
    """
    return _image_split("fashion_mnist.npz")


def load_textures() -> ImageSplit:
    """Load patches of brick, grass and gravel: 576 to train on and 192 to test, 32 by 32 pixels.

    The test patches come from a part of each photograph that no training patch touches.
    """
    return _image_split("textures.npz")


def load_digits() -> LabelledImages:
    """Load 1,797 handwritten digits of 8 by 8 pixels; pixels are the file's 0 to 16 divided by 16.

    References
    ----------
    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository (1998), doi:10.24432/C50P49.
    """
    file = read_npz("digits8x8.npz")
    return LabelledImages(
        _grey(file["images"], 16), file["labels"].astype(np.intp), np.array(list("0123456789"))
    )


def load_images() -> Images:
    """Load eight photographs to try filters on."""
    return Images(**{name: _scale(image, 255) for name, image in read_npz("images.npz").items()})


def _image_split(name: str) -> ImageSplit:
    file = read_npz(name)
    return ImageSplit(
        _grey(file["x_train"], 255),
        file["y_train"].astype(np.intp),
        _grey(file["x_test"], 255),
        file["y_test"].astype(np.intp),
        file["classes"] if "classes" in file else np.array(list("0123456789")),
    )


def _grey(images: np.ndarray, white: int) -> Float:
    return _scale(images[:, None], white)  # (N, H, W) → (N, 1, H, W)


def _scale(pixels: np.ndarray, white: int) -> Float:
    return np.divide(pixels, np.float32(white), dtype=np.float32)


# Tables


class Table(NamedTuple):
    """Examples with a few measured features and a class each.

    Attributes
    ----------
    x
        Features, (N, F).
    y
        Class numbers, (N,).
    features
        The features' names, with their units, (F,).
    classes
        What the class numbers mean, (C,).
    """

    x: Float
    y: Int
    features: Str
    classes: Str


class Penguins(NamedTuple):
    """A `Table` of penguins, and what else is known of each.

    Attributes
    ----------
    x
        Bill length and depth and flipper length in mm, body mass in g, (342, 4).
    y
        Species, (342,).
    features
        Names of the four features, (4,).
    classes
        Names of the three species, (3,).
    island
        Where each was found, (342,).
    sex
        "female", "male" or, where unknown, "", (342,).
    year
        When each was measured, (342,).
    """

    x: Float
    y: Int
    features: Str
    classes: Str
    island: Str
    sex: Str
    year: Int


class Adult(NamedTuple):
    """People of the 1994 US census; every array is (48842,), and "" means unknown.

    Attributes
    ----------
    age, hours_per_week
        In years and hours.
    education_num
        Years of schooling, roughly: a code from 1 to 16 for ``education``.
    capital_gain, capital_loss
        In US dollars.
    workclass, education, marital_status, occupation, relationship, race, sex, native_country
        Categories.
    income_over_50k
        The label: 1 where the yearly income is above 50,000 dollars.
    train
        True for the 32,561 people of the official training set, False for the test set.
    """

    age: Int
    workclass: Str
    education: Str
    education_num: Int
    marital_status: Str
    occupation: Str
    relationship: Str
    race: Str
    sex: Str
    capital_gain: Int
    capital_loss: Int
    hours_per_week: Int
    native_country: Str
    income_over_50k: Int
    train: Bool


class CompasCounts(NamedTuple):
    """How many people share the same score, outcome and group; every array is (223,).

    Attributes
    ----------
    race
        "African-American", "Caucasian", "Hispanic" or "Other".
    decile_score
        The COMPAS score, 1 (low risk) to 10 (high).
    two_year_recid
        1 where a new crime was charged within two years.
    screened_by_2014_04_01
        1 where two full years lay between the score and the end of the data.
    propublica_filter
        1 where ProPublica's analysis kept the person: 6,172 of 7,214.
    count
        People in the cell.
    """

    race: Str
    decile_score: Int
    two_year_recid: Int
    screened_by_2014_04_01: Int
    propublica_filter: Int
    count: Int


def load_iris() -> Table:
    """Load 150 iris flowers of three species: length and width of sepal and petal, in cm.

    References
    ----------
    Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936),
    doi:10.1111/j.1469-1809.1936.tb02137.x.
    """
    return _table("iris.csv", "species", ["setosa", "versicolor", "virginica"])


def load_breast_cancer() -> Table:
    """Load 569 tumours, malignant or benign, with 30 features of their cell nuclei.

    References
    ----------
    Wolberg, Mangasarian, Street and Street, "Breast Cancer Wisconsin (Diagnostic)", UCI Machine
    Learning Repository (1993), doi:10.24432/C5DW2B.
    """
    return _table("breast_cancer.csv", "diagnosis", ["malignant", "benign"])


def load_penguins() -> Penguins:
    """Load 342 penguins of three species.

    Two more in the file were never measured and are left out.

    References
    ----------
    Gorman, Williams and Fraser, "Ecological sexual dimorphism and environmental variability within
    a community of Antarctic penguins", PLoS ONE 9 (2014), doi:10.1371/journal.pone.0090081.
    """
    table = read_table("penguins.csv")
    features = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    classes = np.array(["Adelie", "Chinstrap", "Gentoo"])
    x = np.stack([numbers(table[f]) for f in features], axis=1)  # (344, 4)
    known = np.isfinite(x).all(axis=1)
    return Penguins(
        x=x[known],
        y=codes(table["species"], classes)[known],
        features=np.array(features),
        classes=classes,
        island=table["island"][known],
        sex=np.where(table["sex"] == "NA", "", table["sex"])[known],
        year=table["year"].astype(np.intp)[known],
    )


def load_adult() -> Adult:
    """Load the Adult data: who earned more than 50,000 dollars in a year, from a 1994 US census.

    References
    ----------
    Becker and Kohavi, "Adult", UCI Machine Learning Repository (1996), doi:10.24432/C5XW20.
    """
    table = read_table("adult.csv.gz")
    train = table.pop("split") == "train"
    return Adult(**_typed(Adult, table), train=train)


def load_compas_counts() -> CompasCounts:
    """Load ProPublica's COMPAS data as counts of people: no row is a person.

    References
    ----------
    Larson, Mattu, Kirchner and Angwin, "How We Analyzed the COMPAS Recidivism Algorithm",
    ProPublica (2016).
    """
    return CompasCounts(**_typed(CompasCounts, read_table("compas_counts.csv")))


def _table(name: str, target: str, classes: list[str]) -> Table:
    table = read_table(name)
    y = codes(table.pop(target), np.array(classes))
    x = np.stack([numbers(column) for column in table.values()], axis=1)
    return Table(x, y, np.array(list(table)), np.array(classes))


def _typed(kind: type, table: dict[str, Str]) -> dict[str, np.ndarray]:
    """Turn the columns that ``kind`` declares as Int into numbers."""
    hints = kind.__annotations__
    return {k: v.astype(np.intp) if hints[k] == Int else v for k, v in table.items()}


# Text


class Surnames(NamedTuple):
    """Surnames and the language that each comes from.

    Attributes
    ----------
    surname
        (4679,).
    y
        Class numbers, (4679,).
    classes
        The twelve languages, (12,).
    """

    surname: Str
    y: Int
    classes: Str


class DatePairs(NamedTuple):
    """Dates as people write them and as ISO 8601 does; every array is (12000,).

    Attributes
    ----------
    human
        Such as "april 5, 1995", in lower case.
    iso
        Such as "1995-04-05".
    language
        "en" or "it".
    """

    human: Str
    iso: Str
    language: Str


def load_shakespeare() -> str:
    """Load nine plays of Shakespeare, a million characters out of 66."""
    return read("shakespeare.txt").decode()


def load_names() -> list[str]:
    """Load 10,388 first names from the United States, a to z only, in lower case."""
    return read("names.txt").decode().split()


def load_surnames() -> Surnames:
    """Load 4,679 surnames, each found in only one of twelve languages."""
    table = read_table("surnames_by_language.csv")
    classes = np.unique(table["language"])
    return Surnames(table["surname"], codes(table["language"], classes), classes)


def load_date_pairs() -> DatePairs:
    """Load 12,000 dates, in English or Italian and in ISO 8601."""
    return DatePairs(**read_table("date_pairs.tsv", "\t"))


# Time series


class Sunspots(NamedTuple):
    """Yearly means of the sunspot number: ``year`` (309,), 1700 to 2008; ``sunspots`` (309,)."""

    year: Int
    sunspots: Float


class Co2(NamedTuple):
    """Weekly carbon dioxide: ``date`` (2284,) and ``co2_ppm`` (2284,), NaN where missing."""

    date: Time
    co2_ppm: Float


class AirPassengers(NamedTuple):
    """Monthly air passengers: ``month`` (144,) and ``passengers_thousands`` (144,)."""

    month: Time
    passengers_thousands: Float


class Weather(NamedTuple):
    """Daily weather, every array (1461,), 2012 to 2015.

    Attributes
    ----------
    date
        Day.
    precipitation
        In mm.
    temp_max, temp_min
        In degrees Celsius.
    wind
        In m/s.
    weather
        "drizzle", "fog", "rain", "snow" or "sun".
    """

    date: Time
    precipitation: Float
    temp_max: Float
    temp_min: Float
    wind: Float
    weather: Str


class Ecg(NamedTuple):
    """A heart's voltage: ``mv`` (36000,) in millivolts, ``fs`` samples a second."""

    mv: Float
    fs: int


def load_sunspots() -> Sunspots:
    """Load the yearly sunspot numbers of 1700 to 2008."""
    table = read_table("sunspots_yearly.csv")
    return Sunspots(table["year"].astype(np.intp), numbers(table["sunspots"]))


def load_co2() -> Co2:
    """Load the weekly carbon dioxide of Mauna Loa, 1958 to 2001, in parts per million.

    59 of the 2,284 weeks were not measured: NaN.

    References
    ----------
    Keeling and Whorf, "Atmospheric CO2 concentrations derived from flask air samples at sites in
    the SIO network", in "Trends", Carbon Dioxide Information Analysis Center (2004).
    """
    table = read_table("co2_weekly.csv")
    return Co2(table["date"].astype("datetime64[D]"), numbers(table["co2_ppm"]))


def load_air_passengers() -> AirPassengers:
    """Load the monthly numbers of international air passengers of 1949 to 1960, in thousands.

    References
    ----------
    Box and Jenkins, "Time Series Analysis: Forecasting and Control" (1976), series G.
    """
    table = read_table("air_passengers.csv")
    return AirPassengers(
        table["month"].astype("datetime64[M]"), numbers(table["passengers_thousands"])
    )


def load_weather() -> Weather:
    """Load Seattle's daily weather of 2012 to 2015."""
    table = read_table("seattle_weather_daily.csv")
    date, weather = table.pop("date").astype("datetime64[D]"), table.pop("weather")
    return Weather(date, **{k: numbers(v) for k, v in table.items()}, weather=weather)


def load_ecg() -> Ecg:
    """Load 100 seconds of an electrocardiogram with irregular beats, 360 samples a second.

    References
    ----------
    Moody and Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Engineering in Medicine
    and Biology 20 (2001), doi:10.13026/C2F305; record 208.
    """
    file = read_npz("ecg.npz")
    mv = (file["adc"].astype(np.float32) - file["offset"]) / file["gain"]
    return Ecg(mv.astype(np.float32), int(file["fs"][0]))
