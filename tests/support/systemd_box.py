"""systemd as process 1 of a world of its own, with the daemon installed there as its unit file wants it.

Its processes, network, cgroups and mounts are namespaces; its files are a copy-on-write view of this machine's, so that
nothing of it remains. It has no units but the one that is tested, and cannot set this kernel's parameters. All of that
takes root's rights, and a kernel and a systemd that go along: where they do not, SystemdBox raises Impossible with the
reason.
"""

import os
import shutil
import signal
import subprocess

from servers import BASED, ROOT, WAIT_S, temporary_folder, wait_until

SYSTEMD = "/usr/lib/systemd/systemd"
PROGRAMS = ("unshare", "nsenter", "mount", "umount", "pivot_root", "systemctl", SYSTEMD)

# $1: an empty folder; the others: the program, the unit, its configuration.
BOX = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p run/units etc/based
cp "$2" usr/bin/based
cp "$3" run/units/based.service
cp "$4" etc/based/based.toml
for target in basic sysinit shutdown; do printf '[Unit]\\nDefaultDependencies=no\\n' > run/units/$target.target; done
mkdir run/units/based.service.d
printf '[Service]\\nStandardError=append:/run/based.log\\n' > run/units/based.service.d/log.conf
mkdir run/before
pivot_root . run/before
umount -l /run/before
mount --make-rshared /  # as systemd does where it boots a machine: it brings credentials into place so
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=based-test SYSTEMD_UNIT_PATH=/run/units \\
  {SYSTEMD} --system --unit=basic.target --log-target=null --show-status=no
"""


class Impossible(Exception):
    """systemd cannot be run here."""


def own_cgroup():
    """The folder of this process in the unified hierarchy."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        found = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    with open("/proc/self/cgroup", encoding="utf-8") as groups:
        own = [line.rstrip("\n")[3:] for line in groups if line.startswith("0::")]
    if not found or not own:
        raise Impossible("there is no unified hierarchy of cgroups")
    return found[0] + own[0].rstrip("/")


class SystemdBox:
    def __init__(self):
        if os.geteuid() != 0:
            raise Impossible("namespaces with a systemd of their own take root's rights")
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise Impossible(f"not installed: {', '.join(missing)}")
        self.folder = temporary_folder()
        self.cgroup = f"{own_cgroup()}/{self.folder.name}"
        self.unshare = None
        self.init = None
        try:
            self._start()
        except OSError as reason:
            self.close()
            raise Impossible(str(reason)) from reason
        except BaseException:
            self.close()
            raise

    def _start(self):
        os.mkdir(self.cgroup)
        complaints = self.folder / "complaints"
        world = self.folder / "world"
        world.mkdir()
        files = (BASED, ROOT / "packaging" / "based.service", ROOT / "packaging" / "based.toml")
        command = ["sh", "-c", f'echo $$ > {self.cgroup}/cgroup.procs && exec "$@"', "sh",
                   "unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup",
                   "sh", "-c", BOX, "sh", world, *files]
        with open(complaints, "wb") as output:
            self.unshare = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_until(lambda: self.unshare.poll() is not None or self._is_up(), "systemd")
        except AssertionError as reason:
            raise Impossible(f"{reason}: {complaints.read_text()}") from reason
        if self.unshare.poll() is not None:
            raise Impossible(complaints.read_text().strip() or f"it ended with {self.unshare.returncode}")

    def _is_up(self):
        with open(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children", encoding="utf-8") as children:
            pids = children.read().split()
        self.init = int(pids[0]) if pids else None
        return self.init and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def run(self, *command, seconds=WAIT_S):
        return subprocess.run(["nsenter", "-t", str(self.init), "--all", *command], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=seconds)

    def ctl(self, *arguments):
        """systemctl's exit code."""
        return self.run("systemctl", *arguments).returncode

    def show(self, *properties):
        """What systemd knows of the service, as one value or a tuple."""
        done = self.run("systemctl", "show", "based", *(f"--property={name}" for name in properties))
        found = dict(line.split("=", 1) for line in done.stdout.splitlines())
        values = tuple(found[name] for name in properties)
        return values[0] if len(values) == 1 else values

    def path(self, inside):
        """Where a file of that world is seen from here."""
        return f"/proc/{self.init}/root{inside}"

    def log(self):
        with open(self.path("/run/based.log"), encoding="utf-8") as file:
            return file.read()

    def close(self):
        if self.unshare is not None:
            self.unshare.send_signal(signal.SIGKILL)  # its child, process 1, is killed with it; so is everybody there
            self.unshare.wait(WAIT_S)
        if os.path.isdir(self.cgroup):
            wait_until(self._is_cleared, "the cgroups to be empty")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_cleared(self):
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return False
        return True
