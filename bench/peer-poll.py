"""The peer that poll-100-domains is compared with: libvirt-python, every domain's info() in a loop.

usage: python3 peer-poll.py URI   Reads a line, polls once, answers with the milliseconds it took. Ends with its input.
"""
import sys
import time

import libvirt

connection = libvirt.open(sys.argv[1])
for _ in sys.stdin:
    started = time.perf_counter()
    domains = connection.listAllDomains()
    for domain in domains:
        domain.info()
    print((time.perf_counter() - started) * 1000, len(domains), flush=True)
