"""Times of GPU work: replays of a captured graph between events, each after the L2 cache was overwritten; medians."""

import statistics

import torch

FLUSH_BYTES = 256 << 20


class Timer:
    def __init__(self):
        self._flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")

    def __call__(self, work, repeats=15):
        """Microseconds of one call of `work`, which enqueues on the current stream."""
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            work()
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                work()
            times = []
            for _ in range(repeats + 2):
                self._flush.fill_(1)
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
                graph.replay()
                end.record()
                times.append((begin, end))
            stream.synchronize()
        return statistics.median(b.elapsed_time(e) * 1000 for b, e in times[2:])
