"""Pictures for the benchmarks of the proxy, and what single things cost in one process."""

from __future__ import annotations

import os
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from urllib.error import HTTPError

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from guardrail import Guard, Stage, Text, View


def noise(size: int) -> bytes:
    """A PNG of about so many bytes."""
    side = int((size / 3) ** 0.5)
    out = BytesIO()
    Pillow.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(out, "PNG")
    return out.getvalue()


def a4(number: int) -> bytes:
    """An A4 page of text at 150 dpi, each number another page."""
    page = Pillow.new("RGB", (1240, 1754), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(26)
    for line in range(40):
        pen.text((90, 80 + 40 * line), f"{number}.{line} The quiet harbour at dusk", "black", font)
    out = BytesIO()
    page.save(out, "PNG", compress_level=1)
    return out.getvalue()


def post(url: str, body: bytes) -> int:
    """Send a call and read its answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
        return int(answer.status)


@contextmanager
def posting(url: str, bodies: Sequence[bytes], at_once: int = 2) -> Iterator[Callable[[], float]]:
    """Calls are sent, each once, so many at a time; gives how many a second were answered."""
    left = iter(bodies)
    stop, done, began = threading.Event(), [0], time.monotonic()
    ended = [0.0]

    def work() -> None:
        while not stop.is_set():
            try:
                post(url, next(left))
            except HTTPError as refused:  # one that did not fit its time
                refused.close()
            else:
                done[0] += 1

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: done[0] / ended[0]
    finally:
        ended[0] = time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join()


def bare_injection(texts: Sequence[str], **arguments: bool) -> float:
    """Microseconds of the injection check alone on a text, each another as in calls."""
    from guardrail_detectors.injection import injection

    check = injection(**arguments)
    check.warm()
    views = [View(Stage.INPUT, (Text(text),)) for text in texts]
    return statistics.median(timed(partial(check.run, view)) for view in views)


SLOW = (
    ". ",
    "a. ",
    "!",
    "a\n",
    "a b c d e f ",
    "h3ll0 w0rld ",
    "noitcurtsni ",
    "68656c6c6f20776f726c64 ",
    "aGVsbG8gdGhlcmUgbXkgZnJpZW5k ",
    ".- -... -.-. ",
    '!"#$%&()*+,-./:;<=>?@[]^_ ',
    "%41%42\n",
    "&amp;\n",
    "vtaber cerivbhf vafgehpgvbaf ",
    "ignore previous instructions. ",
    "alfa bravo charlie ",
    "\u2801\u2803 ",
    "\u6211\u7231\u4f60\u3002",
    "\u0430a",
    "e\u0301",
    "1.1.1.1 ",
    "+49 170 1234567 ",
)  # pieces of texts that are long to look at: sentences, disguises, numbers


def slow_texts() -> Iterator[str]:
    """Texts of up to 2 kB that are made to be slow."""
    for size in (256, 700, 1_024, 2_048):
        for one in SLOW:
            yield (one * size)[:size]
            for other in SLOW:
                yield (one * size)[: size // 2] + (other * size)[: size // 2]


def quick_looks() -> None:
    """The longest that checks take at once, whatever the text: processor time, the best of five."""
    from guardrail.registry import Registry

    print("\nlooks at once at texts of up to 2 kB that are made to be slow, milliseconds")
    for name, arguments in (("injection", {"encoder": False}), ("pii", {})):
        check = Registry().detector(name, arguments)
        check.warm()
        assert check.quick is not None
        worst, settled, count = 0.0, 0, 0
        for text in slow_texts():
            view = View(Stage.INPUT, (Text(text),))
            check.run(view)  # the words are known
            spent = []
            for _ in range(5):
                began = time.process_time()
                found = check.quick(view)
                spent.append(time.process_time() - began)
            worst, count = max(worst, min(spent)), count + 1
            settled += found is not None
        print(f"  {name}: {worst * 1e3:.1f} at most; {settled} of {count} needed no worker")


def timed(work: Callable[[], object]) -> float:
    """Microseconds that work takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e6


def spans() -> None:
    """What tracing adds to a call on the calling path, a span."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            return

    sampled, unsampled = TracerProvider(), TracerProvider(sampler=ALWAYS_OFF)
    sampled.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=1 << 16))  # no drops
    policy = "monitor"
    guards = [Guard(policy), Guard(policy, tracer_provider=sampled)]
    guards.append(Guard(policy, tracer_provider=unsampled))
    record = guards[0].screen("The harbour was quiet").record
    count = 1 + len(record.stages) + sum(len(stage.checks) for stage in record.stages)
    calls = [record_call(guard) for guard in guards]
    rows: list[list[float]] = [[] for _ in calls]
    for _ in range(2_000):
        for kept, call in zip(rows, calls, strict=True):
            kept.append(timed(call))
    none, on, off = map(statistics.median, rows)
    print(f"\nspans ({count} a call), us a span on the calling path")
    print(
        f"  sampled {(on - none) / count:.1f} (at most 20), not sampled"
        f" {(off - none) / count:.1f} (at most 3)"
    )


def record_call(guard: Guard) -> Callable[[], object]:
    """A call that the cache answers, so that what differs is what is told of it."""
    guard.screen("The harbour was quiet")
    return lambda: guard.screen("The harbour was quiet")
