"""Run a reader's function and say in words how what it did differs from what was wanted."""

import copy
import dis
import linecache
import re
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What one call of a function did.

    Parameters
    ----------
    value : object
        What it returned.
    error : str
        "ValueError: …" if it raised.
    where : str
        The line of the function's own code that raised or warned, and the likely mend.
    changed : tuple of int
        Positions of the arguments that it changed.
    warned : tuple of str
        numpy's warnings, such as an overflow.
    """

    value: Any = None
    error: str = ""
    where: str = ""
    changed: tuple[int, ...] = ()
    warned: tuple[str, ...] = ()

    def equals(self, other: "Outcome", rtol: float) -> bool:
        """Whether both calls did the same; where in the code does not count."""
        if (self.error, self.changed, self.warned) != (other.error, other.changed, other.warned):
            return False
        # no words are needed here, and numpy takes a millisecond to write an array out
        return bool(self.error) or difference(self.value, other.value, rtol, kind) is None


def run(function: Callable, arguments: tuple) -> Outcome:
    """Call a function on a copy of its arguments and record all that it did."""
    given = copy.deepcopy(arguments)
    with (
        warnings.catch_warnings(record=True) as caught,
        np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
    ):
        warnings.simplefilter("always")
        try:
            value, error, where = function(*given), "", ""
        # exit() too is wrong; but not KeyboardInterrupt: ■ must stop an endless loop
        except (Exception, SystemExit) as exception:
            value, error = None, f"{type(exception).__name__}: {_text(str, exception)}"
            where = _where(exception, function) + _mend(exception)
    numeric = [warning for warning in caught if issubclass(warning.category, RuntimeWarning)]
    if numeric and not error:
        where = _line(numeric[0].filename, numeric[0].lineno)
    return Outcome(
        value,
        error,
        where,
        tuple(i for i, pair in enumerate(zip(given, arguments, strict=True)) if not _same(*pair)),
        tuple(sorted({str(warning.message) for warning in numeric})),
    )


def is_stub(function: Callable, outcome: Outcome) -> bool:
    """Whether a function uses no argument and answers nothing, or says "not implemented"."""
    if outcome.error.startswith("NotImplementedError"):
        return True
    code = getattr(function, "__code__", None)
    if code is None or outcome.error or not (outcome.value is None or outcome.value is ...):
        return False
    # A function that does use its arguments has been begun: its `return` may be missing.
    return not any(
        "LOAD_FAST" in step.opname or "DEREF" in step.opname for step in dis.Bytecode(code)
    )


def difference(
    got: Any, wanted: Any, rtol: float, show: Callable[[Any], str] | None = None
) -> str | None:
    """Return in words how a result differs from the wanted one, or None if it does not.

    Parameters
    ----------
    got : object
        What the reader's function returned.
    wanted : ndarray, number, or tuple of these
        What the reference returned.
    rtol : float
        Relative tolerance.
    show : callable, optional
        Puts a value into words; `short` unless told.
    """
    if got is None:
        return "the result is None. Is a `return` missing, or has one branch none?"
    if isinstance(wanted, tuple):
        if not isinstance(got, tuple) or len(got) != len(wanted):
            return (
                f"the result is {kind(got)}; {len(wanted)} values are needed, as in `return a, b`."
            )
        for number, pair in enumerate(zip(got, wanted, strict=True), 1):
            if text := difference(*pair, rtol, show):
                return f"value {number} of {len(wanted)}: {text}"
        return None
    return _array_difference(got, wanted, rtol, show or short)


def _array_difference(got: Any, wanted: Any, rtol: float, show: Callable[[Any], str]) -> str | None:
    is_array = isinstance(wanted, np.ndarray)
    need = f"an array of shape {wanted.shape}" if is_array else "a single number"
    if is_array and not isinstance(got, np.ndarray):
        mend = " np.array(…) makes it one." if isinstance(got, list | tuple) else _tensor_mend(got)
        return f"the result is {kind(got)}; {need} is needed.{mend}"
    if not isinstance(got, np.ndarray | np.generic | int | float):
        return f"the result is {kind(got)}; {need} is needed.{_tensor_mend(got)}"
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.dtype.kind not in "biuf":
        return f"the result holds {got.dtype}, not numbers."
    if got.shape != wanted.shape:
        return (
            f"the result has shape {got.shape}; {need} is needed."
            f"{_shape_mend(got.shape, wanted.shape)}"
        )
    if text := _dtype_difference(got, wanted, is_array):
        return text
    if np.isnan(got).any() and not np.isnan(wanted).any():
        return "the result contains NaN, not a number: 0/0, ∞ − ∞ or the root of a negative number."
    # The absolute part is for values that are zero up to rounding.
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    if np.allclose(got, wanted, rtol=rtol, atol=1e-3 * rtol * scale, equal_nan=True):
        return None
    return f"wrong value: the result is {show(got)}\n  and should be {show(wanted)}."


def _dtype_difference(got: np.ndarray, wanted: np.ndarray, is_array: bool) -> str | None:
    family = {"u": "i"}  # any whole number will do: their default width differs between systems
    kinds = [family.get(array.dtype.kind, array.dtype.kind) for array in (got, wanted)]
    if kinds[0] == kinds[1] and (kinds[0] == "i" or not is_array or got.dtype == wanted.dtype):
        return None
    if kinds == ["i", "f"] and not is_array:  # `return 0`
        return None
    name = {"f": "float", "i": "int"}.get(kinds[1])
    mend = "a comparison" if name is None else f".astype({name})" if is_array else f"{name}(…)"
    return f"the result's dtype is {got.dtype}; {wanted.dtype} is needed: {mend} gives it" + (
        ", or 1.0 and 0.0 in place of 1 and 0." if kinds == ["i", "f"] else "."
    )


def _tensor_mend(got: Any) -> str:
    if type(got).__name__ != "Tensor":
        return ""
    return " .item() gives its number." if got.ndim == 0 else " .data gives its array."


def _shape_mend(got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    without_ones = [tuple(n for n in shape if n != 1) for shape in (got, wanted)]
    if without_ones[0] == without_ones[1] and len(got) > len(wanted):
        return " One axis of length 1 is too many: .reshape(-1) or [:, 0] takes it away."
    if without_ones[0] == without_ones[1] and len(got) < len(wanted):
        return " An axis of length 1 is missing: [:, None] or keepdims=True gives it."
    if got == wanted[::-1]:
        return " It is transposed: .T swaps the axes."
    if not got:
        return " Something runs over the whole array (a sum, a mean) that should run over one axis."
    if len(got) == 2 and got[0] == got[1] == (wanted or [None])[0]:
        return " (n, 1) with (n,) broadcasts to (n, n): bring both to one shape first."
    return ""


def kind(value: Any) -> str:
    """Return "a list", "an array of shape (3,)" … for a value."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, bool | int | float | np.generic):
        return f"the single number {short(value)}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def short(value: Any) -> str:
    """Return a value's repr, rounded and shortened."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.6g}"
    numbers = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    tiny = numbers and np.any((value != 0) & (np.abs(value) < 1e-3))
    with np.printoptions(precision=4, threshold=40, edgeitems=3, suppress=not tiny):
        text = _text(repr, value)
    return text if len(text) <= 400 else text[:400] + " …"


def _text(tell: Callable[[Any], str], value: Any) -> str:
    """Return `str` or `repr` of a value without the addresses that differ from run to run."""
    try:
        return re.sub(r" at 0x[0-9a-fA-F]+", "", tell(value))
    except Exception:  # the reader's own, or a whole number of more than 4,300 digits
        return f"a {type(value).__name__} that cannot be shown"


def _same(new: Any, old: Any) -> bool:
    """Whether an argument is as it was given."""
    if isinstance(old, np.ndarray):
        return new.shape == old.shape and np.array_equal(new, old, equal_nan=True)
    return new == old if isinstance(old, list | dict) else True


_MENDS = (
    (UnboundLocalError, "It is read before it got a value: set it before the loop or the if."),
    (NameError, "Is the name spelled as where it was defined, and was that cell run?"),
    (ZeroDivisionError, "What can be zero here?"),
    (IndexError, "The last of n items has the index n − 1."),
    (AttributeError, "Has this kind of value such a part? print(type(…)) tells what it is."),
    (RecursionError, "The function calls itself without end."),
    (TypeError, "Do these kinds of values go together? print(type(…)) tells what each is."),
    (ValueError, "Do the shapes fit? print(….shape) just before this line tells what each is."),
)


def _mend(exception: Exception) -> str:
    return next((f"\n  {mend}" for known, mend in _MENDS if isinstance(exception, known)), "")


def _where(exception: Exception, function: Callable) -> str:
    """Return the last line in the function's own file or cell on the way to the exception."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = traceback.extract_tb(exception.__traceback__)
    numbers = [frame.lineno for frame in frames if frame.filename == file]
    return _line(file, numbers[-1]) if numbers else ""


def _line(file: str, number: int) -> str:
    text = linecache.getline(file, number).strip()
    return f"\n  in line {number}: {text}" if text else f"\n  in line {number}"
