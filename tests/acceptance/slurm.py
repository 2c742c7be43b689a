"""Runs a Slurm of one node: munge, slurmctld and slurmd of this system, with a configuration and a folder of
their own. Needs root, as slurmd starts jobs as their users."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SCRIPTS = Path(__file__).parents[2] / "deploy" / "slurm"
PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol")
PATIENCE = 60.0
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def missing() -> str | None:
    """Why no Slurm can be run here; None if one can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if absent:
        return f"needs {', '.join(absent)}: packages slurm-wlm and munge of the distribution"
    return None if os.geteuid() == 0 else "needs root: slurmd starts jobs as their users"


class Slurm:
    """`with Slurm(licences, sojourn) as slurm:` - `licences` as in slurm.conf; `sojourn` are the lines of the
    prolog's and epilog's configuration file.

    Its folder is open to all users, as their jobs write there.
    """

    def __init__(self, licences: str, sojourn: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        self._licences = licences
        self._sojourn = sojourn
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
            "PATH": _PATH,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }

    def __enter__(self) -> Self:
        try:
            self._munge()
            self._configure()
            self._daemon("slurmctld", "-D", "-i", "-c")
            self._daemon("slurmd", "-D", "-N", "node")
            self._until(lambda: "State=IDLE" in self.run("scontrol", "show", "node", "node"), "node is idle")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    # what users do

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def submit(self, script: str, *flags: str) -> str:
        """A job; its number."""
        path = self.folder / f"job-{len(list(self.folder.glob('job-*')))}.sh"
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        output = self.folder / "out"
        output.mkdir(exist_ok=True)
        output.chmod(0o777)
        done = subprocess.run(
            ["sbatch", "--parsable", f"--output={output}/%j", "--chdir=/", *flags, str(path)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout.strip()

    def state(self, job: str) -> str:
        shown = self.run("scontrol", "show", "job", "--oneliner", job)
        return next((word[9:] for word in shown.split() if word.startswith("JobState=")), "")

    def output(self, job: str) -> str:
        path = self.folder / "out" / job
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait(self, job: str, *states: str) -> None:
        self._until(lambda: self.state(job) in states, f"job {job} is {' or '.join(states)}")

    def says(self, job: str, words: str) -> None:
        """Wait until the job has printed that."""
        self._until(lambda: words in self.output(job), f"job {job} says {words!r}: {self.output(job)}")

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(encoding='utf-8', errors='replace')[-3000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    # how it is made

    def _munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        key, made = folder / "key", folder / "socket"
        subprocess.run(
            ["mungekey", "--create", f"--keyfile={key}"], env=self._environment, check=True, timeout=PATIENCE
        )
        self._daemon(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={made}",
            f"--pid-file={folder}/pid",
            f"--seed-file={folder}/seed",
            f"--log-file={self.folder}/munged.log",
        )
        self._until(made.exists, "munge is there")

    def _configure(self) -> None:
        folder = self.folder
        settings = folder / "sojourn.conf"
        settings.write_text(
            "".join(f"{name}={value!r}\n" for name, value in self._sojourn.items()), encoding="utf-8"
        )
        for name in ("prolog", "epilog"):
            path = folder / name
            path.write_text(
                f"#!/bin/bash\nexport SOJOURN_SLURM_CONF={settings}\n"
                f"exec {SCRIPTS}/{name}.sh >>{folder}/{name}.log 2>&1\n",
                encoding="utf-8",
            )
            path.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = _free_ports(2)
        if self._version() >= (23, 11):  # from then on it looks for control groups unless it is told not to
            (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="utf-8")
        (folder / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=100000
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=1
Licenses={self._licences}
PrologSlurmctld={folder}/prolog
EpilogSlurmctld={folder}/epilog
NodeName=node NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 State=UNKNOWN
PartitionName=all Nodes=node Default=YES MaxTime=60 State=UP
""",
            encoding="utf-8",
        )

    def _version(self) -> tuple[int, ...]:
        said = self.run("slurmd", "-V").split()[-1]
        return tuple(int(part) for part in said.split(".")[:2])

    def _daemon(self, program: str, *flags: str) -> None:
        with (self.folder / f"{program}.out.log").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [shutil.which(program, path=_PATH) or program, *flags],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    def _until(self, condition: object, what: str) -> None:
        assert callable(condition)
        end = time.monotonic() + PATIENCE
        while not condition():
            dead = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
            assert not dead, f"{dead} ended\n{self.logs()}"
            assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}\n{self.logs()}"
            time.sleep(0.2)

    def _stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()
