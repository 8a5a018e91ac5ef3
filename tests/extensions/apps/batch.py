#!/usr/bin/env python3
"""Takes files over a port as IGV does; writes what it was told to the file named by $TOLD."""

import argparse
import os
import socketserver

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--genome")
parser.add_argument("--preferences")
parser.add_argument("files", nargs="*")
asked = parser.parse_args()


def note(line: str) -> None:
    with open(os.environ["TOLD"], "a", encoding="utf-8") as file:
        file.write(line + "\n")


class Door(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for each in self.rfile:
            line = each.decode().strip()
            note(line)
            self.wfile.write(b"ERROR unknown genome\n" if "bad" in line else b"OK\n")


note(f"started {asked.files}")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", asked.port), Door).serve_forever()
