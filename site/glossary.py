"""The glossary, built from the lessons' own definitions.

A lesson prints a term in bold where it defines it. `TERMS` says which terms the glossary has and in
which lesson each one is defined; the words that define it are the lesson's.
"""

import json
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TERMS = {
    "00": """class; model; weights; loss; step; learning rate; neural network; deep learning;
        test set; features; overfitting; broadcasting; dot product; derivative;
        chain rule; perceptron""",
    "01": """weighted sum; threshold; step function; bias; activation; target; epoch;
        standardise; margin; cross-entropy""",
    "02": """multilayer perceptron; forward pass; logits; softmax;
        universal approximation theorem; hierarchical feature; L2 regularisation; dropout""",
    "03": """credit assignment problem; partial derivative; gradient; computational graph;
        upstream gradient; local derivative; backpropagation; tape; gradient check; gain;
        vanishing gradient; exploding gradient; variance""",
    "04": """loss landscape; curvature; Hessian; eigenvector; eigenvalue; sharpness;
        power iteration; edge of stability; condition number; momentum; velocity; RMSprop;
        bias correction; mini-batch; schedule; warm-up;
        learning-rate range test; validation set; early stopping; hyperparameter; saddle point""",
    "05": """filter; cross-correlation; feature map; channel; convolutional layer; weight sharing;
        equivariance; padding; dilation; receptive field; im2col; max pooling;
        average pooling; occlusion map; data augmentation; batch norm""",
    "06": """recurrent neural network; unrolled; backpropagation through time; spectral radius;
        clipping by the norm; update gate; embedding; language model; nats; baseline; bigram;
        teacher forcing; leak""",
    "07": """attention weight; query; self-attention; causal mask; residual stream; layer norm;
        key/value cache; ablation; induction head; encoder; cross-attention; token""",
    "08": """learning curve; power law; FLOP; completeness; Clever Hans;
        fast gradient sign method; adversarial training; successive halving; base rate;
        demographic parity; equal opportunity; equalised odds; predictive parity""",
}
BODY = re.compile(r"^(## 1 .*?)^#+ (?:Recap|Quiz|Further reading)", re.MULTILINE | re.DOTALL)


def prose(path: Path) -> list[str]:
    """Give a lesson's paragraphs, bullets and rows, from its section 1 to its recap."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = BODY.search(text)[1]
    parts = re.split(r"\n\s*\n|\n(?=[-|] |\d\. )", text)
    return [" ".join(part.split()) for part in parts if not part.startswith("#")]


def where(term: str, paragraphs: list[str]) -> int | None:
    """Give the place of the paragraph that defines a term, if there is one."""
    bold = re.compile(rf"\*\*{term}s?\*\*", re.IGNORECASE)
    return next((i for i, text in enumerate(paragraphs) if bold.search(text)), None)


def definition(term: str, paragraph: str) -> str:
    """Give the sentence that holds a term in bold, and the one before it if it needs that."""
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z*$`])", paragraph.strip("-| ").replace(" | ", "; "))
    place = next(i for i, text in enumerate(sentences) if where(term, [text]) is not None)
    leans = len(sentences[place].split()) < 5 or re.match(
        r"(Any|It|Its|So|Such|That|The answer|These|This|Those)\b", sentences[place]
    )
    return " ".join(sentences[place - bool(leans and place) : place + 1])


def lessons() -> dict[str, Path]:
    """Give the lessons by their numbers."""
    return {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}


def terms() -> list[tuple[str, str]]:
    """Give each term and the number of its lesson."""
    split = re.compile(r";\s*")
    return [(term, number) for number, text in TERMS.items() for term in split.split(text)]


def build() -> str:
    """Give the page, as Markdown."""
    paths = lessons()
    entries = []
    for term, number in sorted(terms(), key=lambda entry: entry[0].lower()):
        paragraphs = prose(paths[number])
        said = definition(term, paragraphs[where(term, paragraphs)])
        entries.append(f"**{term}**: {said} ([{number}]({paths[number].name}))\n")
    head = "# Glossary\n\nEach term in the words of the lesson that defines it.\n"
    return "\n".join([head, *entries])
