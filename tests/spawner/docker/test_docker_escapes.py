"""A50: what somebody tries who wants out of their workspace, carried out in one.

That every container is hardened is looked at in `test_docker_backend`; here is what it is for.
"""

import json

import pytest

from petrihub_spawner.contract import started

from tests.spawner.docker.conftest import PYTHON

pytestmark = pytest.mark.docker

# prints what the kernel allows, or refuses for another reason than a missing right
_CALLS = """
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
NEW_USER, NEW_FILES, ROOT, BLOCK = 0x10000000, 0x00020000, 0, 0o60600
arms = os.uname().machine == "aarch64"
number = lambda x86, arm: arm if arms else x86
calls = {
    "mount a file system": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "mount the system's groups": lambda: libc.mount(b"none", b"/tmp", b"cgroup", 0, b"memory"),
    "unmount": lambda: libc.umount2(b"/proc", 2),
    "be root of a user namespace": lambda: libc.unshare(NEW_USER),
    "have a mount namespace": lambda: libc.unshare(NEW_FILES),
    "enter the first process's namespaces": lambda: libc.setns(os.open("/proc/1/ns/mnt", 0), 0),
    "become root": lambda: libc.setuid(ROOT),
    "become root's group": lambda: libc.setgid(ROOT),
    "make a disk": lambda: libc.syscall(number(259, 33), -100, b"/tmp/disk", BLOCK, 8 << 8),
    "change the root": lambda: libc.chroot(b"/tmp"),
    "pivot the root": lambda: libc.syscall(number(155, 41), b"/tmp", b"/tmp"),
    "open a file by its number": lambda: libc.syscall(number(304, 265), -100, None, 0),
    "load a module": lambda: libc.syscall(number(175, 105), None, 0, b""),
    "load a kernel": lambda: libc.syscall(number(246, 104), 0, 0, None, 0),
    "run in the kernel": lambda: libc.syscall(number(321, 280), 5, None, 0),
    "watch the processor": lambda: libc.syscall(number(298, 241), None, 0, -1, -1, 0),
    "read the kernel's keys": lambda: libc.syscall(number(250, 219), 0, -1, 1),
    "read the kernel's log": lambda: libc.klogctl(3, ctypes.create_string_buffer(64), 64),
    "set the clock": lambda: libc.clock_settime(0, (ctypes.c_long * 2)(1, 0)),
    "rename the machine": lambda: libc.sethostname(b"x", 1),
    "restart the machine": lambda: libc.reboot(0),
    "swap": lambda: libc.swapon(b"/tmp", 0),
}
done = {}
for name, call in calls.items():
    ctypes.set_errno(0)
    try:
        code = call()
        why = ctypes.get_errno()
    except OSError as exc:
        code, why = -1, exc.errno
    if code >= 0 or why not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        done[name] = [code, errno.errorcode.get(why, why)]
print(json.dumps(done))
"""
_FILES = """
import json, os
done = []
for path in (
    "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
    "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/kvm", "/dev/loop-control",
    "/proc/kcore", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/panic_on_oom",
    "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/release_agent", "/etc/passwd",
):
    try:
        os.close(os.open(path, os.O_WRONLY))
        done.append(path)
    except OSError:
        pass
for path in ("/proc/keys", "/proc/timer_list", "/proc/kcore"):
    try:
        with open(path, "rb") as file:
            if file.read(1):
                done.append("read " + path)
    except OSError:
        pass
for folder in ("/sys", "/proc/sys", "/sys/fs/cgroup"):
    if os.access(folder, os.W_OK):
        done.append(folder)
others = [
    pid for pid in os.listdir("/proc")
    if pid.isdigit() and b"python" not in open(f"/proc/{pid}/cmdline", "rb").read()
]
print(json.dumps(done + others))
"""


async def test_a50_nobody_gets_out_of_a_workspace(docker_bench, client):
    pod = docker_bench.pod("ada", "study")
    await started(docker_bench, pod)
    for program in (_CALLS, _FILES):
        asked = client.exec_create(pod.name, [PYTHON, "-B", "-c", program], user="1000")
        said = client.exec_start(asked["Id"]).decode()
        assert not json.loads(said), said
