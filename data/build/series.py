"""sunspots_yearly.csv, co2_weekly.csv, air_passengers.csv, seattle_weather_daily.csv, ecg.npz."""

import csv
import io

import numpy as np
from packages import member


def build() -> dict[str, str | dict[str, np.ndarray]]:
    """Give the text or the arrays of each file."""
    sunspots = rows("statsmodels", "statsmodels/datasets/sunspots/sunspots.csv")[1:]
    co2 = rows("statsmodels", "statsmodels/datasets/co2/co2.csv")[1:]
    passengers = rows("sktime", "sktime/datasets/data/Airline/Airline.csv")[1:]
    weather = rows("vega", "package/data/seattle-weather.csv")
    return {
        "sunspots_yearly.csv": "year,sunspots\n"
        + "".join(f"{int(float(year))},{float(n)}\n" for year, n in sunspots),
        "co2_weekly.csv": "date,co2_ppm\n"
        + "".join(f"{d[:4]}-{d[4:6]}-{d[6:8]},{ppm}\n" for d, ppm in co2),
        "air_passengers.csv": "month,passengers_thousands\n"
        + "".join(f"{month},{n}\n" for month, n in passengers),
        "seattle_weather_daily.csv": "".join(",".join(row) + "\n" for row in weather),
        "ecg.npz": ecg(),
    }


def rows(key: str, name: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(member(key, name).decode("utf-8-sig"))))


def ecg() -> dict[str, np.ndarray]:
    """Give 100 s of the recording that `scipy.datasets.electrocardiogram` gives 5 min of."""
    file = np.load(io.BytesIO(member("scipy", "usr/lib/python3/dist-packages/scipy/misc/ecg.dat")))
    return {
        "adc": file["ecg"][:36000].astype(np.uint16),
        "fs": np.array([360]),
        "offset": np.array([1024]),
        "gain": np.array([200.0]),
    }
