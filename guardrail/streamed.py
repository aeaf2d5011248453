"""A guarded stream as callers hold it: iterated, closed, and asked for what its head said."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Self

# What a client's stream and its HTTP response tell beside the answer.
_OF_STREAM = ("request_id", "workspace_id", "model")
_OF_RESPONSE = """
    status_code reason_phrase headers url request http_version is_success is_error is_closed elapsed
    cookies
""".split()


class ResponseHead:
    """The HTTP response of a stream without its body, which would tell what no rule has seen."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __getattr__(self, name: str) -> Any:
        if name in _OF_RESPONSE:
            return getattr(self._response, name)
        raise AttributeError(f"a guarded response has no {name!r}, only {', '.join(_OF_RESPONSE)}")


class _Told:
    """What the model's own stream tells beside its chunks."""

    def __init__(self, source: Any) -> None:
        self._facts: dict[str, Any] = {
            name: value
            for name in _OF_STREAM
            if isinstance(value := getattr(source, name, None), str)
        }
        response = getattr(source, "response", None)
        if hasattr(response, "headers"):
            self._facts["response"] = ResponseHead(response)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._facts:
            return self._facts[name]
        raise AttributeError(f"a guarded stream has no {name!r}: iterate it for the chunks")


class GuardedStream(_Told):
    """The chunks that the policy lets through. As a context manager it closes the model's stream
    at its end; so does `close`, and the last chunk."""

    def __init__(
        self, chunks: Generator[Any, None, None], steps: Generator[Any, None, Any], source: Any
    ) -> None:
        super().__init__(source)
        self._chunks, self._steps = chunks, steps

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the call; nothing more is read of the answer."""
        self._chunks.close()
        self._steps.close()  # a generator that has not begun leaves them open


class AsyncGuardedStream(_Told):
    """The same on an event loop; `close` and `aclose` are one."""

    def __init__(
        self, chunks: AsyncGenerator[Any, None], steps: AsyncGenerator[Any, None], source: Any
    ) -> None:
        super().__init__(source)
        self._chunks, self._steps = chunks, steps

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the call; nothing more is read of the answer."""
        await self._chunks.aclose()
        await self._steps.aclose()

    close = aclose
