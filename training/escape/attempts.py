"""Attempts to reach from within the sandbox what is outside, run as `python -I -S attempts.py TARGETS`.

Each is a function that returns what it got hold of; it fails with an error, or returns nothing, when it is stopped. TARGETS is
the JSON that `stage.py` wrote. One line of JSON is printed for each attempt: its name and the evidence, empty when stopped.
Imports nothing of ours: inside there is nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

Targets = dict[str, Any]
Attempt = Callable[[Targets], str | None]

ATTEMPTS: dict[str, Attempt] = {}
SECONDS = 5  # for one attempt
libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine == "aarch64"


def attempt(name: str) -> Callable[[Attempt], Attempt]:
    def keep(function: Attempt) -> Attempt:
        ATTEMPTS[name] = function
        return function

    return keep


def call(x86_64: int, aarch64: int, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    result: int = libc.syscall(ctypes.c_long((x86_64, aarch64)[MACHINE]), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def holds(path: str, secret: str) -> str | None:
    """The content of a file when the secret is in it."""
    with open(path, "rb") as file:
        return f"read {path}" if secret.encode() in file.read(1 << 20) else None


# Files by their names.


@attempt("read a key file")
def read_key(t: Targets) -> str | None:
    return holds(t["key"], t["secret"])


@attempt("read a key through a symbolic link")
def read_key_through_link(t: Targets) -> str | None:
    os.symlink(t["key"], "link")
    return holds("link", t["secret"])


@attempt("read a key through a hard link")
def read_key_through_hard_link(t: Targets) -> str | None:
    os.link(t["key"], "hard")
    return holds("hard", t["secret"])


@attempt("read a key through /proc/self/root")
def read_key_through_own_root(t: Targets) -> str | None:
    return holds("/proc/self/root" + t["key"], t["secret"])


@attempt("read a key through /proc/1/root")
def read_key_through_init(t: Targets) -> str | None:
    return holds("/proc/1/root" + t["key"], t["secret"])


@attempt("read a key through the parent's /proc folder")
def read_key_through_parent(t: Targets) -> str | None:
    return holds(f"/proc/{os.getppid()}/root{t['key']}", t["secret"])


@attempt("read a key by getting out of the working folder")
def get_out(t: Targets) -> str | None:
    return holds("../" * 40 + t["key"].lstrip("/"), t["secret"])


@attempt("list the folder of the keys")
def list_keys(t: Targets) -> str | None:
    return "listed it" if os.listdir(os.path.dirname(t["key"])) else None


@attempt("read the gate shard")
def read_gate(t: Targets) -> str | None:
    return holds(t["gate"], t["secret"])


@attempt("read the hidden shard")
def read_hidden(t: Targets) -> str | None:
    return holds(t["hidden"], t["secret"])


@attempt("read an installed package that held-out text is from")
def read_package(t: Targets) -> str | None:
    return holds(t["package"], t["secret"])


@attempt("read the database")
def read_database(t: Targets) -> str | None:
    return holds(t["database"], t["secret"])


@attempt("write to the database")
def write_database(t: Targets) -> str | None:
    with open(t["database"], "ab") as file:
        file.write(b"forged")
    return "appended to it"


@attempt("truncate the database by its name")
def truncate_database(t: Targets) -> str | None:
    os.truncate(t["database"], 0)
    return "truncated it"


@attempt("delete the database")
def delete_database(t: Targets) -> str | None:
    os.unlink(t["database"])
    return "deleted it"


@attempt("put another file in the place of the database")
def replace_database(t: Targets) -> str | None:
    with open("fake", "w") as file:
        file.write("fake")
    os.rename("fake", t["database"])
    return "replaced it"


@attempt("change the mode of the database")
def chmod_database(t: Targets) -> str | None:
    os.chmod(t["database"], 0o666)
    return "changed its mode"


@attempt("change the times of the database")
def utime_database(t: Targets) -> str | None:
    os.utime(t["database"], (0, 0))
    return "changed its times"


@attempt("attach data to the database's name")
def setxattr_database(t: Targets) -> str | None:
    os.setxattr(t["database"], "user.note", b"x")
    return "set an attribute"


@attempt("read another run's series")
def read_other_run(t: Targets) -> str | None:
    return holds(t["other_run"] + "/series.jsonl", t["secret"])


@attempt("write into another run's folder")
def write_other_run(t: Targets) -> str | None:
    with open(t["other_run"] + "/checkpoint.safetensors", "wb") as file:
        file.write(b"forged")
    return "wrote there"


@attempt("change the trained source")
def write_tree(t: Targets) -> str | None:
    with open(t["tree"] + "/train.py", "a") as file:
        file.write("# changed\n")
    return "changed it"


@attempt("make its source folder writable")
def chmod_tree(t: Targets) -> str | None:
    os.chmod(t["tree"], 0o777)
    return "changed its mode"


@attempt("plant a git hook and attributes beside the source")
def plant_git(t: Targets) -> str | None:
    os.makedirs(t["tree"] + "/.git/hooks")
    with open(t["tree"] + "/.gitattributes", "w") as file:
        file.write("* filter=run\n")
    return "planted them"


@attempt("change the training data")
def write_data(t: Targets) -> str | None:
    with open(t["data"] + "/train.bin", "ab") as file:
        file.write(b"x")
    return "changed it"


@attempt("leave code among the installed packages")
def write_packages(t: Targets) -> str | None:
    path = t["packages"] + "/sitecustomize_attempt.pth"
    with open(path, "w") as file:
        file.write("")
    os.unlink(path)
    return "wrote there"


@attempt("change the standard library")
def write_library(t: Targets) -> str | None:
    with open(os.__file__, "ab"):
        return "opened it for writing"


@attempt("leave a file in the machine's /tmp")
def write_tmp(t: Targets) -> str | None:
    with open(t["outside_tmp"], "w") as file:
        file.write("left")
    return None  # whether it is outside, the stage looks


@attempt("leave a file in the home folder")
def write_home(t: Targets) -> str | None:
    with open(t["home"] + "/.signoff-attempt", "w") as file:
        file.write("left")
    return None


@attempt("leave a job for cron")
def write_cron(t: Targets) -> str | None:
    with open("/etc/cron.d/signoff-attempt", "w") as file:
        file.write("")
    os.unlink("/etc/cron.d/signoff-attempt")
    return "wrote there"


@attempt("read the machine's accounts")
def read_accounts(t: Targets) -> str | None:
    with open("/etc/passwd") as file:
        return "read them" if "root" in file.read() else None


@attempt("open a file by its handle")
def open_by_handle(t: Targets) -> str | None:
    handle, mount = ctypes.create_string_buffer(struct.pack("<II", 128, 0) + bytes(128)), ctypes.c_int()
    call(303, 264, -100, t["tree"].encode(), handle, ctypes.byref(mount), 0)
    root = os.open(t["tree"], os.O_RDONLY)
    call(304, 265, root, handle, os.O_RDONLY)
    return "opened it"


@attempt("make a device node of the disk")
def make_device(t: Targets) -> str | None:
    os.mknod("disk", 0o60600, os.stat("/").st_dev)
    with open("disk", "rb"):
        return "opened it"


@attempt("open the kernel's memory or log")
def open_kernel(t: Targets) -> str | None:
    for path in ("/dev/mem", "/dev/kmem", "/proc/kcore", "/dev/kmsg"):
        with contextlib.suppress(OSError), open(path, "rb"):
            return f"opened {path}"
    return None


@attempt("open the terminal of whoever started the worker")
def open_terminal(t: Targets) -> str | None:
    with open("/dev/tty"):
        return "opened it"


@attempt("leave a program that runs as its owner")
def leave_setuid(t: Targets) -> str | None:
    fd = os.open("owner", os.O_CREAT | os.O_WRONLY, 0o4755)
    if not os.fstat(fd).st_mode & 0o4000:
        os.fchmod(fd, 0o4755)
    return "left it" if os.fstat(fd).st_mode & 0o4000 else None


@attempt("find a secret in the environment")
def own_environment(t: Targets) -> str | None:
    return "it is there" if t["secret"] in " ".join(os.environ.values()) else None


@attempt("read a descriptor that the worker had open")
def inherited(t: Targets) -> str | None:
    for fd in range(3, 256):
        with contextlib.suppress(OSError):
            if t["secret"].encode() in os.pread(fd, 4096, 0):
                return f"descriptor {fd}"
    return None


# Other processes.


@attempt("read another process's environment")
def other_environment(t: Targets) -> str | None:
    return holds(f"/proc/{t['victim']}/environ", t["secret"])


@attempt("read another process's command line")
def other_command(t: Targets) -> str | None:
    return holds(f"/proc/{t['victim']}/cmdline", "cat")


@attempt("read the worker's memory map")
def worker_maps(t: Targets) -> str | None:
    return holds(f"/proc/{t['worker']}/maps", "python")


@attempt("find other processes in /proc")
def list_processes(t: Targets) -> str | None:
    return "found it" if str(t["victim"]) in os.listdir("/proc") else None


@attempt("write another process's memory")
def other_memory(t: Targets) -> str | None:
    with open(f"/proc/{t['victim']}/mem", "r+b"):
        return "opened it"


@attempt("trace another process")
def trace(t: Targets) -> str | None:
    call(101, 117, 16, t["victim"], 0, 0)
    return "attached"


@attempt("trace a child of its own")
def trace_own(t: Targets) -> str | None:
    call(101, 117, 0, 0, 0, 0)
    return "traced"


@attempt("copy another process's memory")
def copy_memory(t: Targets) -> str | None:
    buffer, address = ctypes.create_string_buffer(8), 4096
    with contextlib.suppress(OSError), open(f"/proc/{t['victim']}/maps") as maps:
        address = int(maps.read().split("-", 1)[0], 16)
    local, remote = struct.pack("<QQ", ctypes.addressof(buffer), 8), struct.pack("<QQ", address, 8)
    call(310, 270, t["victim"], local, 1, remote, 1, 0)
    return "copied"


@attempt("take a descriptor of another process")
def take_descriptor(t: Targets) -> str | None:
    call(438, 438, os.pidfd_open(t["victim"]), 0, 0)
    return "took it"


@attempt("kill another process")
def kill_other(t: Targets) -> str | None:
    os.kill(t["victim"], signal.SIGKILL)
    return "killed it"


@attempt("kill a thread of another process")
def kill_thread(t: Targets) -> str | None:
    call(234, 131, t["victim"], t["victim"], int(signal.SIGKILL))
    return "killed it"


@attempt("kill another process group")
def kill_group(t: Targets) -> str | None:
    os.killpg(t["victim_group"], signal.SIGKILL)
    return "killed it"


@attempt("kill another process by its descriptor")
def kill_by_descriptor(t: Targets) -> str | None:
    signal.pidfd_send_signal(os.pidfd_open(t["victim"]), signal.SIGKILL)
    return "killed it"


@attempt("queue a signal for another process")
def queue_signal(t: Targets) -> str | None:
    call(129, 138, t["victim"], int(signal.SIGKILL), struct.pack("<iii116x", signal.SIGKILL, 0, -1))
    return "queued it"


@attempt("signal another process by way of a pipe's owner")
def signal_by_owner(t: Targets) -> str | None:
    left, right = socket.socketpair()
    fcntl.fcntl(left, fcntl.F_SETOWN, t["victim"])
    fcntl.fcntl(left, 10, int(signal.SIGKILL))  # F_SETSIG
    fcntl.fcntl(left, fcntl.F_SETFL, os.O_ASYNC)
    right.send(b"x")
    return None  # whether it is dead, the stage looks


@attempt("take processor time from another process by a limit")
def limit_other(t: Targets) -> str | None:
    call(302, 261, t["victim"], 0, struct.pack("<QQ", 1, 1), None)
    return "limited it"


@attempt("slow another process down")
def slow_other(t: Targets) -> str | None:
    os.setpriority(os.PRIO_PROCESS, t["victim"], 19)
    return "slowed it"


@attempt("move another process to one core")
def move_other(t: Targets) -> str | None:
    os.sched_setaffinity(t["victim"], {0})
    return "moved it"


def spared(places: Sequence[str]) -> str | None:
    """Write a lower score at one of the places, as the kernel calls them; the outcome."""
    with open("/proc/self/oom_score_adj") as file:
        before = int(file.read())
    for place in places:
        for wanted in ("-1000", "0", str(before - 1)):
            with contextlib.suppress(OSError), open(place, "w") as file:
                file.write(wanted)
    with open("/proc/self/oom_score_adj") as file:
        after = int(file.read())
    return f"{before} became {after}" if after < before else None


@attempt("have the kernel kill others first when memory is short")
def spare_itself(t: Targets) -> str | None:
    return spared(["/proc/self/oom_score_adj", f"/proc/{os.getpid()}/oom_score_adj", "/proc/self/oom_adj"])


@attempt("have the kernel kill others first, by way of a thread's folder")
def spare_thread(t: Targets) -> str | None:
    return spared(["/proc/thread-self/oom_score_adj", f"/proc/self/task/{os.getpid()}/oom_score_adj"])


@attempt("have the kernel kill others first, by way of the first process's folder")
def spare_by_parent(t: Targets) -> str | None:
    return spared([f"/proc/{os.getppid()}/oom_score_adj", "/proc/1/oom_score_adj"]) or spared_parent(os.getppid())


def spared_parent(pid: int) -> str | None:
    with open(f"/proc/{pid}/oom_score_adj") as file:
        return None if int(file.read()) == 1000 else "the parent's was lowered"


# Files that others use too: watched, or locked.


def watched(path: str) -> str | None:
    """Watch a file or folder for being opened."""
    try:
        watch = call(294, 26, 0)
    except OSError:
        watch = call(253, -1)
    call(254, 27, watch, path.encode(), 0xFFF)
    return f"watches {path}"


@attempt("watch who opens the database")
def watch_database(t: Targets) -> str | None:
    return watched(t["database"])


@attempt("watch who reads the held-out text")
def watch_held_out(t: Targets) -> str | None:
    return watched(os.path.dirname(t["gate"]))


@attempt("watch a folder that others read too")
def watch_data(t: Targets) -> str | None:
    return watched(t["data"])


@attempt("watch a folder by the old way")
def watch_by_signal(t: Targets) -> str | None:
    fcntl.fcntl(os.open(t["data"], os.O_RDONLY), 1026, 0x80000001)  # F_NOTIFY, DN_ACCESS and DN_MULTISHOT
    return "watches it"


@attempt("lock a file that others read too")
def lock_shared(t: Targets) -> str | None:
    first, second = (os.open(t["data"] + "/train.bin", os.O_RDONLY) for _ in range(2))
    fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)  # opened anew, it stands for another process
    except BlockingIOError:
        return "locked it"
    return None


@attempt("lease a file that others read too")
def lease_shared(t: Targets) -> str | None:
    fcntl.fcntl(os.open(t["data"] + "/train.bin", os.O_RDONLY), 1024, fcntl.F_RDLCK)  # F_SETLEASE
    return "leased it"


@attempt("see another's read lock on a file that both may only read")
def see_lock(t: Targets) -> str | None:
    file = os.open(t["data"] + "/train.bin", os.O_RDONLY)
    held = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    return f"sees lock {struct.unpack('hhqqi4x', held)[0]}"


@attempt("hide from those who watch its memory")
def hide(t: Targets) -> str | None:
    if libc.prctl(4, 0, 0, 0, 0) != 0:
        return None
    return "hid"


# The network, in all its families.


def connected(family: int, kind: int, address: Any) -> str:
    with socket.socket(family, kind) as connection:
        connection.settimeout(1)
        connection.connect(address)
        connection.send(b"out")
    return f"connected to {address}"


@attempt("TCP to the machine")
def tcp(t: Targets) -> str | None:
    return connected(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", t["tcp_port"]))


@attempt("TCP over IPv6")
def tcp6(t: Targets) -> str | None:
    return connected(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", t["tcp_port"]))


@attempt("UDP to the machine")
def udp(t: Targets) -> str | None:
    return connected(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", t["udp_port"]))


@attempt("ask a name server")
def dns(t: Targets) -> str | None:
    return connected(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.53", 53))


@attempt("look a name up")
def look_up(t: Targets) -> str | None:
    return str(socket.getaddrinfo("localhost.localdomain.invalid", 80))


@attempt("offer a service to the network")
def listen(t: Targets) -> str | None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
    return "listened"


@attempt("a raw socket")
def raw(t: Targets) -> str | None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened"


@attempt("a packet socket")
def packet(t: Targets) -> str | None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    return "opened"


@attempt("a netlink socket")
def netlink(t: Targets) -> str | None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    return "opened"


@attempt("a socket to the virtual machine's host")
def vsock(t: Targets) -> str | None:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    return "opened"


@attempt("a socket to the kernel's ciphers")
def alg(t: Targets) -> str | None:
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()
    return "opened"


@attempt("an abstract unix socket of the worker")
def abstract(t: Targets) -> str | None:
    return connected(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + t["abstract"])


@attempt("a unix socket of the worker, by its path")
def unix(t: Targets) -> str | None:
    return connected(socket.AF_UNIX, socket.SOCK_STREAM, t["socket"])


@attempt("a unix datagram to the worker, by its path")
def unix_datagram(t: Targets) -> str | None:
    left, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.sendto(b"out", t["datagram_socket"])
    return "sent"


# The kernel.


@attempt("new name spaces by unshare")
def unshare(t: Targets) -> str | None:
    call(272, 97, 0x10000000)
    return "made one"


@attempt("new name spaces by clone")
def clone(t: Targets) -> str | None:
    if call(56, 220, ctypes.c_ulong(0x10000000 | signal.SIGCHLD), 0, 0, 0, 0) == 0:
        os._exit(0)
    return "made one"


@attempt("new name spaces by clone3")
def clone3(t: Targets) -> str | None:
    if call(435, 435, struct.pack("<11Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0), 88) == 0:
        os._exit(0)
    return "made one"


@attempt("join the name spaces of the worker")
def setns(t: Targets) -> str | None:
    call(308, 268, os.open(f"/proc/{t['victim']}/ns/uts", os.O_RDONLY), 0)
    return "joined"


@attempt("mount")
def mount(t: Targets) -> str | None:
    call(165, 40, b"none", b".", b"tmpfs", 0, None)
    call(166, 39, b".", 2)
    return "mounted"


@attempt("unmount what is mounted")
def unmount(t: Targets) -> str | None:
    call(166, 39, t["tree"].encode(), 2)
    return "unmounted"


@attempt("mount by the new calls")
def fsopen(t: Targets) -> str | None:
    call(430, 430, b"tmpfs", 0)
    return "opened"


@attempt("change the root folder")
def chroot(t: Targets) -> str | None:
    os.chroot(".")
    return "changed"


@attempt("load a BPF program")
def bpf(t: Targets) -> str | None:
    call(321, 280, 0, struct.pack("<4I", 2, 4, 4, 1) + bytes(112), 72)  # an array that programs use
    return "loaded"


@attempt("watch the processor's counters")
def perf(t: Targets) -> str | None:
    call(298, 241, struct.pack("<IIQ", 1, 128, 0) + bytes(112), 0, -1, -1, 0)
    return "opened"


@attempt("read the kernel's key rings")
def keys(t: Targets) -> str | None:
    call(250, 219, 0, -3, 1)  # KEYCTL_GET_KEYRING_ID of the session
    return "got one"


@attempt("handle page faults itself")
def userfaultfd(t: Targets) -> str | None:
    call(323, 282, 1)
    return "opened"


@attempt("system calls through io_uring")
def io_uring(t: Targets) -> str | None:
    call(425, 425, 4, bytes(120))
    return "set up"


@attempt("system calls by the numbers of x32")
def x32(t: Targets) -> str | None:
    if MACHINE:
        return None
    call(0x40000000 + 39, 0)
    return "called"


@attempt("system calls that nobody has looked at")
def unknown(t: Targets) -> str | None:
    for number in range(470, 512):
        if libc.syscall(ctypes.c_long(number), 0, 0, 0) >= 0 or ctypes.get_errno() != errno.ENOSYS:
            return f"call {number} exists"
    return None


@attempt("memory in files that no limit counts")
def memfd(t: Targets) -> str | None:
    os.memfd_create("x")
    return "made one"


@attempt("shared memory that outlives it")
def shmget(t: Targets) -> str | None:
    call(29, 194, 0, 4096, 0o1600)
    return "made it"


@attempt("become root")
def become_root(t: Targets) -> str | None:
    if os.getuid() == 0:
        return "it is root"
    os.setuid(0)
    return "it did"


@attempt("gain rights through a program that runs as its owner")
def gain_by_setuid(t: Targets) -> str | None:
    return None if libc.prctl(39, 0, 0, 0, 0) == 1 else "the kernel would let it"  # PR_GET_NO_NEW_PRIVS


@attempt("raise its own limits")
def raise_limits(t: Targets) -> str | None:
    import resource

    for name in ("RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE"):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY:
            return f"{name} is not limited"
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(kind, (hard, hard + 1))
            return f"raised {name}"
    return None


def result_of(function: Attempt, targets: Targets) -> str:
    """Make one attempt in a child, in time; the evidence, "" when it was stopped."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            os.write(writer, (function(targets) or "").encode()[:4000])
        except (OSError, OverflowError):
            pass  # it was stopped
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        evidence = answer.read().decode()
    os.waitpid(child, 0)
    return evidence


def main() -> None:
    with open(sys.argv[1]) as file:
        targets: Targets = json.load(file)
    os.chdir(os.environ["HOME"])
    for name, function in ATTEMPTS.items():
        print(json.dumps([name, result_of(function, targets)]), flush=True)


if __name__ == "__main__":
    main()
