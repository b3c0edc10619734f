import torch

torch.set_num_threads(1)  # two wait for each other on a busy machine
