"""Modules: what they find, save, load and refuse."""

import numpy as np
import pytest

from dlcourse import Tensor, init, nn, no_grad
from dlcourse import functional as F
from dlcourse.gradcheck import gradcheck


class Net(nn.Module):
    def __init__(self, rng=0):
        rng = np.random.default_rng(rng)
        self.scale = nn.Parameter([2.0])
        self.body = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Linear(4, 2, rng=rng))
        self.heads = nn.ModuleList([nn.Linear(2, 1, bias=False, rng=rng)])
        self.heads.append(nn.Linear(2, 1, rng=rng))

    def forward(self, x):
        h = self.body(x) * self.scale
        return sum((head(h) for head in self.heads), 0.0)


NAMES = [
    "scale",
    "body.0.weight",
    "body.0.bias",
    "body.2.weight",
    "body.2.bias",
    "heads.0.weight",
    "heads.1.weight",
    "heads.1.bias",
]


def test_parameters_are_found_in_pytorchs_order_with_its_names():
    model = Net()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert list(model.state_dict()) == NAMES
    assert model.state_dict()["body.0.weight"].shape == (4, 3)


def test_a_shared_parameter_counts_once_and_is_saved_under_both_names():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert len(list(model.parameters())) == 3
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_gradients_of_a_whole_model():
    model = Net().double()
    names, values = zip(*model.state_dict().items(), strict=True)
    x = np.random.default_rng(1).normal(size=(5, 3))

    def run(*parameters):
        for name, parameter in zip(names, parameters, strict=True):
            *path, last = name.split(".")
            module = model
            for part in path:
                module = getattr(module, part)
            vars(module)[last] = parameter  # a tensor that is no Parameter
        return model(x)

    assert gradcheck(run, [Tensor(v, requires_grad=True) for v in values])


def test_a_parameter_stays_one_and_a_buffer_too():
    layer = nn.Linear(2, 3)
    with no_grad(), pytest.raises(ValueError, match="would not be learned"):
        layer.weight = layer.weight * 0.5
    assert len(list(layer.parameters())) == 2
    norm = nn.BatchNorm1d(3)
    for mean in (0.9 * norm.running_mean + 0.1, np.zeros(3, np.float32)):
        norm.running_mean = mean
        assert norm.state_dict()["running_mean"].shape == (3,)


def test_state_dict_is_a_copy_and_carries_over():
    model, other = Net(0), Net(1)
    x = np.ones((5, 3), np.float32)
    saved = model.state_dict()
    model.scale.data[:] = 9
    assert saved["scale"] == 2
    assert other.load_state_dict(saved) == ([], [])
    np.testing.assert_array_equal(other(x).data, Net(0)(x).data)
    saved["scale"][:] = 5
    assert other.scale.data == 2
    other.load_state_dict(dict(model.named_parameters()), strict=False)  # tensors, as in PyTorch
    assert other.scale.data == 9


def test_a_state_dict_that_does_not_fit_changes_nothing():
    model = Net()
    before = model.state_dict()
    good = Net(1).state_dict()
    bad = {
        "missing body.0.bias": {k: v for k, v in good.items() if k != "body.0.bias"},
        "unexpected extra": {**good, "extra": np.ones(1)},
        r"body.0.weight: shape \(3, 4\), needed \(4, 3\)": {
            **good,
            "body.0.weight": np.ones((3, 4)),
        },
        "heads.1.bias: dtype <U1": {**good, "heads.1.bias": np.array(["x"])},
    }
    for says, state in bad.items():
        with pytest.raises(ValueError, match=says):
            model.load_state_dict(state)
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
    missing, unexpected = model.load_state_dict({"scale": [7.0], "extra": 1}, strict=False)
    assert model.scale.data == 7
    assert missing == NAMES[1:]
    assert unexpected == ["extra"]


def test_frozen_layers_get_no_gradient():
    model = Net()
    model.body.requires_grad_(False)
    model(np.ones((2, 3), np.float32)).sum().backward()
    with_gradient = [name for name, p in model.named_parameters() if p.grad is not None]
    assert with_gradient == [n for n in NAMES if not n.startswith("body")]
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_modes_and_precision_reach_every_module():
    model = Net()
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())
    assert {p.dtype for p in model.double().parameters()} == {np.dtype(np.float64)}
    assert model(np.ones((2, 3))).dtype == np.float64
    assert {p.dtype for p in model.float().parameters()} == {np.dtype(np.float32)}


def test_the_seed_decides_and_pytorchs_range_is_kept():
    a, b, c = (nn.Linear(100, 50, rng=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.weight.data, b.weight.data)
    assert not np.array_equal(a.weight.data, c.weight.data)
    assert not np.array_equal(nn.Linear(4, 4).weight.data, nn.Linear(4, 4).weight.data)
    assert 0.099 < np.abs(a.weight.data).max() <= 0.1
    assert np.abs(a.bias.data).max() <= 0.1
    rng = np.random.default_rng(0)
    assert not np.array_equal(
        nn.Linear(4, 4, rng=rng).weight.data, nn.Linear(4, 4, rng=rng).weight.data
    )


def test_a_parameter_is_replaced_by_a_parameter():
    layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"Linear.weight is a Parameter.*\.weight\.data\[:\]"):
        layer.weight = np.ones((3, 2), np.float32)
    layer.weight, layer.bias = nn.Parameter(np.ones((3, 2))), None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_containers():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU(), nn.Linear(3, 1, rng=1))
    assert len(model) == 3
    assert isinstance(model[-1], nn.Linear)
    assert isinstance(model[:2], nn.Sequential)
    rest = model[1:]
    assert list(rest.state_dict()) == ["2.weight", "2.bias"]  # as PyTorch names them
    rest[0] = nn.Tanh()
    assert [name for name, _ in rest.named_children()] == ["1", "2"]
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(model[2](model[:2](x)).data, model(x).data)
    with pytest.raises(ValueError, match=r"nn.Tanh\(\)"):
        nn.Sequential(nn.Linear(2, 2), F.tanh)
    assert repr(model).splitlines()[1] == "  (0): Linear(2, 3)"
    model[-1] = nn.Linear(3, 5)  # a new head
    assert model(x).shape == (4, 5)
    assert list(model.state_dict())[-2:] == ["2.weight", "2.bias"]
    with pytest.raises(IndexError):
        model[3] = nn.ReLU()


def test_layers_are_their_functions():
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    pairs = [
        (nn.ReLU()(x), F.relu(x)),
        (nn.Sigmoid()(x), F.sigmoid(x)),
        (nn.Tanh()(x), F.tanh(x)),
        (nn.Softmax(dim=1)(x), F.softmax(x, 1)),
        (nn.Flatten()(x), x.reshape(4, 6)),
        (nn.MSELoss("sum")(x, x * 2), F.mse_loss(x, x * 2, "sum")),
        (nn.BCELoss()(x * 0 + 0.3, x * 0), F.binary_cross_entropy(x * 0 + 0.3, x * 0)),
        (
            nn.BCEWithLogitsLoss(pos_weight=[3.0, 1.0])(x, x * 0 + 1),
            F.binary_cross_entropy_with_logits(x, x * 0 + 1, pos_weight=[3.0, 1.0]),
        ),
        (
            nn.CrossEntropyLoss([1.0, 2.0, 3.0], label_smoothing=0.1, ignore_index=1)(
                x, np.array([[0, 1], [2, 1], [0, 0], [2, 2]])
            ),
            F.cross_entropy(
                x,
                np.array([[0, 1], [2, 1], [0, 0], [2, 2]]),
                [1.0, 2.0, 3.0],
                label_smoothing=0.1,
                ignore_index=1,
            ),
        ),
    ]
    for layer, function in pairs:
        np.testing.assert_array_equal(np.asarray(layer), np.asarray(function))


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1), (2.5, 3), ("3", 3)])
def test_linear_refuses_sizes(sizes):
    with pytest.raises(ValueError, match="whole number"):
        nn.Linear(*sizes)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (lambda w: init.xavier_uniform_(w, rng=0), 2 / (300 + 200)),
        (lambda w: init.xavier_normal_(w, gain=2, rng=0), 4 * 2 / (300 + 200)),
        (lambda w: init.kaiming_uniform_(w, nonlinearity="relu", rng=0), 2 / 300),
        (lambda w: init.kaiming_normal_(w, nonlinearity="tanh", rng=0), 25 / 9 / 300),
        (lambda w: init.kaiming_uniform_(w, a=5**0.5, rng=0), 1 / 3 / 300),
        (lambda w: init.kaiming_normal_(w, mode="fan_out", rng=0), 2 / 200),
        (lambda w: init.normal_(w, 0, 0.5, rng=0), 0.25),
        (lambda w: init.uniform_(w, -1, 1, rng=0), 1 / 3),
    ],
)
def test_initialisation_has_the_variance_of_its_paper(fill, variance):
    weight = nn.Linear(300, 200).weight
    assert fill(weight) is weight
    assert weight.data.var() == pytest.approx(variance, rel=0.02)
    assert weight.data.mean() == pytest.approx(0, abs=4 * (variance / 60_000) ** 0.5)


def test_initialisation_counts_the_kernel_and_refuses_what_has_no_fan():
    kernel = nn.Parameter(np.empty((20, 30, 3, 3)))
    assert init.kaiming_normal_(kernel, rng=0).data.var() == pytest.approx(2 / 270, rel=0.05)
    with pytest.raises(ValueError, match="2 axes"):
        init.xavier_uniform_(nn.Parameter(np.empty(3)))
    with pytest.raises(ValueError, match="must be one of"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out'"):
        init.kaiming_uniform_(kernel, mode="out")


def test_buffers_are_kept_and_saved_but_not_learned():
    class Counting(nn.Module):
        def __init__(self):
            self.register_buffer("count", np.array(0))
            self.register_buffer("cache", np.zeros(2), persistent=False)
            self.register_buffer("nothing", None)
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            self.count += 1
            return self.norm(x)

    model = Counting()
    model(np.ones((2, 3), np.float32))
    assert [name for name, _ in model.named_buffers()] == [
        *("count", "cache"),
        *(f"norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
    ]
    assert len(list(model.buffers())) == 5
    assert [name for name, _ in model.named_parameters()] == ["norm.weight", "norm.bias"]
    assert model.state_dict()["count"] == 1
    assert "cache" not in model.state_dict()
    assert model.nothing is None
    assert model.float().cache.dtype == np.float32
    other = Counting()
    other.load_state_dict(model.state_dict())
    assert other.count.item() == 1


def test_apply_reaches_the_inner_modules_first():
    model, seen = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU())), []
    assert model.apply(seen.append) is model
    assert [type(m).__name__ for m in seen] == ["Linear", "ReLU", "Sequential", "Sequential"]
    shared, times = nn.Tanh(), []
    nn.Sequential(shared, nn.Linear(2, 2), shared).apply(times.append)
    assert len(times) == 3
    assert seen[-1] is model
    model.apply(lambda m: init.constant_(m.weight, 2) if isinstance(m, nn.Linear) else None)
    assert (model[0].weight == 2).all()
    init.ones_(model[0].bias)
    init.zeros_(model[0].weight)
    np.testing.assert_array_equal(model(np.ones((1, 2), np.float32)).data, 1)


def test_a_shared_module_is_one_child_in_two_places():
    tanh, layer = nn.Tanh(), nn.Linear(1, 1)
    model = nn.Sequential(tanh, layer, tanh)
    assert list(model.children()) == [tanh, layer]
    assert [name for name, _ in model.named_children()] == ["0", "1"]
    assert len(model) == 3
    assert list(model) == [tanh, layer, tanh]
    assert model[-1] is tanh
    assert len(model[1:]) == 2
    assert "(2): Tanh()" in repr(model)


def test_gradients_are_forgotten_or_set_to_0():
    layer = nn.Linear(2, 1)
    layer(np.ones((1, 2), np.float32)).sum().backward()
    layer.bias.grad = None
    layer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(layer.weight.grad, 0)
    assert layer.bias.grad is None
    layer.zero_grad()
    assert layer.weight.grad is None


def test_layers_take_lists_and_pytorchs_inplace():
    rows = [[1.0, -2.0], [3.0, -4.0]]
    x = Tensor(rows)
    assert nn.Flatten()([rows]).shape == (1, 4)
    np.testing.assert_allclose(nn.BatchNorm1d(2)(rows).data, [[-1, 1], [1, -1]], atol=1e-4)
    assert nn.MultiheadAttention(2, 1, rng=0)(rows, rows, rows)[0].shape == (2, 2)
    layers = [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, lambda inplace: nn.Dropout(0.5, inplace)]
    for layer in layers:
        assert layer(inplace=True)(x)[0, 0] != -2
        np.testing.assert_array_equal(x.data, rows)
    with pytest.raises(TypeError):  # it would be a seed, and drop the same numbers every time
        F.dropout(x, 0.5, True, True)
    assert init.calculate_gain("relu", None) == np.sqrt(2)
