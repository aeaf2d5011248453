"""An async stream: nothing of it is seen before the output rules have passed it.

It prints:

    Your card is [CARD], valid until 09/28.
"""

import asyncio
from collections.abc import AsyncIterator

from guardrail import Guard

guard = Guard("default")


@guard
async def stream(prompt: str) -> AsyncIterator[str]:
    """Stands where your streaming model does; the card number is split over two chunks."""
    for chunk in ["Your card is ", "4111 1111 ", "1111 1111, ", "valid until 09/28."]:
        yield chunk


async def main() -> None:
    """Print the stream as it comes."""
    async for chunk in stream("Which card is on file?"):
        print(chunk, end="")
    print()


asyncio.run(main())
