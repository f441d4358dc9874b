#!/usr/bin/env python3
"""The DNS of the test node: the address of each Service by its full name, as the API server has it at that moment.

usage: dns.py ADDRESS KUBECTL…
"""
import socket
import socketserver
import struct
import subprocess
import sys

A, NAME_ERROR, FROM_AUTHORITY = 1, 3, 0x8400
ADDRESS, *KUBECTL = sys.argv[1:]


def address(labels):
    """None if there is no such Service, or it has no address."""
    if len(labels) != 5 or labels[2:] != ["svc", "cluster", "local"]:
        return None
    name, namespace = labels[:2]
    get = ["get", "service", f"--namespace={namespace}", "--output=jsonpath={.spec.clusterIP}", "--", name]
    found = subprocess.run([*KUBECTL, *get], capture_output=True, text=True, timeout=5)
    try:
        return socket.inet_aton(found.stdout)
    except OSError:
        return None


class Query(socketserver.BaseRequestHandler):
    def handle(self):
        packet, server = self.request
        labels, at = [], 12
        while length := packet[at]:
            labels.append(packet[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
        question = packet[12 : at + 5]
        (kind,) = struct.unpack(">H", packet[at + 1 : at + 3])
        found = address(labels)
        # The name is where the question has it.
        answer = struct.pack(">HHHIH", 0xC00C, A, 1, 1, 4) + found if found and kind == A else b""
        flags = FROM_AUTHORITY | (0 if found else NAME_ERROR)
        head = packet[:2] + struct.pack(">HHHHH", flags, 1, bool(answer), 0, 0)
        server.sendto(head + question + answer, self.client_address)


class Server(socketserver.ThreadingUDPServer):
    daemon_threads = True


Server((ADDRESS, 53), Query).serve_forever()
