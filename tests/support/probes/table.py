"""The battery: every probe, and the verdict it must come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.probes import (
    attack_collect,
    attack_images,
    attack_mounts,
    attack_names,
    attack_ready,
)
from tests.support.probes.stage import MIB

from wherry.models import Limits, Secret

if TYPE_CHECKING:
    from tests.support.probes.attack import Attack, Verdict


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One attempt, what must come of it, and why."""

    name: str
    group: str
    tries: str
    why: str
    command: Sequence[str] = ()
    """What runs in the container; empty for an attack from outside."""
    attack: Attack | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the container's Function."""
    root: Verdict = "contained"
    user: Verdict = "contained"
    """As a user without a control group; with one, as root."""
    may_refuse: bool = False
    """Whether the machine may lack what is tried: then the call is refused, and says why."""

    @property
    def how(self) -> str:
        """Say how it is tried, for the table."""
        if self.attack is not None:
            return f"`{self.attack.__module__.rpartition('.')[2]}.{self.attack.__name__}`"
        words = [word.split("\n")[0] for word in self.command]
        return f"`{' '.join(words)}`".replace("|", "\\|")


def _probe(group: str, name: str, tries: str, why: str, *arguments: str, **fields: Any) -> Probe:
    """Make a probe of the C program, which is run under its own name unless `run` says else."""
    options = fields.pop("options", {})
    command = ("/probes", fields.pop("run", name), *arguments)
    return Probe(
        name=name, group=group, tries=tries, why=why, command=command, options=options, **fields
    )


def _attack(group: str, name: str, attack: Attack, tries: str, why: str, **fields: Any) -> Probe:
    return Probe(name=name, group=group, tries=tries, why=why, attack=attack, **fields)


def _shell(group: str, name: str, tries: str, why: str, script: str, **fields: Any) -> Probe:
    command = ("sh", "-c", script)
    return Probe(name=name, group=group, tries=tries, why=why, command=command, **fields)


_NO_CAPS = "no capability, and not in the system call filter"
_FILTER = "not in the system call filter"
_MOUNT_NS = "a mount namespace of its own, in which the host's files are not"
_PID_NS = "a pid namespace of its own"
_NET_NS = "a network namespace of its own"
_RESOLVED = "paths are resolved inside the image, and /proc/1 is masked before any is used"
_SECRET = (Secret(name="token", value=b"its own"),)
_LIMITED = Limits(memory=64 * MIB, pids=32, tmp=16 * MIB)

_HOST = (
    _probe("Host files", "host-file", "Open a world-readable host file by 14 paths", _MOUNT_NS),
    _probe("Host files", "proc-1", "Use the links, memory and environment of pid 1, chmod its exe",
           "/proc/1 is an empty read-only file system"),
    _probe("Host files", "proc-1-race", "Catch bubblewrap's descriptor of the host's /proc in its "
           "pid 1 before it is closed", "/proc/1 is an empty read-only file system"),
    _attack("Host files", "proc-1-race-often", attack_names.pid_one_race,
            "The same, 60 containers in a row",
            "without the mask about one container in a hundred got out"),
    _probe("Host files", "proc-links", "Reach the file through root, cwd and fd of every pid",
           _PID_NS),
    _probe("Host files", "dot-dot", "Climb out by .. from everywhere", "pivot_root, not chroot"),
    _probe("Host files", "chroot", "chroot, pivot_root", _NO_CAPS),
    _probe("Host files", "file-handle", "open_by_handle_at of a handle and of inode 2", _NO_CAPS),
    _shell("Host files", "neighbours-files", "Find files and secrets of another container",
           "every container has its own file systems",
           "for path in /tmp/neighbour /run/secrets /dev/shm/* /var/lib/wherry /var/tmp/*; do "
           '[ -e "$path" ] && echo "ESCAPED $path" && exit; done; echo CONTAINED none there'),
    _attack("Host files", "lower-layer", attack_images.lower_layer,
            "Overwrite, remove, rename and truncate files of the image",
            "the image is an overlay's lower layer: writes go to a layer that ends with the call"),
    _attack("Host files", "shows-on-the-host", attack_names.shows_on_the_host,
            "Find a secret or a variable's value in the host's process list",
            "arguments go through a memory file, secrets too"),
)  # fmt: skip

_MOUNTS = (
    _probe("Mounts", "mount", "Mount proc, tmpfs, sysfs, overlay, fuse, devpts, bind", _NO_CAPS),
    _probe("Mounts", "remount", "Remount /, /proc and /dev writable", _NO_CAPS),
    _probe("Mounts", "read-only-root", "Write to / of a read-only container, remount it",
           "remounted read-only before the program starts", options={"read_only": True}),
    _probe("Mounts", "unmount", "Take the masks off /proc, unmount /", _NO_CAPS),
    _probe("Mounts", "new-mount-api", "fsopen, open_tree, move_mount, mount_setattr…", _NO_CAPS),
    _probe("Mounts", "overlay-tricks", "Make whiteouts, set the overlay's own attributes",
           "devices and trusted attributes need capabilities; user.overlay.* is not what it seems"),
    _attack("Mounts", "overlay-attributes", attack_images.overlay_attributes,
            "A redirect attribute on a directory of the image",
            "redirects are never followed without privileges"),
    _probe("Mounts", "release-agent", "Mount a cgroup hierarchy, find a release_agent", _NO_CAPS),
)  # fmt: skip

_KERNEL = (
    _probe("Kernel files", "kcore", "Read /proc/kcore and /dev/core", "masked"),
    _probe("Kernel files", "device-memory", "Open mem, kmsg, kvm, fuse, tun, disks…",
           "/dev holds six harmless devices, and none can be made"),
    _probe("Kernel files", "sysctl", "Write to /proc/sys", "/proc is read-only"),
    _probe("Kernel files", "core-pattern", "Set core_pattern, have a core dumped",
           "/proc is read-only, cores are limited to nothing"),
    _probe("Kernel files", "sysrq", "Open /proc/sysrq-trigger for writing", "masked, read-only"),
    _probe("Kernel files", "masked", "Read keys, timer_list, interrupts, acpi…", "masked"),
    _probe("Kernel files", "sysfs", "Look into /sys", "not mounted"),
    _probe("Kernel files", "proc-self-write", "Write to mem, uid_map, setgroups… of its own",
           "/proc is read-only"),
    _probe("Kernel files", "oom-score", "Make others die first when memory runs out",
           "/proc is read-only, and the score starts at 500"),
    _probe("Kernel files", "modules", "Load and remove modules", _NO_CAPS),
)  # fmt: skip

_PROCESSES = (
    _probe("Processes", "unshare", "Make every kind of namespace", _FILTER),
    _probe("Processes", "clone", "The same by clone, also with bits above the 32nd",
           "the filter looks at the flags the kernel looks at"),
    _probe("Processes", "clone3", "The same by clone3", "the filter says ENOSYS"),
    _probe("Processes", "setns", "Join namespaces, ask for the parent's", _FILTER),
    _probe("Processes", "ptrace", "Attach to pid 1, to a child, be traced", _FILTER),
    _probe("Processes", "process-vm", "Read and write memory of pid 1", _FILTER),
    _probe("Processes", "pidfd-getfd", "Take descriptors out of pid 1", _FILTER),
    _probe("Processes", "host-process", "Signal a host process of the same uid", _PID_NS),
    _probe("Processes", "kill-all", "kill(-1), kill(0)", "reaches its own processes only",
           root="harmless", user="harmless"),
    _probe("Processes", "kill-init", "Send pid 1 every signal",
           "the kernel drops signals of the namespace to its init"),
    _attack("Processes", "bait-survives", attack_names.bait_survives,
            "All three, looked at from outside", _PID_NS),
    _probe("Processes", "other-processes", "See anybody else in /proc", _PID_NS),
    _probe("Processes", "callers-environment", "Find the caller's environment anywhere in /proc",
           "sandboxes are started with an empty environment, /proc/1 is masked"),
    _probe("Processes", "scheduling", "nice -20, SCHED_FIFO, real-time I/O", "no capability"),
    _probe("Processes", "rlimits", "Raise hard limits", "no capability"),
    _probe("Processes", "capabilities", "Raise capabilities, ambient too; read what it has",
           "none in any set, no-new-privileges, filter loaded"),
    _probe("Processes", "other-ids", "Become another uid or gid, drop groups, chown",
           "one id is mapped"),
    _probe("Processes", "setuid-file", "Execute a setuid file, give a file capabilities",
           "no-new-privileges, nosuid, one id"),
    _attack("Processes", "passes-for-another", attack_names.passes_for_another,
            "Carry another container's name, so that the reaper ends that one",
            "a marker counts only on a sandbox's own processes"),
    _attack("Processes", "confuses-the-reaper", attack_names.confuses_the_reaper,
            "Carry a malformed name, so that every reaper fails",
            "whatever is not a marker is not looked at"),
    _attack("Processes", "fakes-a-complaint", attack_names.fakes_a_complaint,
            "Write to stderr what bubblewrap writes when a program is not found",
            "an exit code proves that the program ran"),
)  # fmt: skip

_CALLS = (
    _probe("System calls", "keyctl", "Use the caller's session keyring", _FILTER),
    _probe("System calls", "bpf", "Make a map, load a program", _FILTER),
    _probe("System calls", "perf", "perf_event_open", _FILTER),
    _probe("System calls", "userfaultfd", "Both kinds", _FILTER),
    _probe("System calls", "kexec", "Load another kernel", _NO_CAPS),
    _probe("System calls", "io-uring", "Set up, enter, register", _FILTER),
    _probe("System calls", "administration", "reboot, swap, acct, quota, syslog, fanotify…",
           _NO_CAPS),
    _probe("System calls", "clock", "Set the clock", "no capability"),
    _probe("System calls", "hostname", "Set host and domain name", _FILTER),
    _probe("System calls", "personality", "Switch address randomisation off", _FILTER),
    _probe("System calls", "i386-calls", "System calls of the 32-bit table", "end the process"),
    _probe("System calls", "x32-calls", "System calls of the x32 table", "not there"),
    _probe("System calls", "ports", "iopl, ioperm, modify_ldt", _FILTER),
    _probe("System calls", "seccomp", "Load a filter that allows everything on top",
           "the strictest of all filters counts"),
)  # fmt: skip

_NETWORK = (
    _probe("Network", "raw-sockets", "Raw and packet sockets", "no capability, not in the filter"),
    _probe("Network", "odd-sockets", "vsock, alg, key, bluetooth, can, xdp…", _FILTER),
    _probe("Network", "host-loopback", "Connect to a server on the host's 127.0.0.1", _NET_NS),
    _probe("Network", "host-abstract-socket", "Connect to the host's abstract socket", _NET_NS),
    _probe("Network", "neighbour-abstract-socket", "Connect to another container's", _NET_NS),
    _probe("Network", "interfaces", "Find an interface other than lo", _NET_NS),
    _probe("Network", "routes", "Change routes, links and iptables by netlink", "no capability"),
    _probe("Network", "host-ipc", "Attach System V memory and a message queue of the host",
           "an ipc namespace of its own"),
    _attack("Network", "gateway", attack_ready.host_loopback_by_the_gateway,
            "With network private: the host's loopback by way of the gateway",
            "slirp4netns is started without a way to it", may_refuse=True),
    _probe("Network", "host-network-raw", "With network host: raw and packet sockets",
           "no capability", run="raw-sockets", options={"network": "host"}),
    _probe("Network", "host-network-routes", "With network host: change routes and links",
           "no capability", run="routes", options={"network": "host"}),
    _probe("Network", "host-network-abstract", "With network host: the host's abstract socket",
           "asked for: network host is the host's, abstract sockets too, as with docker",
           run="host-abstract-socket", options={"network": "host"}, root="open", user="open"),
)  # fmt: skip

_DESCRIPTORS = (
    _probe("Descriptors", "inherited-fds", "Find a descriptor of the caller's",
           "all are closed but three pipes"),
    _probe("Descriptors", "stdio-reopened", "Open its pipes again for reading and writing",
           "they are its own, and nobody else's", root="harmless", user="harmless"),
    _probe("Descriptors", "terminal-injection", "TIOCSTI, TIOCLINUX, /dev/tty, consoles",
           "no terminal, a session of its own, and not in the filter"),
    _probe("Descriptors", "own-terminal", "TIOCSTI into a terminal of its own making", _FILTER),
    _probe("Descriptors", "device-nodes", "mknod in five places", "no capability, nodev"),
    _probe("Descriptors", "devices", "Find an unusual device, make a file in /dev",
           "six devices, read-only"),
)  # fmt: skip

_USING_UP = (
    _probe("Using things up", "fork-bomb", "Fork until it fails, pids = 32",
           "control group, or a limit that counts in the sandbox's own user namespace", "32",
           options={"limits": Limits(pids=32)}),
    _probe("Using things up", "memory-bomb", "Use 192 MiB with memory = 64 MiB",
           "control group; where there is none, a limit that was asked for is refused", "192",
           options={"limits": _LIMITED}, user="refused"),
    _probe("Using things up", "memory-bomb-default", "Use 192 MiB with a default of 64 MiB",
           "control group, else a limit on each process's data", "192", run="memory-bomb"),
    _probe("Using things up", "shared-memory-bomb", "The same in a memory file",
           "control group; without one nothing bounds it, but it goes first (score 500)", "192",
           run="shared-memory-bomb", user="open"),
    _probe("Using things up", "fill-root", "Fill / with tmp = 16 MiB", "a sized tmpfs",
           "16", "/big", run="fill-disk", options={"limits": Limits(tmp=16 * MIB)}),
    _probe("Using things up", "fill-together", "Fill /, /tmp and /dev/shm, 16 MiB in all",
           "one and the same sized tmpfs", "16", "/dev/shm/big", "/tmp/big", "/big",
           run="fill-disk", options={"limits": Limits(tmp=16 * MIB)}),
    _probe("Using things up", "fill-read-only", "The same in a read-only container, and /run",
           "one and the same sized tmpfs", "16", "/run/big", "/tmp/big", "/dev/shm/big",
           run="fill-disk", options={"limits": Limits(tmp=16 * MIB), "read_only": True}),
    _probe("Using things up", "fill-nothing", "Write to /dev, /proc/acpi, /proc/1, /run/secrets",
           "read-only", "/dev/x", "/proc/acpi/x", "/proc/1/x", "/proc/x", "/run/secrets/x",
           "/dev/pts/x", options={"secrets": _SECRET}),
    _probe("Using things up", "fill-inodes", "Make files without content, 16 MiB in all",
           "as many inodes as pages", "8192", options={"limits": Limits(tmp=16 * MIB)}),
    _probe("Using things up", "descriptors", "Open descriptors until it fails", "65,536"),
)  # fmt: skip

_IMAGES = (
    _attack("Images", "etc-is-a-link", attack_images.etc_is_a_link,
            "/etc leads to the host, in nine ways", _RESOLVED),
    _attack("Images", "hosts-is-a-link", attack_images.hosts_is_a_link,
            "/etc/hosts, which is written at the start, leads to a host file", _RESOLVED),
    _attack("Images", "hostname-is-a-link", attack_images.hostname_is_a_link,
            "/etc/hostname does", _RESOLVED),
    _attack("Images", "resolv-conf-is-a-link", attack_images.resolv_conf_is_a_link,
            "/etc/resolv.conf does, with network host", _RESOLVED),
    _attack("Images", "run-is-a-link", attack_images.run_is_a_link,
            "/run does, with secrets and a read-only root", _RESOLVED),
    _attack("Images", "tmp-is-a-link", attack_images.tmp_is_a_link, "/tmp does", _RESOLVED),
    _attack("Images", "dev-is-a-link", attack_images.dev_is_a_link, "/dev does", _RESOLVED),
    _attack("Images", "proc-is-a-link", attack_images.proc_is_a_link, "/proc does", _RESOLVED),
    _attack("Images", "moved-proc", attack_images.moved_proc,
            "/proc is elsewhere, and targets lead into it", _RESOLVED),
    _attack("Images", "work-is-a-link", attack_images.work_is_a_link,
            "Targets of files, mounts and the working directory do", _RESOLVED),
    _attack("Images", "workdir-is-a-descriptor", attack_images.workdir_is_a_descriptor,
            "The working directory is a descriptor of the sandbox's set-up (as CVE-2024-21626)",
            "/proc/1 is masked before, and /proc is refused as a working directory"),
    _attack("Images", "volume-leads-out", attack_images.volume_leads_out,
            "Volumes, which are made, lead to the host", _RESOLVED),
    _attack("Images", "program-is-bubblewrap", attack_images.program_is_bubblewrap,
            "/proc/self/exe as program, with a linker of its own (as CVE-2019-5736)",
            "bubblewrap runs from a read-only mount of its file"),
    _attack("Images", "accounts-lead-out", attack_images.accounts_lead_out,
            "/etc/passwd leads to a host file, or is a fifo",
            "read inside the image only, without blocking"),
    _attack("Images", "setup-blocks", attack_images.setup_blocks,
            "/etc/hosts is a fifo, on which the set-up waits",
            "refused: only regular files are written to"),
)  # fmt: skip

_BINDS = (
    _attack("Bind mounts", "links-in-a-bind", attack_mounts.links_in_a_bind,
            "Links left in a shared directory, passed by the next call's workdir, mounts, files",
            "nothing is mounted or written through a link; /proc/1 is masked"),
    _attack("Bind mounts", "names-in-a-bind", attack_mounts.names_in_a_bind,
            "A directory of the host mounted on /etc or /run",
            "names are not written into a mount, secrets not mounted in one"),
    _attack("Bind mounts", "read-only-bind", attack_mounts.read_only_bind,
            "Write, rename, chmod, remount in a read-only mount", "read-only to the kernel"),
    _attack("Bind mounts", "source-is-swapped", attack_mounts.source_is_swapped,
            "A path below a shared directory becomes a link before it is mounted",
            "the caller's own path is followed on the host, as docker does: do not mount from "
            "below what a container may write to", root="open", user="open"),
    _attack("Bind mounts", "others-files", attack_mounts.bind_keeps_others_out,
            "Read a file of mode 0600 that was mounted",
            "a container of root's runs as a uid of its own, and reads what anybody may",
            user="harmless"),
)  # fmt: skip

_READY = (
    _attack("Ready containers", "ready", attack_ready.probes_in_a_ready_container,
            "Ten of the probes, in containers that were made ready before their call",
            "the gate closes its descriptors before it becomes the program", may_refuse=True),
    _attack("Ready containers", "program-is-the-gate", attack_ready.program_is_the_gate,
            "The gate's own file and descriptors as program",
            "it is a descriptor without a name, closed on the way", may_refuse=True),
)  # fmt: skip

_COLLECTED = (
    _attack("Collected files", "odd-files", attack_collect.odd_files,
            "Links, fifos, sockets, setuid bits, names with newlines and escapes",
            "only files and directories are copied, with plain modes"),
    _attack("Collected files", "directory-becomes-a-link",
            attack_collect.directory_becomes_a_link,
            "What is collected was replaced by a link", "no link is followed"),
    _attack("Collected files", "collect-through-a-link", attack_images.collect_through_a_link,
            "What is collected is a link of the image", "resolved inside the image"),
    _attack("Collected files", "target-holds-links", attack_collect.target_holds_links,
            "Links wait in the directory that is copied to", "no link is followed there either"),
    _attack("Collected files", "too-large", attack_collect.too_large,
            "A sparse file of one TiB", "max_bytes"),
    _attack("Collected files", "too-many", attack_collect.too_many, "3,000 files", "max_files"),
    _attack("Collected files", "too-deep", attack_collect.too_deep,
            "Directories nested 1,500 deep", "64 at most"),
    _attack("Collected files", "unreadable", attack_collect.unreadable,
            "Files and directories of mode 0", "an error that says so, or a copy"),
    _attack("Collected files", "whiteouts", attack_collect.whiteouts,
            "Files that were removed", "whiteouts and opaque directories count"),
)  # fmt: skip

PROBES: Sequence[Probe] = (
    *_HOST,
    *_MOUNTS,
    *_KERNEL,
    *_PROCESSES,
    *_CALLS,
    *_NETWORK,
    *_DESCRIPTORS,
    *_USING_UP,
    *_IMAGES,
    *_BINDS,
    *_READY,
    *_COLLECTED,
)
