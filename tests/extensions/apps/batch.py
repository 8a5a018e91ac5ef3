"""Takes files over a port as IGV does: `batch.py PORT TOLD [FILE]`; writes what it was told."""

import socketserver
import sys

PORT, TOLD, *FILES = sys.argv[1:]


def note(line: str) -> None:
    with open(TOLD, "a", encoding="utf-8") as file:
        file.write(line + "\n")


class Door(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline().decode().strip()
        if not line:
            return
        note(line)
        self.wfile.write(b"ERROR unknown genome\n" if "bad" in line else b"OK\n")


note(f"started {FILES}")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(PORT)), Door).serve_forever()
