#!/usr/bin/env python3
"""Debian's Chromium, deaf to network interfaces that come and go.

Each container that another test starts or ends is a change of this machine's network, on which
Chromium fails the requests that wait for a connection, also those to loopback, with
ERR_NETWORK_CHANGED. It hears of it through a netlink socket and has no switch for that; where it
gets no such socket it takes the network as it is.
"""

import ctypes
import errno
import os
import socket
import sys

ALLOW, FAIL_WITH, EQUAL = 0x7FFF0000, 0x00050000, 4  # of seccomp.h


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`: which argument of a system call, and what it must be."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


def refuse_netlink() -> None:
    """From here on, in this process and those that it starts."""
    seccomp = ctypes.CDLL("libseccomp.so.2")  # apt itself needs it, so it is there
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(ALLOW)))
    failed = seccomp.seccomp_rule_add_array(
        rules,
        ctypes.c_uint32(FAIL_WITH | errno.EAFNOSUPPORT),
        seccomp.seccomp_syscall_resolve_name(b"socket"),
        ctypes.c_uint(1),
        ctypes.byref(Comparison(0, EQUAL, socket.AF_NETLINK, 0)),
    )
    if failed or seccomp.seccomp_load(rules):
        sys.exit("The filter for Chromium's system calls could not be set.")


if __name__ == "__main__":
    refuse_netlink()
    os.execvp("chromium", ["chromium", *sys.argv[1:]])
