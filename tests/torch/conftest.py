import torch

from dlcourse.tensor import threads

torch.set_num_threads(1)  # two wait for each other on a busy machine
threads.use_second_thread()  # and of ours, both ways are held against it:
threads._LARGE = 1000  # smaller operations in one thread, larger ones in two
