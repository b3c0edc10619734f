"""Training: the loop, what watches it, files, and the process that it runs in."""

from dlcourse.train.files import load, load_checkpoint, save, save_checkpoint
from dlcourse.train.loop import Evaluation, Step, evaluate, train
from dlcourse.train.process import keep_freed_memory, settle, use_one_blas_thread
from dlcourse.train.watch import EarlyStopping, progress

__all__ = [
    "EarlyStopping",
    "Evaluation",
    "Step",
    "evaluate",
    "keep_freed_memory",
    "load",
    "load_checkpoint",
    "progress",
    "save",
    "save_checkpoint",
    "settle",
    "train",
    "use_one_blas_thread",
]
