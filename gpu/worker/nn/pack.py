"""Train any mix of networks in stacks of equal shape; smaller stacks when memory runs out."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from gpu.params import NeuralNetParams
from gpu.worker.failures import is_out_of_memory
from gpu.worker.nn.fused import AfterEpoch, FoldRows, Member, TrainedRow, train_stack
from gpu.worker.nn.plan import FoldShape, plan_stacks
from gpu.worker.trainers.base import Diverged


@dataclass(frozen=True, slots=True)
class PackTask:
    """A network to train. Networks of one fold hold the very same FoldRows.

    after_epoch: who watches. One that has to train again in a smaller stack is watched from epoch
    0 again.
    """

    rows: FoldRows
    params: NeuralNetParams
    after_epoch: AfterEpoch | None = None


@dataclass(frozen=True, slots=True)
class PackEnd:
    """What became of task `index`: a network or an error. networks: in the stack it was part of.

    duration_s: its share of the stack's time.
    """

    index: int
    trained: TrainedRow | None
    error: Exception | None
    networks: int
    duration_s: float


class Pack:
    """Trains on one device; remembers how many networks fit into its memory."""

    def __init__(self, device: str, threads: int) -> None:
        self._on_cpu = device == "cpu"
        self._threads = threads
        # Most networks in a stack since memory ran out; 0: it never did.
        self.learnt_limit = 0

    def train(
        self, tasks: Sequence[PackTask], *, epochs: int | None, limit: int
    ) -> Iterator[PackEnd]:
        """Train all tasks; each end is given as soon as its stack has finished.

        On the CPU stacks run side by side, each in a thread of its own: that costs less than
        dividing each product among threads, and no result depends on how many there are.
        """
        shapes = [
            (
                FoldShape(id(t.rows), len(t.rows.X), t.rows.X.shape[1], t.rows.X_val is not None),
                t.params,
            )
            for t in tasks
        ]
        limits = [n for n in (limit, self.learnt_limit) if n > 0]
        stacks = plan_stacks(shapes, one_fold=self._on_cpu, limit=min(limits, default=0))
        if not self._on_cpu or self._threads == 1 or len(stacks) == 1:
            for stack in stacks:
                yield from self._train(tasks, stack, epochs)
            return
        yield from self._side_by_side(tasks, stacks, epochs)

    def _train(
        self, tasks: Sequence[PackTask], stack: Sequence[int], epochs: int | None
    ) -> Iterator[PackEnd]:
        started = time.monotonic()
        folds = list({id(tasks[i].rows): tasks[i].rows for i in stack}.values())
        at = {id(rows): k for k, rows in enumerate(folds)}
        members = [
            Member(at[id(tasks[i].rows)], tasks[i].params, tasks[i].after_epoch) for i in stack
        ]
        try:
            results = train_stack(folds, members, epochs=epochs)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            problem: Exception = error.with_traceback(None)  # its frames hold the stack's memory
        else:
            share = (time.monotonic() - started) / len(stack)
            for i, result in zip(stack, results, strict=True):
                if isinstance(result, Diverged):
                    yield PackEnd(i, None, result, len(stack), share)
                else:
                    yield PackEnd(i, result, None, len(stack), share)
            return
        if len(stack) == 1:
            yield PackEnd(stack[0], None, problem, 1, time.monotonic() - started)
            return
        half = len(stack) // 2
        self.learnt_limit = min(half, self.learnt_limit or half)
        yield from self._train(tasks, stack[:half], epochs)
        yield from self._train(tasks, stack[half:], epochs)

    def _side_by_side(
        self, tasks: Sequence[PackTask], stacks: Sequence[Sequence[int]], epochs: int | None
    ) -> Iterator[PackEnd]:
        waiting: queue.SimpleQueue[Sequence[int]] = queue.SimpleQueue()
        ended: queue.SimpleQueue[list[PackEnd] | BaseException] = queue.SimpleQueue()
        for stack in stacks:
            waiting.put(stack)

        def work() -> None:
            # Both are settings of a thread.
            torch.set_num_threads(1)
            torch.set_flush_denormal(True)
            try:
                while True:
                    stack = waiting.get_nowait()
                    ended.put(list(self._train(tasks, stack, epochs)))
            except queue.Empty:
                return
            except BaseException as error:  # noqa: BLE001  # raised again in the calling thread
                ended.put(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        for _ in stacks:
            end = ended.get()
            if isinstance(end, BaseException):
                raise end
            yield from end
        for thread in threads:
            thread.join()
