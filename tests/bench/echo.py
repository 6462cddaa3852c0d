"""A bare answer over NATS, for the cost of the hop alone: `python -m tests.bench.echo NATS_URL`; prints a line once it
answers.
"""

from __future__ import annotations

import asyncio
import sys

import nats
import uvloop
from nats.aio.msg import Msg

from tests.bench.agent import ECHO


async def main(url: str) -> None:
    client = await nats.connect(url)

    async def answer(message: Msg) -> None:
        await client.publish(message.reply, message.data)

    await client.subscribe(ECHO, cb=answer)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
