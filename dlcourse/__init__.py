"""dlcourse: deep learning from one neuron to a Transformer, in numpy."""

__version__ = "0.1.0"
