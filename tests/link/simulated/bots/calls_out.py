"""Fetches a page from the address that it finds in the environment, by asyncio and plainly, and sleeps a while."""

import asyncio
import json
import os
import time
import urllib.request

from profitview import Link


class Trading(Link):
    def on_start(self):
        url = os.environ["TEST_URL"]
        host, port = url.removeprefix("http://").split(":")

        async def fetch():
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            await writer.drain()
            text = await reader.read()
            writer.close()
            return text.endswith(b"hello")

        start = time.time()
        plain = urllib.request.urlopen(url, timeout=10).read().decode()
        print(json.dumps({"plain": plain, "loop": asyncio.run(fetch()), "took": time.time() - start}))
