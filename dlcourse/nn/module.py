"""What every layer and model is: a module that knows its parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dlcourse.tensor import Tensor

__all__ = ["Buffer", "Module", "ModuleList", "Parameter", "Sequential"]


class Parameter(Tensor):
    """A tensor that a module learns: an attribute of this type is found by `Module.parameters`."""

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)


class Buffer(Tensor):
    """A tensor that a module keeps but does not learn, such as a running mean.

    Parameters
    ----------
    data : array_like
        The values.
    persistent : bool
        Whether it is saved with the module, in its `state_dict`.
    """

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        super().__init__(data)
        self.persistent = persistent


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A layer or a whole model: subclass it, set parameters and modules as attributes.

    Attributes
    ----------
    training : bool
        Whether layers that differ in training and use (dropout, batch norm) are in training.

    Examples
    --------
    >>> from dlcourse import nn, functional as F
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.hidden = nn.Linear(2, 8, rng=0)
    ...         self.out = nn.Linear(8, 1, rng=1)
    ...
    ...     def forward(self, x):
    ...         return self.out(F.tanh(self.hidden(x)))
    >>> Net()(np.zeros((5, 2), np.float32)).shape
    (5, 1)
    """

    training: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, Parameter) and not (value is None or isinstance(value, Parameter)):
            raise ValueError(
                f"{type(self).__name__}.{name} is a Parameter, and a {type(value).__name__} in its "
                f"place would not be learned: set its values, .{name}.data[:] = …, or make it "
                "Parameter(…)"
            )
        if isinstance(old, Buffer) and (type(value) is Tensor or isinstance(value, np.ndarray)):
            value = Buffer(value, persistent=old.persistent)
        super().__setattr__(name, value)

    def forward(self, *inputs: Any) -> Any:
        """Compute the output. Every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x)")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Apply `forward` to the inputs; arrays among them become tensors."""
        for x in inputs:
            if isinstance(x, np.ndarray):
                inputs = tuple(Tensor(x) if isinstance(x, np.ndarray) else x for x in inputs)
                break
        return self.forward(*inputs, **options)

    def children(self) -> Iterator[Module]:
        """Yield the modules directly inside this one, each once."""
        return (child for _, child in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly inside this one, each once, with their names."""
        seen = set()
        for name, child in self._places():
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def _places(self) -> Iterator[tuple[str, Module]]:
        """Yield the names of the modules directly inside this one; a shared one has several."""
        return ((k, v) for k, v in vars(self).items() if isinstance(v, Module))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = ""
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all inside it, each once, with their names."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once, also one that two modules share."""
        return (parameter for _, parameter in self.named_parameters())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter once, with its name, such as ``0.weight``."""
        return self._named(Parameter)

    def buffers(self) -> Iterator[Buffer]:
        """Yield every buffer once."""
        return (buffer for _, buffer in self.named_buffers())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield every buffer once, with its name, such as ``1.running_mean``."""
        return self._named(Buffer)

    def _named(self, kind: type) -> Iterator[tuple[str, Any]]:
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Set an attribute that is kept but not learned: a `Buffer`, or None."""
        setattr(self, name, None if tensor is None else Buffer(tensor, persistent=persistent))

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call a function with every module inside this one, and then with this one.

        Examples
        --------
        >>> from dlcourse import init, nn
        >>> def he(module):
        ...     if isinstance(module, nn.Linear):
        ...         init.kaiming_normal_(module.weight, rng=0)
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)).apply(he)
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """All that is saved. A shared parameter appears under each of its names, as in PyTorch."""
        for kind in (Parameter, Buffer):
            for name, value in vars(self).items():
                if isinstance(value, kind) and getattr(value, "persistent", True):
                    yield prefix + name, value
        for name, child in self._places():
            yield from child._state(f"{prefix}{name}.")

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of all that is saved: name → array, with PyTorch's names and shapes."""
        return {name: tensor.data.copy() for name, tensor in self._state()}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Set parameters and buffers from `state_dict`'s arrays. All fits, or nothing is changed.

        Parameters
        ----------
        state_dict : mapping of str to array or Tensor
            Name → values; they are copied, and converted to the dtype that the module has.
        strict : bool
            Whether every name must match. If False, only what matches is loaded.

        Returns
        -------
        IncompatibleKeys
            The names that were missing, and those that were not expected.

        Raises
        ------
        ValueError
            If names do not match (and ``strict``), or a shape differs.
        """
        if not isinstance(state_dict, Mapping):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict() got a {type(state_dict).__name__}: it "
                "needs a dict of arrays; from a file, dlcourse.train.load(path)"
            )
        own = dict(self._state())
        missing = [k for k in own if k not in state_dict]
        unexpected = [k for k in state_dict if k not in own]
        given = {k: state_dict[k] for k in own if k in state_dict}
        arrays = {k: np.asarray(v.data if isinstance(v, Tensor) else v) for k, v in given.items()}
        wrong = [f"missing {k} {own[k].shape}" for k in missing] if strict else []
        wrong += [f"unexpected {k}" for k in unexpected] if strict else []
        for k, array in arrays.items():
            if array.shape != own[k].shape:
                wrong.append(f"{k}: shape {array.shape}, needed {own[k].shape}")
            elif array.dtype.kind not in "fiub":
                wrong.append(f"{k}: dtype {array.dtype}, needed {own[k].dtype}")
        if wrong:
            raise ValueError(
                f"the state dict does not fit this {type(self).__name__}; nothing was loaded: "
                + "; ".join(wrong)
                + ". Build the model with the sizes that it was saved with"
            )
        for k, array in arrays.items():
            own[k].data[...] = array
            own[k]._touch()
        return IncompatibleKeys(missing, unexpected)

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all inside it to training (or, with False, to use)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and all inside it from training to use."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze (False) or unfreeze all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; or set those that there are to 0."""
        for parameter in self.parameters():
            parameter.zero_grad(set_to_none)

    def double(self) -> Module:
        """Convert everything but counts to float64."""
        return self._to(np.float64)

    def float(self) -> Module:
        """Convert everything but counts to float32."""
        return self._to(np.float32)

    def _to(self, dtype: Any) -> Module:
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.data.dtype.kind == "f":
                tensor.data, tensor.grad = tensor.data.astype(dtype), None
                tensor._touch()
        return self

    def extra_repr(self) -> str:
        """Return what to show between the brackets of the layer's name."""
        return ""

    def __repr__(self) -> str:
        lines, own = [f"({n}): {child!r}" for n, child in self._places()], self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({own})"
        lines = [own, *lines] if own else lines
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


@contextlib.contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Put a module into eval mode; at the end every module in it is back in the mode it had."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode


# ---- containers -------------------------------------------------------------------------


class ModuleList(Module):
    """A list of modules whose parameters are found (those in a plain list are not)."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end."""
        return self._set(str(len(self)), module)

    def _set(self, name: str, module: Module) -> ModuleList:
        if not isinstance(module, Module):
            mend = "activations are layers here, such as nn.Tanh()"
            if isinstance(module, (list, tuple)):
                mend = "unpack it, Sequential(*layers)"
            raise ValueError(f"{type(self).__name__} got {module!r}, which is no Module: {mend}")
        setattr(self, name, module)
        return self

    def __len__(self) -> int:
        return sum(1 for _ in self._places())

    def __iter__(self) -> Iterator[Module]:
        return (module for module in vars(self).values() if isinstance(module, Module))

    def __getitem__(self, index: int | slice) -> Any:
        picked = list(self)[index]
        return type(self)(picked) if isinstance(picked, list) else picked

    def __setitem__(self, index: int, module: Module) -> None:
        self._set(list(self._places())[index][0], module)


class Sequential(ModuleList):
    """Modules one after the other, each fed with the last one's output.

    Examples
    --------
    >>> from dlcourse import nn
    >>> model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Tanh(), nn.Linear(8, 1, rng=1))
    >>> model(np.zeros((5, 2), np.float32)).shape
    (5, 1)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return super().__getitem__(index)
        part = Sequential()
        for name, module in list(self._places())[index]:
            part._set(name, module)  # the names stay, so that weights do, too, as in PyTorch
        return part

    def forward(self, input: Any) -> Tensor:
        """Apply the modules in turn."""
        for module in self:
            input = module(input)
        return input
