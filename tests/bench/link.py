"""A long link on loopback: `link.py PORT RTT_MS [MBIT]` prints the port it listens on and leads to PORT.

It behaves as TCP does over a distance. A connection costs one round trip before its first byte; bytes
arrive half a round trip after they were sent; a sender may have no more in flight than its window,
which starts at ten segments (RFC 6928), grows by what is acknowledged (slow start, RFC 5681) and
starts again after an idle time. With MBIT, that is what all connections together send to PORT in a
second; answers have no limit. Nothing is lost.
"""

import asyncio
import collections
import sys
import time

SEGMENT = 1460
FIRST_WINDOW = 10 * SEGMENT
LARGEST_WINDOW = 4 << 20


class Line:
    """What all connections share: so many bytes in a second, one after the other. 0 is no limit."""

    def __init__(self, mbit):
        self.rate = mbit * 1e6 / 8
        self.free = 0.0

    def through(self, now, count):
        """When the last of `count` bytes is on its way."""
        if not self.rate:
            return now
        self.free = max(self.free, now) + count / self.rate
        return self.free


class Lane:
    """One direction of a connection."""

    def __init__(self, reader, writer, rtt, line):
        self.reader, self.writer, self.rtt, self.line = reader, writer, rtt, line
        self.window, self.in_flight, self.last = FIRST_WINDOW, 0, 0.0
        self.acknowledged, self.sent = asyncio.Event(), asyncio.Event()
        self.on_the_way = collections.deque()

    async def run(self):
        await asyncio.gather(self.send(), self.deliver())

    async def send(self):
        while True:
            while self.in_flight >= self.window:
                self.acknowledged.clear()
                await self.acknowledged.wait()
            try:
                data = await self.reader.read(min(1 << 16, self.window - self.in_flight))
            except ConnectionError:
                data = b""
            now = time.monotonic()
            # The retransmission timer of an idle connection: RFC 5681, section 4.1.
            if not self.in_flight and now - self.last > max(0.2, 2 * self.rtt):
                self.window = FIRST_WINDOW
            self.last = now
            self.in_flight += len(data)
            self.on_the_way.append((self.line.through(now, len(data)) + self.rtt / 2, data))
            self.sent.set()
            if not data:
                return

    async def deliver(self):
        loop = asyncio.get_running_loop()
        while True:
            while not self.on_the_way:
                self.sent.clear()
                await self.sent.wait()
            due, data = self.on_the_way.popleft()
            early = due - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            try:
                if not data:
                    self.writer.write_eof()
                    return
                self.writer.write(data)
                await self.writer.drain()
            except (ConnectionError, OSError):
                # The other side is gone: what is still on its way is lost, as it would be.
                data = data or b""
            loop.call_later(self.rtt / 2, self.acknowledge, len(data))
            if not data:
                return

    def acknowledge(self, count):
        self.in_flight -= count
        self.window = min(LARGEST_WINDOW, self.window + count)
        self.acknowledged.set()


async def main(port, rtt, mbit):
    there, back = Line(mbit), Line(0)

    async def connected(reader, writer):
        await asyncio.sleep(rtt)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(
                Lane(reader, far_writer, rtt, there).run(),
                Lane(far_reader, writer, rtt, back).run(),
            )
        finally:
            writer.close()
            far_writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=256)
    print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    # Whoever started it ends it by closing its standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000, float((*sys.argv, 0)[3])))
