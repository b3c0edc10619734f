"""Exercises of lesson 09: carrying weights from library to library, and training on many machines.

None of them needs PyTorch.
"""

import numpy as np

from dlcourse.exercises import Mistake, Question, code


def _shards(rng):
    n, world = int(rng.integers(8, 30)), int(rng.integers(3, 7))
    return n, int(rng.integers(world)), world


@code(
    "Each process its share",
    difficulty=1,
    minutes=5,
    inputs=_shards,
    hints=(
        "With world = 3: rank 0 takes 0, 3, 6, …, rank 1 takes 1, 4, 7, …",
        "np.arange(start, stop, step) counts in steps.",
        "Where does rank 1 begin, and how long are its steps?",
    ),
    mistakes=(
        Mistake(
            "blocks for strides",
            "These are blocks of neighbours: also a fair way to share, but not the one asked for. "
            "Count in steps of `world`, as PyTorch's DistributedSampler does.",
            lambda n, rank, world: np.array_split(np.arange(n), world)[rank],
        ),
        Mistake(
            "everyone takes everything",
            "Each process would do the whole work, and all the same. Take every `world`-th only.",
            lambda n, rank, world: np.arange(n),
        ),
        Mistake(
            "everyone takes the same",
            "All begin at 0, so they all see the same examples. Begin at `rank`.",
            lambda n, rank, world: np.arange(0, n, world),
        ),
        Mistake(
            "rank and world swapped",
            "The steps are as long as there are processes, and the rank says where to begin.",
            lambda n, rank, world: np.arange(world, n, rank),
        ),
        Mistake(
            "the remainder is lost",
            "Where `world` does not divide n, some examples are taken by nobody. Here every one "
            "must be taken, even if some processes get one more.",
            lambda n, rank, world: np.arange(rank, n - n % world, world),
        ),
    ),
)
def share(n, rank, world):
    """Return the numbers of the examples that process `rank` takes: an array of integers.

    There are `n` examples, 0 to n − 1, and `world` processes with ranks 0 to world − 1. Rank 0
    takes the first, rank 1 the second and so on, and then it is rank 0's turn again. Together they
    take each example exactly once.
    """
    return np.arange(rank, n, world)


def _gradients(rng):
    world, d = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    sizes = rng.permutation(np.arange(1, 20))[:world]
    return rng.normal(size=(world, d)), sizes


@code(
    "All-reduce with unequal shares",
    difficulty=2,
    minutes=8,
    inputs=_gradients,
    hints=(
        "A mean is a sum divided by how many. Multiplied by its size, each row becomes the sum "
        "over its examples again.",
        "sizes[:, None] has the shape (R, 1): it scales each row of the gradients.",
        "Add the rows up, and divide once by the number of all examples, sizes.sum().",
    ),
    mistakes=(
        Mistake(
            "the plain mean",
            "This counts every process the same. With 24 and 8 examples, each one of the 8 would "
            "count three times as much as each of the 24.",
            lambda gradients, sizes: gradients.mean(axis=0),
        ),
        Mistake(
            "the sum",
            "A sum grows with the number of processes, as if the learning rate did. Wanted is the "
            "mean over all examples.",
            lambda gradients, sizes: gradients.sum(axis=0),
        ),
        Mistake(
            "not divided",
            "This is the sum over all examples. Divide it by how many they are.",
            lambda gradients, sizes: sizes @ gradients,
        ),
        Mistake(
            "divided by the processes",
            "You weighted by the sizes, and then divided by the number of processes. The weights "
            "add up to the number of examples: divide by that.",
            lambda gradients, sizes: sizes @ gradients / len(sizes),
        ),
        Mistake(
            "divided by the size",
            "The rows are means already: they were divided by their sizes. Multiply, to undo it.",
            lambda gradients, sizes: (gradients / sizes[:, None]).sum(axis=0),
        ),
    ),
)
def all_reduce_mean(gradients, sizes):
    """Return the gradient of the mean loss over all examples of all processes, of shape (D,).

    `gradients` has the shape (R, D): row r is the gradient of the mean loss over the examples of
    process r. `sizes`, of shape (R,), says how many examples each had.
    """
    return sizes @ gradients / sizes.sum()


def _micro_batches(rng):
    parts, size, d = int(rng.integers(2, 5)), int(rng.integers(2, 5)), int(rng.integers(2, 4))
    n = parts * size
    return rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d), parts


def _accumulate(x, t, w, parts, *, forget=False, scale=True, own=True):
    grad = np.zeros_like(w)
    for x_i, t_i in zip(np.split(x, parts), np.split(t, parts), strict=True):
        part = 2 * x_i.T @ (x_i @ w - t_i) / (len(x_i) if own else 1)
        part = part / parts if scale else part
        grad = part if forget else grad + part
    return grad


@code(
    "A big batch in small pieces",
    difficulty=2,
    minutes=10,
    inputs=_micro_batches,
    hints=(
        "np.split(x, parts) gives the pieces; go through those of x and t together with zip.",
        "The gradient of a piece's mean squared error is 2 * x_i.T @ (x_i @ w - t_i) / len(x_i).",
        "Add each piece's gradient to what you have, divided by the number of pieces.",
    ),
    mistakes=(
        Mistake(
            "not divided by the pieces",
            "The pieces' means are added up, so the result is `parts` times too large: as if the "
            "learning rate were. In PyTorch: (loss / parts).backward().",
            lambda x, t, w, parts: _accumulate(x, t, w, parts, scale=False),
        ),
        Mistake(
            "= for +=",
            "Only the last piece is left. Each piece's gradient is added to the others, which is "
            "why .grad accumulates until zero_grad().",
            lambda x, t, w, parts: _accumulate(x, t, w, parts, forget=True),
        ),
        Mistake(
            "sums for means",
            "The loss is a mean: each piece's gradient must be divided by its number of examples.",
            lambda x, t, w, parts: _accumulate(x, t, w, parts, own=False),
        ),
        Mistake(
            "no mean at all",
            "This is the sum over all examples. The loss is their mean: divide by their number.",
            lambda x, t, w, parts: 2 * x.T @ (x @ w - t),
        ),
        Mistake(
            "divided twice",
            "Each piece's gradient must be divided by its own number of examples and by the number "
            "of pieces, which together is N. You divided by N and by the pieces as well.",
            lambda x, t, w, parts: _accumulate(x, t, w, parts) / parts,
        ),
        Mistake(
            "the factor 2",
            "The derivative of a square is twice what stands in it: the 2 is missing.",
            lambda x, t, w, parts: _accumulate(x, t, w, parts) / 2,
        ),
        Mistake(
            "the sign",
            "This points downhill. The gradient points uphill: the error is x·w − t.",
            lambda x, t, w, parts: -_accumulate(x, t, w, parts),
        ),
    ),
)
def accumulate(x, t, w, parts):
    """Return the gradient of the mean squared error with respect to `w`, piece by piece.

    The loss is the mean of (x·w − t)² over all N rows of `x`, of shape (N, D); `t` has the shape
    (N,) and `w` (D,). Suppose that the memory holds only N / `parts` rows at a time: cut `x` and
    `t` into `parts` equal pieces, compute each piece's own mean gradient, and combine them. The
    result, of shape (D,), must be that of the whole batch.
    """
    grad = np.zeros_like(w)
    for x_i, t_i in zip(np.split(x, parts), np.split(t, parts), strict=True):
        grad += 2 * x_i.T @ (x_i @ w - t_i) / len(x_i) / parts
    return grad


def _conv_kernel(rng):
    kh, kw, c_in, c_out = rng.permutation([2, 3, 4, 5, 6])[:4]
    return (rng.normal(size=(kh, kw, c_in, c_out)),)


@code(
    "A convolution's weights for PyTorch",
    difficulty=2,
    minutes=5,
    inputs=_conv_kernel,
    hints=(
        "Name the four axes of what you have, (kH, kW, in, out), and of what you want, "
        "(out, in, kH, kW). No number changes, only where it stands.",
        "np.transpose(kernel, axes) takes, for each new axis in turn, the number of the old one. "
        "The old one that must come first is 3.",
        "out is the old axis 3, in is 2, then kH is 0 and kW is 1.",
    ),
    mistakes=(
        Mistake(
            "every axis turned round",
            ".T reverses all four axes: (out, in, kW, kH). Each filter is now mirrored at its "
            "diagonal. Rows and columns must stay in their order.",
            lambda kernel: kernel.T,
        ),
        Mistake(
            "reshape for transpose",
            "reshape gives the right shape and leaves the numbers in the order of memory: every "
            "filter is a mixture of others. Axes change places by transpose alone.",
            lambda kernel: kernel.reshape(kernel.shape[3], kernel.shape[2], *kernel.shape[:2]),
        ),
        Mistake(
            "in before out",
            "This is (in, out, kH, kW). PyTorch's weight begins with the outputs, as in Linear.",
            lambda kernel: kernel.transpose(2, 3, 0, 1),
        ),
        Mistake(
            "images' order, not filters'",
            "You moved the channels as in an image, NHWC to NCHW: (kH, out, kW, in). A kernel has "
            "no N: its axes are (kH, kW, in, out).",
            lambda kernel: kernel.transpose(0, 3, 1, 2),
        ),
    ),
)
def conv_weight(kernel):
    """Return a convolution's kernel from Keras or Flax as PyTorch's `weight`.

    `kernel` has the shape (kH, kW, in, out); the result has (out, in, kH, kW).
    """
    return kernel.transpose(3, 2, 0, 1)


def _gru_kernel(rng):
    d, h = rng.permutation([2, 3, 4, 5])[:2]
    return (rng.normal(size=(d, 3 * h)),)


@code(
    "The gates of a GRU",
    difficulty=2,
    minutes=8,
    inputs=_gru_kernel,
    hints=(
        "np.split(kernel, 3, axis=1) gives the three gates' blocks, each (D, H).",
        "Keras has them in the order z, r, h. What it calls h is PyTorch's n; only the first two "
        "must change places.",
        "Put r, z, n together again along the same axis with np.concatenate, then transpose.",
    ),
    mistakes=(
        Mistake(
            "the gates' order",
            "Transposed, but z still stands where PyTorch expects r. The shapes fit, so it would "
            "load without a word, and the network would reset where it should update.",
            lambda kernel: kernel.T,
        ),
        Mistake(
            "not turned",
            "The gates are in order now. PyTorch's weight_ih_l0 is (3·H, D): transpose.",
            lambda kernel: np.concatenate(
                [np.split(kernel, 3, axis=1)[i] for i in (1, 0, 2)], axis=1
            ),
        ),
        Mistake(
            "all gates turned round",
            "You reversed all three. Keras' h, the candidate, is PyTorch's n, and stays last.",
            lambda kernel: np.concatenate(np.split(kernel, 3, axis=1)[::-1], axis=1).T,
        ),
        Mistake(
            "the candidate first",
            "This is r, h, z or h, z, r. Wanted is r, z, n: the first two change places, no more.",
            lambda kernel: (
                np.concatenate([np.split(kernel, 3, axis=1)[i] for i in (1, 2, 0)], axis=1).T
            ),
        ),
        Mistake(
            "the candidate first",
            "This is r, h, z or h, z, r. Wanted is r, z, n: the first two change places, no more.",
            lambda kernel: (
                np.concatenate([np.split(kernel, 3, axis=1)[i] for i in (2, 0, 1)], axis=1).T
            ),
        ),
    ),
)
def gru_weight(kernel):
    """Return a GRU's kernel from Keras as PyTorch's `weight_ih_l0`.

    `kernel` has the shape (D, 3·H): the columns of the update gate z, then of the reset gate r,
    then of the candidate h. `weight_ih_l0` has the shape (3·H, D): rows of r, of z, and of n, which
    is PyTorch's name for the candidate.
    """
    z, r, n = np.split(kernel, 3, axis=1)
    return np.concatenate([r, z, n], axis=1).T


def _flattened(rng):
    h, w, c, out = (int(n) for n in rng.permutation([2, 3, 4, 5, 6])[:4])
    return rng.normal(size=(h * w * c, out)), (h, w, c)


@code(
    "The layer after Flatten",
    difficulty=3,
    minutes=10,
    inputs=_flattened,
    hints=(
        "kernel.reshape(H, W, C, out) undoes the flattening: now each row knows its place in the "
        "image.",
        "PyTorch flattens (C, H, W), so bring the axes into the order (out, C, H, W).",
        "After transpose(3, 2, 0, 1), flatten the last three axes again: reshape(out, -1).",
    ),
    mistakes=(
        Mistake(
            "the transpose alone",
            "The shape is right, and the columns still stand in the order (H, W, C): each weight "
            "now meets another pixel's value. Nothing would warn you.",
            lambda kernel, shape: kernel.T,
        ),
        Mistake(
            "height and width swapped",
            "Full reversal, .T of the four axes, gives (out, C, W, H). Rows must come before "
            "columns.",
            lambda kernel, shape: kernel.reshape(*shape, -1).T.reshape(kernel.shape[1], -1),
        ),
        Mistake(
            "not turned",
            "The order of the pixels is right now. But PyTorch's weight is (out, in).",
            lambda kernel, shape: (
                kernel.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            ),
        ),
    ),
)
def flatten_weight(kernel, shape):
    """Return, as PyTorch's `weight`, a dense kernel that stands after a Flatten.

    `shape` is (H, W, C), what the images have before they are flattened in Keras. `kernel` has the
    shape (H·W·C, out): its rows go through an image row by row, and at each pixel through the
    channels. PyTorch flattens (C, H, W) instead. Return the weight (out, C·H·W) with which it
    computes the same.
    """
    h, w, c = shape
    weight = kernel.reshape(h, w, c, -1).transpose(3, 2, 0, 1)  # (out, C, H, W)
    return weight.reshape(len(weight), -1)


quiz = (
    Question(
        "You carried weights to another library. All shapes fit, nothing complained. What shows "
        "that it worked?",
        {
            "That it loaded": "A transposed square matrix, gates in another order and another "
            "GELU load just as well.",
            "That the accuracy is about the same": "Small differences in an activation or a norm "
            "hide in an accuracy, and hurt later.",
            "That both give the same outputs on the same inputs, up to rounding": "Yes. Compare "
            "one batch, in float64 if you can; where they differ, compare layer by layer.",
        },
        "c",
    ),
    Question(
        "Four processes train with DistributedDataParallel, each with batches of 32. Which step by "
        "a single process equals one of theirs?",
        {
            "One with batches of 32 and a fourth of the rate": "Averaging keeps the size of the "
            "gradient; it only takes more examples into account.",
            "One with batches of 128": "Yes: the mean of four equal shares' means is the mean "
            "over all 128 examples.",
            "Four in a row with batches of 32": "All four gradients are taken at the same weights, "
            "and one step follows.",
        },
        "b",
    ),
    Question(
        "What do the processes send each other in every step?",
        {
            "Their examples": "Each process reads its own share; examples never travel.",
            "Their gradients": "Yes, while the backward pass is still running. From equal weights "
            "and equal averaged gradients each takes the same step by itself.",
            "Their weights": "Once, at the start. Afterwards they stay equal without being sent.",
        },
        "b",
    ),
    Question(
        "Which layer makes data-parallel training differ from one process with the whole batch?",
        {
            "Batch norm": "Yes: its means and variances are those of each process's own share, "
            "unless they are synchronised as well.",
            "Layer norm": "It looks at one example at a time, wherever that is.",
            "Convolution": "Each image is filtered by itself.",
        },
        "a",
    ),
)
