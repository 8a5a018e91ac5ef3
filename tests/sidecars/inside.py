"""What tests run inside containers: the standard library only, one word says what.

prepare    files to work on, before the image's manifest is recorded (as root)
work       what a person does in a workspace
end        the helper's processes are killed, as a person may with their own
inventory  everything of the root filesystem that a checkpoint keeps, as JSON (as root)
spy        what a person's program can read of the helper's processes, as JSON
"""
# ruff: noqa: T201 - what it prints is its answer

import contextlib
import hashlib
import json
import os
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

LOOKS = 300


def prepare():
    for name in ("a", "b", "old/c", "old/deep/d", "swapped/e", "swapped/f"):
        file = Path("/opt/data", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of the image")
    os.link("/opt/data/a", "/opt/data/twin")
    for folder, _, names in os.walk("/opt"):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, 1000, 1000)
    Path("/usr/local").mkdir(exist_ok=True)
    Path("/usr/local").chmod(0o777)
    sys.argv = ["record"]
    runpy.run_module("petrihub_sidecars.checkpointer.record", run_name="__main__")


def work():
    packages = Path("/usr/local/packages")
    (packages / "mine").mkdir(parents=True)
    (packages / "mine/__init__.py").write_text("answer = 42")
    (packages / ("long-" * 40)).write_text("long")
    Path(os.fsdecode(b"/usr/local/packages/\xff\xfe")).write_text("no UTF-8")
    data = Path("/opt/data")
    (data / "b").write_text("changed")
    shutil.rmtree(data / "old")
    shutil.rmtree(data / "swapped")
    (data / "swapped").symlink_to("/etc/passwd")
    (data / "twin").unlink()
    (data / "hard").hardlink_to(packages / "mine/__init__.py")
    (data / "program").write_text("#!/bin/sh")
    (data / "program").chmod(0o4755)
    os.setxattr(data / "program", "user.note", b"kept")
    with (data / "sparse").open("wb") as file:
        file.truncate(2**24)
        file.seek(2**23)
        file.write(b"x")
    Path(os.environ["HOME"], "results.csv").write_text("in the home")
    Path("/tmp/scratch").write_text("for the moment")


def end():
    killed = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            command = Path("/proc", str(pid), "cmdline").read_text(errors="replace")
            if "guarded-python" in command and pid != os.getpid():  # ours holds this very text
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
    print(json.dumps(killed))


def inventory():
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {line.split()[4] for line in lines} - {"/"}
    skip = mounts | {"/home/researcher", "/tmp", "/run", "/var/tmp", "/.dockerenv", "/etc/mtab"}
    found, firsts = {}, {}

    def look(folder):
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            path = folder.rstrip("/") + "/" + entry.name
            if path in skip:
                continue
            about = entry.stat(follow_symlinks=False)
            name = os.fsencode(path).hex()
            seen = [about.st_uid, about.st_gid, about.st_mode & ~0o4000]
            if entry.is_symlink():
                seen.append(os.readlink(path))
            elif entry.is_file():
                seen += [about.st_mtime_ns // 10**9, firsts.setdefault(about.st_ino, name)]
                seen.append(hashlib.sha256(Path(path).read_bytes()).hexdigest())
                extra = [each for each in os.listxattr(path) if each.startswith("user.")]
                seen.append({each: os.getxattr(path, each).hex() for each in extra})
            found[name] = seen
            if entry.is_dir(follow_symlinks=False):
                look(path)

    look("/")
    print(json.dumps(found))


def spy():
    got, seen = [], 0
    end = time.monotonic() + 60
    while seen < LOOKS and time.monotonic() < end:
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) in (1, os.getpid()):
                continue
            process = Path("/proc", pid)
            command = ""
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_text(errors="replace")
            seen += "guarded-python" in command
            for name in ("environ", "maps", "mem", "auxv", "stack"):
                with contextlib.suppress(OSError), (process / name).open("rb") as file:
                    got.append((command, name, file.read(100_000).decode("latin1")))
            for name in ("fd", "root/", "cwd/", "map_files"):
                with contextlib.suppress(OSError):
                    got.append((command, name, os.listdir(process / name)))
    print(json.dumps([seen, got]))


globals()[sys.argv[1]]()
