"""Exercises of lesson 05: convolution, pooling, and the arithmetic of their shapes."""

import numpy as np

from dlcourse.exercises import Mistake, Question, code


def _layer(rng):
    c_in, c_out, k, h, w = rng.integers([2, 4, 3, 10, 20], [4, 9, 6, 20, 30])
    return tuple(int(v) for v in (c_in, c_out, k, h, w))


@code(
    "Count the parameters",
    difficulty=1,
    minutes=4,
    inputs=_layer,
    hints=(
        "One kernel has a weight for each channel and each place of the window, and one bias.",
        "There are c_out kernels. Ask yourself where the size of the image comes in.",
    ),
    mistakes=(
        Mistake(
            "no bias",
            "Each of the c_out kernels has a bias, too.",
            lambda c_in, c_out, k, h, w: c_out * c_in * k * k,
        ),
        Mistake(
            "one bias for all",
            "Each of the c_out kernels has a bias of its own.",
            lambda c_in, c_out, k, h, w: c_out * c_in * k * k + 1,
        ),
        Mistake(
            "a bias for each channel",
            "A kernel has one bias, however many channels it sees: their sums are added first.",
            lambda c_in, c_out, k, h, w: c_out * c_in * (k * k + 1),
        ),
        Mistake(
            "kernels without depth",
            "A kernel sees all c_in channels, with weights of its own for each of them.",
            lambda c_in, c_out, k, h, w: c_out * (k * k + 1),
        ),
        Mistake(
            "one for each place",
            "The same kernel serves at every place of the image: that is weight sharing. h and w "
            "do not come in.",
            lambda c_in, c_out, k, h, w: c_out * (c_in * k * k + 1) * h * w,
        ),
        Mistake(
            "a dense layer",
            "This is what a dense layer would need, which has a weight from each pixel to each "
            "output.",
            lambda c_in, c_out, k, h, w: (c_in * h * w + 1) * c_out * h * w,
        ),
    ),
)
def count_parameters(c_in, c_out, k, h, w):
    """Return how many parameters a convolution has, weights and biases.

    It maps `c_in` channels of `h` × `w` pixels to `c_out` channels of the same size, with kernels
    of `k` × `k` pixels that move one pixel at a time. (Zeros around the image keep its size.)
    """
    return c_out * (c_in * k * k + 1)


def _sizes(rng):
    n, k, s, p, d = rng.integers([20, 2, 2, 1, 2], [40, 6, 6, 5, 6])
    return tuple(int(v) for v in (n, k, s, p, d))


@code(
    "How large is the output?",
    difficulty=1,
    minutes=6,
    inputs=_sizes,
    hints=(
        "With dilation d the kernel covers d · (k − 1) + 1 pixels; with d = 1 that is k.",
        "Padding adds p pixels at both ends: the window moves within n + 2p pixels.",
        "It can move on by n + 2p − covered pixels, in whole steps of s: use //. And the first "
        "place counts, too: + 1.",
    ),
    mistakes=(
        Mistake(
            "no dilation",
            "A dilated kernel covers d · (k − 1) + 1 pixels, not k.",
            lambda n, k, s, p, d: (n + 2 * p - k) // s + 1,
        ),
        Mistake(
            "dilation times k",
            "Between k elements there are k − 1 gaps, so they cover d · (k − 1) + 1 pixels; "
            "d · k is too many.",
            lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
        ),
        Mistake(
            "the kernel is a pixel short",
            "d · (k − 1) are the steps from its first element to its last; with the first itself "
            "it covers one pixel more.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1,
        ),
        Mistake(
            "padding on one side",
            "Padding stands at both ends: n + 2p.",
            lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        ),
        Mistake(
            "the first place is missing",
            "You count the moves. The place where the window starts counts, too: + 1.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s,
        ),
        Mistake(
            "rounded up",
            "Where the window does not fit any more it is not placed: round down, with //.",
            lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1,
        ),
        Mistake(
            "not rounded",
            "A size is a whole number: divide with //, which rounds down.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1,
        ),
        Mistake(
            "no stride",
            "With stride s the window moves by s pixels at a time: divide by s, rounding down.",
            lambda n, k, s, p, d: n + 2 * p - d * (k - 1),
        ),
    ),
)
def output_size(n, k, s, p, d):
    """Return how many places a window has along one axis, as a whole number.

    The axis is `n` pixels long; the kernel has `k` elements, moves by stride `s`, has padding `p`
    at both ends, and dilation `d`.
    """
    covered = d * (k - 1) + 1
    return (n + 2 * p - covered) // s + 1


def _image_and_kernels(rng):
    c, o, kh, kw = rng.integers(2, 4), rng.integers(2, 4), *rng.permutation([2, 3])
    h, w = rng.integers(5, 7), rng.integers(7, 9)
    x, kernels = rng.normal(size=(c, h, w)), rng.normal(size=(o, c, kh, kw))
    return x, kernels, rng.normal(size=o)


def _wrong_convolve(x, w, b, *, flip=False, bias=1, channels=slice(None), short=0, last=False):
    """Convolve with one thing wrong."""
    if flip:
        w = w[:, :, ::-1, ::-1]
    (n_out, _, kh, kw), (_, H, W) = w.shape, x.shape
    out = np.zeros((n_out, H - kh + 1 - short, W - kw + 1 - short))
    for o, i, j in np.ndindex(*out.shape):
        products = (x[:, i : i + kh, j : j + kw] * w[o])[channels]
        out[o, i, j] = (products[-1] if last else products).sum() + bias * b[o]
    return out


@code(
    "Convolution by loops",
    difficulty=2,
    minutes=12,
    inputs=_image_and_kernels,
    hints=(
        "Three loops: over the kernels o, and over the places i, j of the output. There are "
        "H − kh + 1 places downwards and W − kw + 1 to the right.",
        "What kernel o sees at i, j is x[:, i : i + kh, j : j + kw], of shape (C, kh, kw): the "
        "same shape as w[o].",
        "Multiply the two number by number, add everything up (over the channels, too), add b[o].",
    ),
    mistakes=(
        Mistake(
            "the kernel is flipped",
            "This is the convolution of mathematics, which turns the kernel upside down and left "
            "to right. Networks do not: multiply x[:, i + a, j + c] by w[o, :, a, c].",
            lambda x, w, b: _wrong_convolve(x, w, b, flip=True),
        ),
        Mistake(
            "no bias",
            "Each output channel has a bias of its own: add b[o] to every place of it.",
            lambda x, w, b: _wrong_convolve(x, w, b, bias=0),
        ),
        Mistake(
            "the bias once for each channel",
            "Inside the loop over the channels b[o] is added once for each. Add it to their sum.",
            lambda x, w, b: _wrong_convolve(x, w, b, bias=len(x)),
        ),
        Mistake(
            "one channel only",
            "A kernel has one layer of weights for each channel of x, and their sums are added. "
            "You use the first one alone.",
            lambda x, w, b: _wrong_convolve(x, w, b, channels=slice(1)),
        ),
        Mistake(
            "the channels are not added",
            "One kernel gives one map: the sums over its channels are added up.",
            lambda x, w, b: np.stack(
                [_wrong_convolve(x, w, b, channels=slice(c, c + 1)) for c in range(len(x))], axis=1
            ),
        ),
        Mistake(
            "= for +=",
            "Each channel overwrites what the one before it gave. Add them up.",
            lambda x, w, b: _wrong_convolve(x, w, b, last=True),
        ),
        Mistake(
            "the last place is missing",
            "The window fits H − kh + 1 times, not H − kh times: count it for H = kh.",
            lambda x, w, b: _wrong_convolve(x, w, b, short=1),
        ),
        Mistake(
            "the mean for the sum",
            "A neuron adds its products up. A mean would divide by their number.",
            lambda x, w, b: (_wrong_convolve(x, w, b, bias=0) / w[0].size) + b[:, None, None],
        ),
    ),
)
def convolve(x, w, b):
    """Slide O kernels over an image of C channels; return an array of shape (O, OH, OW).

    `x` has the shape (C, H, W), `w` (O, C, kh, kw), `b` (O,). Without padding and with stride 1,
    so OH = H − kh + 1 and OW = W − kw + 1. At each place: the sum of the products over all
    channels and the whole window, plus the kernel's bias. Loops are welcome.
    """
    (n_out, _, kh, kw), (_, H, W) = w.shape, x.shape
    out = np.zeros((n_out, H - kh + 1, W - kw + 1))
    for o, i, j in np.ndindex(*out.shape):
        out[o, i, j] = (x[:, i : i + kh, j : j + kw] * w[o]).sum() + b[o]
    return out


def _image(rng):
    h, w = rng.permutation([5, 6, 7])[:2]
    return rng.normal(size=(h, w)), int(rng.integers(2, 4))


def _patches(x, k, stride=1, short=0):
    places = [
        (i, j)
        for i in range(0, x.shape[0] - k + 1 - short, stride)
        for j in range(0, x.shape[1] - k + 1 - short, stride)
    ]
    return np.stack([x[i : i + k, j : j + k] for i, j in places])


@code(
    "Every window in a row",
    difficulty=2,
    minutes=10,
    inputs=_image,
    hints=(
        "The first row is x[:k, :k].ravel(), the second x[:k, 1 : k + 1].ravel().",
        "Two loops, over i and inside it over j, collect the rows in a list; np.stack makes an "
        "array of it.",
        "Without loops: np.lib.stride_tricks.sliding_window_view(x, (k, k)) has the shape "
        "(OH, OW, k, k); reshape it to (OH · OW, k · k).",
    ),
    mistakes=(
        Mistake(
            "transposed",
            "Your windows are the columns. Here each is a row: shape (OH · OW, k · k).",
            lambda x, k: _patches(x, k).reshape(-1, k * k).T,
        ),
        Mistake(
            "windows side by side",
            "Windows overlap: the next one begins one pixel further, not k pixels.",
            lambda x, k: _patches(x, k, stride=k).reshape(-1, k * k),
        ),
        Mistake(
            "the last place is missing",
            "There are H − k + 1 places downwards and W − k + 1 to the right.",
            lambda x, k: _patches(x, k, short=1).reshape(-1, k * k),
        ),
        Mistake(
            "column by column",
            "You go down the image first. Go along the first row of places, then the second, as "
            "one reads.",
            lambda x, k: _patches(x.T, k).swapaxes(1, 2).reshape(-1, k * k),
        ),
        Mistake(
            "each window is transposed",
            "Inside a window go row by row, too: x[i : i + k, j : j + k].ravel().",
            lambda x, k: _patches(x, k).swapaxes(1, 2).reshape(-1, k * k),
        ),
        Mistake(
            "not laid out flat",
            "The windows are right, but each is still a square. Lay it out: reshape(-1, k * k).",
            lambda x, k: _patches(x, k),
        ),
    ),
)
def windows(x, k):
    """Return all k × k windows of an image as the rows of one matrix.

    `x` has the shape (H, W). The result has the shape (OH · OW, k · k), where OH = H − k + 1 and
    OW = W − k + 1: one row for each place, in reading order, each window laid out row by row.
    Then `windows(x, k) @ kernel.ravel()` is the whole convolution.
    """
    view = np.lib.stride_tricks.sliding_window_view(x, (k, k))  # (OH, OW, k, k)
    return view.reshape(-1, k * k)


def _maps(rng):
    k = int(rng.integers(2, 4))
    c, h, w = rng.integers([2, 2 * k, 3 * k], [4, 3 * k, 4 * k])
    return rng.normal(size=(c, h, w)) - 0.5, k


def _pooled(x, k, reduce, stride=None):
    _, h, w = x.shape
    stride = stride or k
    return np.stack(
        [
            [reduce(x[:, i : i + k, j : j + k], axis=(1, 2)) for j in range(0, w - k + 1, stride)]
            for i in range(0, h - k + 1, stride)
        ]
    ).transpose(2, 0, 1)


def _with_the_rest(x, k):
    _, h, w = x.shape
    x = np.pad(x, ((0, 0), (0, -h % k), (0, -w % k)), constant_values=-np.inf)
    return _pooled(x, k, np.max)


def _mixed_up(x, k):
    c, h, w = x.shape
    x = x[:, : h // k * k, : w // k * k]
    return x.reshape(c, k, h // k, k, w // k).max(axis=(1, 3))


@code(
    "Max pooling",
    difficulty=2,
    minutes=8,
    inputs=_maps,
    hints=(
        "Place i, j of the output sees x[:, k·i : k·i + k, k·j : k·j + k].",
        ".max(axis=(1, 2)) takes the largest over both axes of the window, for each channel.",
        "Without loops: cut what is left over, reshape to (C, H // k, k, W // k, k), and take "
        "the maximum over axes 2 and 4.",
    ),
    mistakes=(
        Mistake(
            "the mean",
            "This is average pooling. Take the largest.",
            lambda x, k: _pooled(x, k, np.mean),
        ),
        Mistake(
            "windows overlap",
            "Pooling windows lie side by side here: the next one begins k pixels further.",
            lambda x, k: _pooled(x, k, np.max, stride=1),
        ),
        Mistake(
            "a maximum that starts from 0",
            "If all numbers of a window are negative, the largest is negative. Do not start from "
            "0 (or from an array of zeros), but from the window's own numbers.",
            lambda x, k: np.maximum(_pooled(x, k, np.max), 0),
        ),
        Mistake(
            "what is left over counts",
            "There are only H // k · W // k whole windows. Rows and columns beyond them are left "
            "out.",
            _with_the_rest,
        ),
        Mistake(
            "over all channels",
            "Each channel is pooled for itself: the output has as many channels as x.",
            lambda x, k: _pooled(x, k, np.max).max(axis=0),
        ),
        Mistake(
            "the axes are mixed up",
            "(C, k, H // k, …) takes every (H // k)-th row. A window's rows are neighbours: "
            "reshape to (C, H // k, k, W // k, k).",
            _mixed_up,
        ),
        Mistake(
            "the smallest",
            "This is the smallest of each window. Take the largest.",
            lambda x, k: _pooled(x, k, np.min),
        ),
    ),
)
def max_pool(x, k):
    """Return the largest number of each k × k window: shape (C, H // k, W // k).

    `x` has the shape (C, H, W). The windows lie side by side; rows and columns that are left over
    at the end do not count.
    """
    C, H, W = x.shape
    x = x[:, : H // k * k, : W // k * k]
    return x.reshape(C, H // k, k, W // k, k).max(axis=(2, 4))


def _layers(rng):
    depth = rng.integers(3, 6)
    layers = [(int(k), int(s)) for k, s in rng.integers([2, 1], [6, 4], size=(depth, 2))]
    return layers, int(rng.integers(1, 6))


def _wrong_field(layers, unit, *, size=1, jump_first=False, strided=True, add_k=False):
    jump = 1
    for k, s in layers:
        if jump_first:
            jump *= s
        size += (k if add_k else k - 1) * jump
        if strided and not jump_first:
            jump *= s
    return unit * jump, unit * jump + size - 1


def _field_at(first):
    """Make a wrong answer whose field has the right size and begins at first(unit, jump, size)."""

    def answer(layers, unit):
        start, last = _wrong_field(layers, unit)
        size = last - start + 1
        start = first(unit, start // unit, size)
        return start, start + size - 1

    return answer


@code(
    "Which pixels does a unit see?",
    difficulty=2,
    minutes=12,
    inputs=_layers,
    hints=(
        "How many: start from one pixel; a layer adds (k − 1) · jump, and then jump *= s.",
        "From where: neighbouring units begin to see `jump` pixels apart, and unit 0 from pixel 0.",
        "Or go backwards. Units a to b of a layer see the units a · s to b · s + k − 1 of the one "
        "before. Start with a = b = unit at the last layer; end at the pixels.",
    ),
    mistakes=(
        Mistake(
            "strides do not count",
            "After a layer with stride s, neighbouring units are s times as far apart on the "
            "image, so what follows reaches s times as far.",
            lambda layers, unit: _wrong_field(layers, unit, strided=False),
        ),
        Mistake(
            "the stride comes too early",
            "A layer's own stride moves its units apart, but not what one of them sees: multiply "
            "the jump after adding to the size.",
            lambda layers, unit: _wrong_field(layers, unit, jump_first=True),
        ),
        Mistake(
            "k for k − 1",
            "A window of k has k − 1 neighbours beside the one it starts from.",
            lambda layers, unit: _wrong_field(layers, unit, add_k=True),
        ),
        Mistake(
            "one pixel too many",
            "From pixel a on, r pixels end at a + r − 1, which is the last one that is seen.",
            lambda layers, unit: _wrong_field(layers, unit, size=2),
        ),
        Mistake(
            "every unit sees from pixel 0",
            "That is unit 0. What a unit sees begins `jump` pixels after what the one before it "
            "sees.",
            _field_at(lambda unit, jump, size: 0),
        ),
        Mistake(
            "the unit's number for a pixel's",
            "Neighbouring units are `jump` pixels apart on the image: unit number u begins at "
            "pixel u · jump.",
            _field_at(lambda unit, jump, size: unit),
        ),
        Mistake(
            "a field around its middle",
            "Without padding, unit 0 sees from pixel 0 on: u · jump is where the field begins, not "
            "its middle.",
            _field_at(lambda unit, jump, size: unit * jump - size // 2),
        ),
    ),
)
def receptive_field(layers, unit):
    """Return the first and the last pixel, along one axis, that a unit of the last layer sees.

    `layers` is a list of pairs (k, s): kernel size and stride of each convolution or pooling, from
    the input on. There is no padding and no dilation, and the image is large enough. Pixels and
    units are numbered from 0; `unit` is the unit's number. `return first, last`.
    """
    size = jump = 1
    for k, s in layers:
        size += (k - 1) * jump
        jump *= s
    return unit * jump, unit * jump + size - 1


quiz = (
    Question(
        "A 5 × 5 convolution from 3 to 8 channels is applied to photographs twice as wide and "
        "twice as high as before. What happens to the number of its parameters?",
        {
            "It grows by a factor of 4.": "The work does, and the output. The kernels are the "
            "same ones at every place, however many places there are.",
            "It stays at 608.": "8 · (3 · 5 · 5 + 1) = 608, whatever the image's size: that is "
            "weight sharing.",
            "It stays at 200.": "It stays, but each kernel sees all 3 channels and has a bias: "
            "8 · (3 · 5 · 5 + 1).",
        },
        "b",
    ),
    Question(
        "An image moves three pixels to the right. What does a convolution with stride 1 do, away "
        "from the borders?",
        {
            "Its feature maps stay the same.": "That would be invariance. Each place computes what "
            "it sees, and what it sees has moved.",
            "Its feature maps move three pixels to the right.": "Equivariance: first shift and "
            "then convolve is the same as first convolve and then shift.",
            "Its feature maps change in ways that nobody can foresee.": "That holds for a dense "
            "layer, whose weights differ from place to place.",
        },
        "b",
    ),
    Question(
        "Two 3 × 3 convolutions with nothing between them: what can they do that a single 5 × 5 "
        "convolution cannot?",
        {
            "Nothing: together they are one 5 × 5 convolution.": "A linear function of a linear "
            "function is linear. Put a ReLU between them, and they can do more.",
            "They see further.": "Both see 5 × 5 pixels.",
            "They find features of features.": "Only with a nonlinearity between them, such as "
            "ReLU.",
        },
        "a",
    ),
    Question(
        "A network with batch norm is right on 98 of 100 images when asked in one batch, but on "
        "far fewer when asked in batches of two. What was forgotten?",
        {
            "model.eval()": "In train mode batch norm uses the mean and the spread of the batch "
            "at hand, and two images are a poor batch. In eval mode it uses running averages.",
            "more training": "It is the same network. What differs is how it is asked.",
            "padding": "Padding has nothing to do with how many images are asked at once.",
        },
        "a",
    ),
)
