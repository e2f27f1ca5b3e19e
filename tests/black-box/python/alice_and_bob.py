"""The example session of the public description, with a client that nobody here wrote.

Usage: alice_and_bob.py PORT FINGERPRINT (the SHA-256 of the server's certificate in hexadecimal).
"""

import asyncio
import hashlib
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(port: int, fingerprint: str) -> None:
    trust = ssl.create_default_context()
    trust.load_verify_locations(cadata=certificate(port, fingerprint))
    url = f"wss://localhost:{port}/"

    def session():
        return connect(url, ssl=trust, subprotocols=["mles-websocket"], open_timeout=20, max_size=None)

    async def expect(client, *frames):
        for frame in frames:
            got = await asyncio.wait_for(client.recv(), 20)
            assert got == frame, f"{got!r} instead of {frame!r}"

    async with session() as alice:
        assert alice.subprotocol == "mles-websocket", alice.subprotocol
        assert not alice.protocol.extensions, "compression was offered, and is not used"
        await alice.send('{ "uid":"alice", "channel":"example" }')
        await alice.send("Hello Bob!")
        async with session() as bob:
            await bob.send('{"uid":"bob","channel":"example","auth":"046ade5ad5646648"}')
            await expect(bob, '{"uid":"alice","channel":"example"}', "Hello Bob!")
            await expect(alice, '{"uid":"bob","channel":"example"}')
            await bob.send("Hello Alice!")
            await expect(alice, "Hello Alice!")
            await alice.send(b"\x00\xff bytes")
            await expect(bob, b"\x00\xff bytes")
            await bob.send(["in ", "three ", "pieces"])
            await expect(alice, "in three pieces")
            await asyncio.wait_for(await bob.ping(b"still there?"), 20)
            large = "x" * 5_000_000
            await bob.send(large)
            await expect(alice, large)
        assert bob.close_code == 1000, bob.close_code
        # The same name again, at once.
        async with session() as bob:
            await bob.send('{"uid":"bob","channel":"example"}')
            await expect(alice, '{"uid":"bob","channel":"example"}')

    async with session() as mallory:
        await mallory.send("no header")
        try:
            await asyncio.wait_for(mallory.recv(), 20)
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 4000, closed
            assert closed.rcvd.reason, closed
        else:
            raise AssertionError("a session without a header")
    print("alice and bob have talked")


def certificate(port: int, fingerprint: str) -> str:
    """The server's certificate, if it is the one whose fingerprint the server has printed."""
    pem = ssl.get_server_certificate(("localhost", port))
    shown = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert shown == fingerprint.replace(":", "").lower(), shown
    return pem


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
