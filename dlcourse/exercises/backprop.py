"""Exercises of lesson 03: gradients by hand, through layers, and through any graph."""

import numpy as np

from dlcourse.exercises import Mistake, Question, code


def _neuron(rng):
    d = rng.integers(2, 5)
    return rng.normal(size=d), rng.normal(size=d), float(rng.normal()), float(rng.normal())


def _wrong_neuron(x, w, b, t, *, factor=2.0, gate=True, sign=1.0, slope_is_value=False):
    """Go back through one neuron with one thing wrong."""
    z = w @ x + b
    y = max(z, 0.0)
    dz = sign * factor * (y - t)
    if gate:
        dz *= y if slope_is_value else float(z > 0)
    return dz * x, float(dz)


@code(
    "One neuron, there and back",
    difficulty=1,
    minutes=6,
    inputs=_neuron,
    hints=(
        "Forward first: z = w @ x + b, then y = max(z, 0.0).",
        "Back: what arrives at y is 2 (y − t). ReLU lets it through where z > 0 and stops it "
        "elsewhere; that gives dL/dz.",
        "The weights get dL/dz times x, an array; the bias gets dL/dz itself.",
    ),
    mistakes=(
        Mistake(
            "no ReLU",
            "On the way back you went past the ReLU. Where z is not positive it is flat: nothing "
            "gets through, and all gradients are 0.",
            lambda x, w, b, t: _wrong_neuron(x, w, b, t, gate=False),
        ),
        Mistake(
            "no 2",
            "The slope of (y − t)² is 2 (y − t). The 2 is missing.",
            lambda x, w, b, t: _wrong_neuron(x, w, b, t, factor=1.0),
        ),
        Mistake(
            "the sign",
            "When y is above t, a larger y makes the loss larger: the slope is 2 (y − t) and not "
            "2 (t − y).",
            lambda x, w, b, t: _wrong_neuron(x, w, b, t, sign=-1.0),
        ),
        Mistake(
            "the value of ReLU for its slope",
            "You multiply by y. The slope of ReLU is 1 where z > 0, and 0 elsewhere.",
            lambda x, w, b, t: _wrong_neuron(x, w, b, t, slope_is_value=True),
        ),
        Mistake(
            "no input",
            "Every weight gets the same from you. A weight is to blame as far as its input was "
            "on: multiply by x.",
            lambda x, w, b, t: (
                np.full(len(x), _wrong_neuron(x, w, b, t)[1]),
                _wrong_neuron(x, w, b, t)[1],
            ),
        ),
    ),
)
def neuron_gradients(x, w, b, t):
    """Return `(gw, gb)`: how fast the loss of a neuron grows with its weights and with its bias.

    The neuron answers y = ReLU(z) with z = w·x + b, its loss is L = (y − t)². `x` and `w` have the
    shape (D,), `b` and `t` are numbers; `gw` must have the shape (D,), and `gb` is a number.
    """
    z = w @ x + b
    y = max(z, 0.0)
    dy = 2 * (y - t)
    dz = dy * float(z > 0)
    return dz * x, float(dz)


def _lookup(rng):
    n = int(rng.integers(4, 8))
    index = rng.integers(0, n - 1, size=rng.integers(n, 12))  # some twice, and the last one never
    return rng.normal(size=len(index)), index, n


@code(
    "Looked up more than once",
    difficulty=2,
    minutes=8,
    inputs=_lookup,
    hints=(
        "Begin with np.zeros(n). Entries that were never looked up keep their 0.",
        "Go over g and index together: for g_k, i in zip(g, index): entry i receives g_k.",
        "It receives it in addition to what it has: grad[i] += g_k, inside the loop.",
    ),
    mistakes=(
        Mistake(
            "= for +=",
            "An entry that was looked up twice keeps only the last of its gradients. Add them up. "
            "(numpy's grad[index] += g does not: it reads all, adds, and writes all back, so that "
            "the last write wins. A loop or np.add.at does.)",
            lambda g, index, n: _assigned(g, index, n),
        ),
        Mistake(
            "mean for sum",
            "You take the mean over the uses of an entry. Each use changes the loss by itself, so "
            "the gradients are added.",
            lambda g, index, n: (
                np.bincount(index, g, n) / np.maximum(np.bincount(index, minlength=n), 1)
            ),
        ),
        Mistake(
            "how often, and not how much",
            "You count how often each entry was used. Each use brings its own number from g.",
            lambda g, index, n: np.bincount(index, minlength=n).astype(float),
        ),
        Mistake(
            "one gradient a use",
            "This is what arrives at y. Each entry of w must get the sum of what its own uses "
            "bring: an array of n numbers.",
            lambda g, index, n: g,
        ),
        Mistake(
            "entries at the end are missing",
            "An entry that was never looked up has the gradient 0, but it does have one: the "
            "result needs n numbers.",
            lambda g, index, n: np.bincount(index, g),
        ),
    ),
)
def lookup_backward(g, index, n):
    """Return the gradient of the loss by `w`, an array of n numbers, after `y = w[index]`.

    `index` holds K whole numbers from 0 to n − 1, some of them more than once. `g`, of the shape
    (K,), is the gradient of the loss by each number of y.
    """
    grad = np.zeros(n)
    for g_k, i in zip(g, index, strict=True):
        grad[i] += g_k
    return grad


def _assigned(g, index, n):
    grad = np.zeros(n)
    for g_k, i in zip(g, index, strict=True):
        grad[i] = g_k
    return grad


def _layer(rng):
    n, d, m = rng.permutation(np.arange(2, 8))[:3]  # all different, so that no shape fits by chance
    return rng.normal(size=(n, m)), rng.normal(size=(n, d)), rng.normal(size=(m, d))


@code(
    "Back through a layer",
    difficulty=2,
    minutes=8,
    inputs=_layer,
    hints=(
        "A gradient has the shape of what it belongs to: gx (N, D), gw (M, D), gb (M,).",
        "Which product of g (N, M) and w (M, D) gives (N, D)? Which of g and x gives (M, D)?",
        "gx = g @ w, gw = g.T @ x, and gb is the sum of g over the examples, axis 0.",
    ),
    mistakes=(
        Mistake(
            "gw is transposed",
            "x.T @ g has the shape (D, M), and the weights have (M, D): take g.T @ x.",
            lambda g, x, w: (g @ w, x.T @ g, g.sum(axis=0)),
        ),
        Mistake(
            "an unsummed bias",
            "The bias is used once for every example, so its gradient is the sum over the "
            "examples, of the shape (M,).",
            lambda g, x, w: (g @ w, g.T @ x, g),
        ),
        Mistake(
            "the bias is summed over the neurons",
            "Each neuron has its own bias. Sum over the examples, axis 0, and not over the "
            "neurons.",
            lambda g, x, w: (g @ w, g.T @ x, g.sum(axis=1)),
        ),
        Mistake(
            "1/N twice",
            "If the loss is a mean, the 1/N is in g already. A layer just adds up over the "
            "examples.",
            lambda g, x, w: (g @ w, g.T @ x / len(x), g.mean(axis=0)),
        ),
        Mistake(
            "w is transposed",
            "Forward it was w.T, so back it is w: g @ w, of the shape (N, M)(M, D) = (N, D).",
            lambda g, x, w: (g @ w.T, g.T @ x, g.sum(axis=0)),
        ),
        Mistake(
            "the input is forgotten",
            "The layer before needs a gradient, too. Return three: `return gx, gw, gb`.",
            lambda g, x, w: (g.T @ x, g.sum(axis=0)),
        ),
    ),
)
def linear_backward(g, x, w):
    """Return `(gx, gw, gb)`, the gradients by input, weights and biases of `y = x @ w.T + b`.

    `x` has the shape (N, D), `w` (M, D), b (M,). `g`, of the shape (N, M), is the gradient of the
    loss by y.
    """
    gx = g @ w
    gw = g.T @ x
    gb = g.sum(axis=0)
    return gx, gw, gb


def _broadcast(rng):
    a, n, m = (int(k) for k in rng.permutation(np.arange(2, 7))[:3])
    full, shape = [
        ((n, m), (1, m)),
        ((n, m), (m,)),
        ((n, m), (n, 1)),
        ((a, n, m), (n, 1)),
        ((a, n, m), (1, m)),
        ((n, m), (n, m)),
    ][rng.integers(6)]
    return rng.normal(size=full), shape


def _leading(g, shape):
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


def _stretched(shape):
    return tuple(i for i, n in enumerate(shape) if n == 1)


@code(
    "What was repeated is added up",
    difficulty=2,
    minutes=10,
    inputs=_broadcast,
    hints=(
        "There are two ways of repeating. numpy puts missing axes in front: (M,) is used as "
        "(N, M). And it stretches axes of length 1: (N, 1) is used as (N, M).",
        "In front: as long as g.ndim is larger than len(shape), sum over axis 0.",
        "Stretched: where shape has a 1, sum over that axis, with keepdims=True, so that the axis "
        "stays with length 1.",
    ),
    mistakes=(
        Mistake(
            "the unsummed broadcast",
            "You return g as it came. Its shape must become that of what it belongs to, by adding "
            "up over all that was repeated.",
            lambda g, shape: g,
        ),
        Mistake(
            "axes of length 1 are forgotten",
            "You add up over the axes that were put in front, but an axis of length 1 was "
            "repeated, too: sum over it with keepdims=True.",
            _leading,
        ),
        Mistake(
            "an axis is lost",
            "sum takes the axis away; keepdims=True leaves it with length 1, as shape wants it.",
            lambda g, shape: _leading(g, shape).sum(axis=_stretched(shape)),
        ),
        Mistake(
            "mean for sum",
            "You take the mean. Each repetition changes the loss by itself, so they are added.",
            lambda g, shape: g.mean(axis=tuple(range(g.ndim - len(shape)))).mean(
                axis=_stretched(shape), keepdims=True
            ),
        ),
        Mistake(
            "always the first axis",
            "You always sum over axis 0, once. Which axes were repeated depends on shape: compare "
            "it with g.shape.",
            lambda g, shape: g.sum(axis=0),
        ),
        Mistake(
            "one copy is taken",
            "You take one of the repeated gradients and drop the others. Add them up.",
            lambda g, shape: (
                g[tuple(slice(0, 1) for _ in range(g.ndim - len(shape)))].reshape(
                    g.shape[g.ndim - len(shape) :]
                )[tuple(slice(0, n) for n in shape)]
                if g.ndim > len(shape)
                else g[tuple(slice(0, n) for n in shape)]
            ),
        ),
    ),
)
def unbroadcast(g, shape):
    """Return the gradient of an array of this shape, which broadcasting had enlarged to g's shape.

    `g` is the gradient by the enlarged array. Wherever a number was repeated, its gradients are
    added up: for shape (M,) and g of (N, M), sum over the N rows. Axes may have been put in front,
    axes of length 1 may have been stretched, both, or neither.
    """
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def _pieces(rng):
    steps, pieces, d = rng.integers(3, 6), rng.integers(2, 5), rng.integers(2, 4)
    rate = float(rng.uniform(0.05, 0.2))
    return rng.normal(size=(steps, pieces, d)), rng.normal(size=d), rate


def _wrong_pieces(gradients, w, rate, *, reset="step", mean=True, sign=-1.0):
    """Train in pieces with one thing wrong."""
    grad = np.zeros_like(w)
    for of_step in gradients:
        if reset == "step":
            grad = np.zeros_like(w)
        for g in of_step:
            if reset == "piece":
                grad = np.zeros_like(w)
            grad = grad + g
        w = w + sign * rate * (grad / len(of_step) if mean else grad)
    return w


@code(
    "Add up, step, reset",
    difficulty=2,
    minutes=8,
    inputs=_pieces,
    hints=(
        "Two loops: over the steps, and in each over its pieces.",
        "Set grad to zeros at the start of every step; in the inner loop only add to it.",
        "After the inner loop: w = w − rate * grad / pieces, a new array.",
    ),
    mistakes=(
        Mistake(
            "no reset",
            "The gradients of earlier steps are still in the sum. Set it to zero before each step "
            "(optimizer.zero_grad() in dlcourse and PyTorch).",
            lambda gradients, w, rate: _wrong_pieces(gradients, w, rate, reset="never"),
        ),
        Mistake(
            "a reset too many",
            "You forget the earlier pieces of a step, so only the last one counts. Reset once a "
            "step, before its first piece.",
            lambda gradients, w, rate: _wrong_pieces(gradients, w, rate, reset="piece"),
        ),
        Mistake(
            "no 1/pieces",
            "The gradient of a step is the mean over its pieces. As a sum, the step gets longer "
            "the more pieces there are.",
            lambda gradients, w, rate: _wrong_pieces(gradients, w, rate, mean=False),
        ),
        Mistake(
            "the sign",
            "You walk uphill: the gradient points to where the loss grows. Subtract it.",
            lambda gradients, w, rate: _wrong_pieces(gradients, w, rate, sign=1.0),
        ),
    ),
)
def train_in_pieces(gradients, w, rate):
    """Return the weights after some steps of training whose batches come in small pieces.

    `gradients` has the shape (steps, pieces, D): `gradients[s, p]` is what `backward` gives for
    piece p of step s. At each step add up the gradients of its pieces, then move `w`, of the shape
    (D,), once: against the *mean* of the pieces' gradients, times `rate`. The next step begins
    with a sum of zero. Leave the array `w` itself as it was.
    """
    for of_step in gradients:
        grad = np.zeros_like(w)
        for g in of_step:
            grad += g
        w = w - rate * grad / len(of_step)
    return w


def _graph(rng):
    """Draw a graph: node 0 is the loss; the numbers of the others tell nothing of their order."""
    n = int(rng.integers(6, 9))
    names = np.append(0, rng.permutation(np.arange(1, n)))
    pairs = {(1, 0), (2, 0), (2, 1)}  # node 2 is used twice, and one use comes before the other
    pairs |= {(k, int(j)) for k in range(3, n - 1) for j in rng.integers(1, k, size=2)}
    pairs |= {(k, n - 1) for k in rng.integers(1, n - 1, size=2).tolist()}  # never reaches the loss
    edges = [(int(names[a]), int(names[b]), float(rng.normal())) for a, b in sorted(pairs)]
    return [edges[i] for i in rng.permutation(len(edges))], n


def _as_listed(edges, n, *, first=1.0, rounds=1):
    gradient = np.zeros(n)
    gradient[0] = first
    for _ in range(rounds):
        for parent, child, slope in edges:
            gradient[parent] += gradient[child] * slope
    return gradient


def _by_levels(edges, n):
    """Visit each node as soon as it is found."""
    gradient = np.zeros(n)
    gradient[0] = 1.0
    found = [0]
    for node in found:
        for parent, child, slope in edges:
            if child == node:
                gradient[parent] += gradient[node] * slope
                if parent not in found:
                    found.append(parent)
    return gradient


def _in_order(edges, n, combine):
    """Walk in a right order; `combine(old, upstream, slope)` is what a parent has then."""
    gradient = np.zeros(n)
    gradient[0] = 1.0
    edges, done = list(edges), []
    while len(done) < n:
        node = next(
            k for k in range(n) if k not in done and all(parent != k for parent, _, _ in edges)
        )
        for parent, child, slope in edges:
            if child == node:
                gradient[parent] = combine(gradient[parent], gradient[node], slope)
        edges = [edge for edge in edges if edge[1] != node]
        done.append(node)
    return gradient


@code(
    "The walk back, on any graph",
    difficulty=3,
    minutes=20,
    inputs=_graph,
    hints=(
        "gradient = np.zeros(n), and gradient[0] = 1.0: the loss grows as fast as itself.",
        "A node may hand on only when all its own uses have handed to it. Count for each node how "
        "many edges it is the parent of: so many contributions it waits for.",
        "Keep a list of nodes that wait for nothing. Take one; for each edge of which it is the "
        "child, add gradient[node] * slope to the parent, which now waits for one less. When it "
        "waits for none, it joins the list.",
        "Nodes that no edge has for a parent, the loss among them, are in the list at the start.",
    ),
    mistakes=(
        Mistake(
            "= for +=",
            "A node that is used several times keeps only the last contribution. Add them up.",
            lambda edges, n: _in_order(edges, n, lambda old, g, slope: g * slope),
        ),
        Mistake(
            "in the order of the list",
            "You go through the edges as they are listed. They come in any order, so a node may "
            "hand on before anything has arrived.",
            _as_listed,
        ),
        Mistake(
            "handed on too early",
            "You visit nodes level by level from the loss. A node that is used on two levels "
            "hands on before its second contribution arrives, and that one is lost.",
            _by_levels,
        ),
        Mistake(
            "the loss's own gradient",
            "All gradients are 0, because nothing starts them: gradient[0] must be 1.",
            lambda edges, n: np.zeros(n),
        ),
        Mistake(
            "added, not multiplied",
            "You add the slope to the upstream gradient. Slopes along a path are multiplied.",
            lambda edges, n: _in_order(edges, n, lambda old, g, slope: old + g + slope),
        ),
        Mistake(
            "several rounds",
            "You go over all edges again and again. What was handed on in an earlier round is "
            "handed on once more. Use each edge once, when its child is complete.",
            lambda edges, n: _as_listed(edges, n, rounds=n),
        ),
    ),
)
def backpropagate(edges, n):
    """Return the gradient of the loss by each of n nodes of a graph: an array of shape (n,).

    Node 0 is the loss. `edges` is a list of (parent, child, slope): child was computed from parent,
    and grows with it at this rate. The list is in no particular order, and neither are the nodes'
    numbers. Some nodes do not lead to the loss: their gradient is 0.
    """
    gradient = np.zeros(n)
    gradient[0] = 1.0
    waits_for = [sum(parent == node for parent, _, _ in edges) for node in range(n)]
    ready = [node for node in range(n) if waits_for[node] == 0]
    while ready:
        node = ready.pop()
        for parent, child, slope in edges:
            if child == node:
                gradient[parent] += gradient[node] * slope
                waits_for[parent] -= 1
                if waits_for[parent] == 0:
                    ready.append(parent)
    return gradient


quiz = (
    Question(
        "A node multiplies 3 by 5. Going back, the gradient 2 arrives at it. What does it hand to "
        "the 3?",
        {
            "6": "That is 2 × 3. A product swaps: each factor gets the gradient times the other.",
            "10": "Yes: the upstream gradient 2 times the other factor, 5.",
            "2": "An addition would hand on 2 unchanged. A product does not.",
        },
        "b",
    ),
    Question(
        "A loss falls for a few steps, then jumps up and never recovers. A smaller learning rate "
        "only delays it. What is the likeliest slip?",
        {
            "The gradients are not reset between the steps": "Yes: each step still carries those "
            "of all steps before it. optimizer.zero_grad() belongs before backward().",
            "The softmax is missing from the model": "Cross-entropy has it inside; that is how it "
            "should be.",
            "The batches are too small": "Small batches make the loss noisy. They do not make the "
            "steps longer and longer.",
        },
        "a",
    ),
    Question(
        "In a gradient check with float32 you go from $\\varepsilon = 10^{-2}$ to $10^{-6}$. "
        "What happens to the error?",
        {
            "It falls: the smaller the nudge, the better the slope": "That is the right arm of the "
            "V only. At $10^{-6}$ the two losses hardly differ in their seven digits.",
            "It stays: the gradient is what it is": "The true one stays. What the nudges say of it "
            "does not.",
            "It grows: the rounding of the losses is divided by a tiny number": "Yes: the rounding "
            "error goes like $1/\\varepsilon$.",
        },
        "c",
    ),
    Question(
        "A layer has 800 inputs, 200 units and a ReLU. What variance do its weights get by He's "
        "rule?",
        {
            "2/1000": "That is Glorot's compromise, 2 / (inputs + outputs).",
            "1/400": "Yes: 2/800. The 2 makes up for the half that a ReLU takes away.",
            "1/800": "That would keep the size if there were no ReLU.",
        },
        "b",
    ),
)
