# SPDX-License-Identifier: Apache-2.0
"""Run several processes of a program on the same file, and announce when all have touched it.

run.py PROCESSES FOLDER PROGRAM

Phases: ``start``, ``touched`` and ``end``. What each process says is compared with what is in the
file. Value: ``elapsed``, the guest time from the first process's start until all have touched.
"""

import json
import os
import subprocess
import sys
import time

import trial
from files import DATA, GIB, IN_BASE, IN_TABLE, NEEDLE, STEP, checksum
from worker import work

HERE = os.path.dirname(os.path.abspath(__file__))
IN_DATA = ord("0") * (GIB // STEP)
# QEMU reads as much of its memory.
SAVED = 256 << 20
PAGE = 4096


def worker(kind, folder):
    return [sys.executable, os.path.join(HERE, "worker.py"), kind, folder]


def java(folder):
    # Small and without threads of its own: what is measured is the mapping.
    jvm = ["java", "-XX:+UseSerialGC", "-Xint", "-Xmx64m", "-cp", "/opt", "Touch"]
    return [*jvm, os.path.join(folder, DATA)]


def qemu(folder, more=""):
    backend = f"memory-backend-file,id=ram,size=1G,share=on,mem-path={folder}/{DATA}{more}"
    # QMP is on its standard output, and its processors never run.
    return [
        *("qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-m", "1G"),
        *("-object", backend, "-machine", "pc,memory-backend=ram", "-qmp", "stdio"),
    ]


class Process:
    """A process that answers on its standard output, and ends with its standard input."""

    def __init__(self, argv):
        self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._child.pid

    def answer(self):
        return int(self._child.stdout.readline())

    def release(self):
        self._child.stdin.close()

    def wait(self):
        return self._child.wait()


class Qemu(Process):
    """QEMU, asked to read its memory."""

    def answer(self):
        saved = f"/run/saved-{self.pid}"
        self._command("qmp_capabilities")
        self._command("pmemsave", val=0, size=SAVED, filename="/dev/null")
        self._command("pmemsave", val=SAVED, size=PAGE, filename=saved)
        with open(saved, "rb") as file:
            return file.read().count(b"0")

    def release(self):
        self._command("quit")
        super().release()

    def _command(self, name, **arguments):
        text = json.dumps({"execute": name, "arguments": arguments})
        self._child.stdin.write(f"{text}\n".encode())
        self._child.stdin.flush()
        # Events and the greeting come in between.
        while "return" not in (said := json.loads(self._child.stdout.readline())):
            if "error" in said:
                fail(f"QEMU: {name}: {said['error']['desc']}")


class Forked:
    """A child of this process, which has loaded everything."""

    def __init__(self, kind, folder):
        answer, self._say = os.pipe()
        self._wait, go = os.pipe()
        self._answer, self._go = os.fdopen(answer, "rb"), os.fdopen(go, "wb")
        self.pid = os.fork()
        if self.pid == 0:
            self._answer.close()
            self._go.close()
            try:
                work(kind, folder, os.fdopen(self._say, "wb"), os.fdopen(self._wait, "rb"))
            finally:
                os._exit(0)
        os.close(self._say)
        os.close(self._wait)

    def answer(self):
        return int(self._answer.readline())

    def release(self):
        self._go.close()

    def wait(self):
        # The others have inherited this end of the pipe, and close it when they end.
        return os.waitpid(self.pid, 0)[1]


def forked(kind):
    import numpy  # noqa: F401

    return lambda folder: Forked(kind, folder)


def started(kind):
    return lambda folder: Process(worker(kind, folder))


# How a process of each program is started, and what it must answer.
PROGRAMS = {
    "lmdb": (lambda: started("lmdb"), checksum(IN_TABLE)),
    "lmdb-writer": (lambda: started("lmdb"), checksum(IN_TABLE)),
    "sqlite": (lambda: started("sqlite"), checksum(IN_BASE)),
    "numpy-fork": (lambda: forked("numpy"), IN_DATA),
    "numpy-spawn": (lambda: started("numpy"), IN_DATA),
    "numpy-copy": (lambda: forked("numpy-copy"), IN_DATA),
    "populate": (lambda: started("populate"), IN_DATA),
    "java": (lambda: lambda folder: Process(java(folder)), IN_DATA),
    "qemu": (lambda: lambda folder: Qemu(qemu(folder)), PAGE - PAGE // 64),
    "qemu-align": (lambda: lambda folder: Qemu(qemu(folder, ",align=1G")), PAGE - PAGE // 64),
}

# Programs that cannot be made to wait: `sample` stops them where they have the most page tables.
ONES_THAT_RUN = {
    "ripgrep": f"""
        for i in $(seq {{processes}}); do
            [ "$(rg --mmap -m 1 -c '{NEEDLE.decode().strip()}' {{folder}}/{DATA})" = 1 ] &
            all="$all $!"
        done
        for one in $all; do wait $one || exit; done""",
    "fio-mmap": f"""
        exec fio --name=read --ioengine=mmap --rw=randread --bs=4k --numjobs={{processes}} \\
            --filename={{folder}}/{DATA} --size=1g --io_size=32m --minimal > /run/fio""",
    "fio-libpmem": f"""
        exec fio --name=read --ioengine=libpmem --direct=1 --rw=randread --bs=4k \\
            --numjobs={{processes}} --filename={{folder}}/{DATA} --size=1g --io_size=32m \\
            --minimal > /run/fio""",
}


def fail(message):
    sys.exit(f"run.py: {message}")


def run(program, count, folder):
    make, expected = PROGRAMS[program]
    start = make()
    trial.phase("start")
    began = time.monotonic_ns()
    writers = [started("lmdb-write")] if program == "lmdb-writer" else []
    kinds = [*writers, *[start] * (count - len(writers))]
    processes = [kind(folder) for kind in kinds]
    answers = [process.answer() for process in processes]
    elapsed = time.monotonic_ns() - began
    if wrong := [answer for answer in answers if answer != expected]:
        fail(f"{len(wrong)} of {count} processes read {wrong[0]}, not {expected}")
    trial.phase("touched", [process.pid for process in processes])
    for process in processes:
        process.release()
    statuses = [process.wait() for process in reversed(processes)]
    if any(statuses):
        fail(f"{program} exited with {statuses}")
    trial.phase("end")
    trial.value("elapsed", "ns", elapsed)


def main(count, folder, program):
    if program not in ONES_THAT_RUN:
        run(program, int(count), folder)
        return
    script = ONES_THAT_RUN[program].format(processes=count, folder=folder)
    words = ["sample", "--at", "peak", "--phase", "touched", "--every", "20", "--"]
    os.execvp("sample", [*words, "sh", "-c", script])


if __name__ == "__main__":
    main(*sys.argv[1:])
