/* Attempts to get out of a container, one per subcommand.
 *
 *   probes NAME [ARG...]
 *
 * Each tries something a container's program must not be able to do, and prints one line: a
 * verdict and its evidence.
 *
 *   CONTAINED  everything was denied, and by an errno that means so
 *   HARMLESS   something worked, and touched nothing but this container
 *   ESCAPED    something worked that must not
 *   UNCLEAR    the attempt itself failed (EFAULT, EINVAL...): it proves nothing
 *
 * What the host offers as bait comes in the environment: BAIT_FILE (a readable file), BAIT_PID,
 * BAIT_PORT (TCP on 127.0.0.1), BAIT_SOCKET (abstract), BAIT_KEY (System V), NEIGHBOUR_SOCKET
 * (abstract, of another container). Nothing here is unbounded: a failed wall costs megabytes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)
#define COUNT(list) (sizeof (list) / sizeof *(list))

/* ---- verdicts ---- */

static char evidence[4096];
static int escaped, unclear, harmless;

static const char *
name_of (int error)
{
  static char other[16];
  static const struct { int number; const char *name; } known[] = {
    { EPERM, "EPERM" }, { EACCES, "EACCES" }, { ENOENT, "ENOENT" }, { ENOSYS, "ENOSYS" },
    { EROFS, "EROFS" }, { ESRCH, "ESRCH" }, { ENXIO, "ENXIO" }, { ENODEV, "ENODEV" },
    { ECONNREFUSED, "ECONNREFUSED" }, { ENETUNREACH, "ENETUNREACH" }, { ENOSPC, "ENOSPC" },
    { EAFNOSUPPORT, "EAFNOSUPPORT" }, { EPROTONOSUPPORT, "EPROTONOSUPPORT" },
    { EAGAIN, "EAGAIN" }, { ENOMEM, "ENOMEM" }, { EMFILE, "EMFILE" }, { EINVAL, "EINVAL" },
    { EFAULT, "EFAULT" }, { EBADF, "EBADF" }, { ENOTTY, "ENOTTY" }, { ENOTDIR, "ENOTDIR" },
    { EOPNOTSUPP, "EOPNOTSUPP" }, { EADDRNOTAVAIL, "EADDRNOTAVAIL" }, { EEXIST, "EEXIST" },
  };
  for (size_t i = 0; i < COUNT (known); i++)
    if (known[i].number == error)
      return known[i].name;
  snprintf (other, sizeof other, "errno%d", error);
  return other;
}

static void
note (const char *format, ...)
{
  size_t used = strlen (evidence);
  va_list values;
  va_start (values, format);
  if (used && used < sizeof evidence - 1)
    evidence[used++] = ' ';
  vsnprintf (evidence + used, sizeof evidence - used, format, values);
  va_end (values);
}

static int
is_denial (int error)
{
  switch (error)
    {
    case EPERM: case EACCES: case ENOENT: case ENOSYS: case EROFS: case ESRCH: case ENXIO:
    case ENODEV: case ECONNREFUSED: case ENETUNREACH: case ENOSPC: case EAFNOSUPPORT:
    case EPROTONOSUPPORT: case EAGAIN: case ENOMEM: case EMFILE: case EADDRNOTAVAIL:
      return 1;
    }
  return 0;
}

/* What must fail. */
static void
must_fail (const char *what, long result)
{
  int error = errno;
  if (result >= 0)
    {
      escaped = 1;
      note ("%s=WORKED", what);
      return;
    }
  unclear |= !is_denial (error);
  note ("%s=%s", what, name_of (error));
}

static void
must_hold (const char *what, int holds)
{
  escaped |= !holds;
  note ("%s=%s", what, holds ? "ok" : "NOT-SO");
}

static int
finish (void)
{
  const char *word = escaped ? "ESCAPED" : unclear ? "UNCLEAR" : harmless ? "HARMLESS" : "CONTAINED";
  for (char *at = evidence; *at; at++)
    if (*at == '\n' || *at == '|')
      *at = '/';
  printf ("%s %s\n", word, evidence);
  return 0;
}

static const char *
bait (const char *name)
{
  const char *value = getenv (name);
  if (value == NULL || !*value)
    {
      printf ("UNCLEAR no %s in the environment\n", name);
      exit (0);
    }
  return value;
}

static void
must_not_open (const char *path, int flags)
{
  int fd = open (path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
  must_fail (path, fd);
  if (fd >= 0)
    close (fd);
}

/* The first line of a file; -1 when it cannot be read. */
static long
read_file (const char *path, char *into, size_t size)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return -1;
  long got = read (fd, into, size - 1);
  int error = errno;
  close (fd);
  errno = error;
  into[got < 0 ? 0 : got] = 0;
  return got;
}

static void
must_not_hold (const char *path, const char *text)
{
  static char data[65536];
  long got = read_file (path, data, sizeof data);
  int found = got > 0 && memmem (data, (size_t) got, text, strlen (text)) != NULL;
  escaped |= found;
  if (found)
    note ("%s=HOLDS-%s", path, text);
}

static int
each_name (const char *directory, void (*look) (const char *name))
{
  DIR *open_directory = opendir (directory);
  struct dirent *entry;
  int seen = 0;
  if (open_directory == NULL)
    return -1;
  while ((entry = readdir (open_directory)) != NULL)
    if (strcmp (entry->d_name, ".") && strcmp (entry->d_name, ".."))
      {
        seen++;
        if (look)
          look (entry->d_name);
      }
  closedir (open_directory);
  return seen;
}

/* Run something in a child; its exit code, or 128 + signal. */
static int
in_child (void (*action) (void))
{
  int status;
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      action ();
      _exit (0);
    }
  if (pid < 0 || waitpid (pid, &status, 0) != pid)
    return -1;
  return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

/* ---- files of the host ---- */

static void
host_file (void)
{
  char path[PATH_MAX];
  const char *file = bait ("BAIT_FILE");
  const char *before[] = { "", "/oldroot", "/newroot", "/.old", "/host", "/rootfs", "/mnt",
                           "/proc/1/root", "/proc/self/root", "/proc/self/cwd",
                           "/proc/thread-self/root", "/proc/2/root", "/dev/fd/3/..",
                           "/../../../../../../../.." };
  for (size_t i = 0; i < COUNT (before); i++)
    {
      snprintf (path, sizeof path, "%s%s", before[i], file);
      int fd = open (path, O_RDONLY | O_CLOEXEC);
      must_fail (before[i][0] ? before[i] : "itself", fd);
    }
}

static void
proc_one (void)
{
  const char *names[] = { "root", "cwd", "exe", "fd", "mem", "environ", "cmdline", "maps", "ns/mnt",
                          "task/1/fd", "map_files", "auxv", "mountinfo" };
  char path[64];
  for (size_t i = 0; i < COUNT (names); i++)
    {
      snprintf (path, sizeof path, "/proc/1/%s", names[i]);
      must_not_open (path, O_RDONLY);
    }
  must_fail ("chmod-exe", chmod ("/proc/1/exe", 0755));
}

/* For a moment after its child started, pid 1 of bubblewrap holds a descriptor of the host. */
static void
proc_one_race (void)
{
  char path[64], target[256];
  for (int turn = 0; turn < 300; turn++)
    for (int fd = 3; fd < 12; fd++)
      {
        snprintf (path, sizeof path, "/proc/1/fd/%d", fd);
        long length = readlink (path, target, sizeof target - 1);
        if (length <= 0)
          continue;
        target[length] = 0;
        if (strncmp (target, "anon_inode:", 11) == 0)
          continue;
        escaped = 1;
        note ("%s->%s", path, target);
        return;
      }
  note ("300 looks at /proc/1/fd");
}

static const char *wanted_file;

static void
look_through_process (const char *name)
{
  const char *ways[] = { "root", "cwd", "cwd/..", "root/..", "fd/0/..", "fd/3/..", "fd/4/.." };
  char path[PATH_MAX];
  if (*name < '0' || *name > '9')
    return;
  for (size_t i = 0; i < COUNT (ways); i++)
    {
      snprintf (path, sizeof path, "/proc/%s/%s%s", name, ways[i], wanted_file);
      int fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd >= 0)
        must_fail (path, fd);
    }
}

static void
proc_links (void)
{
  wanted_file = bait ("BAIT_FILE");
  note ("looked through %d entries of /proc", each_name ("/proc", look_through_process));
}

static void
dot_dot (void)
{
  struct stat root, above;
  char path[PATH_MAX];
  for (int i = 0; i < 64; i++)
    if (chdir ("..") != 0)
      break;
  stat ("/", &root);
  stat (".", &above);
  must_hold ("same-root", root.st_ino == above.st_ino && root.st_dev == above.st_dev);
  snprintf (path, sizeof path, ".%s", bait ("BAIT_FILE"));
  must_not_open (path, O_RDONLY);
}

static void
chroot_out (void)
{
  mkdir ("/tmp/jail", 0755);
  must_fail ("chroot", chroot ("/tmp/jail"));
  must_fail ("pivot_root", syscall (SYS_pivot_root, "/tmp", "/tmp/jail"));
}

struct handle { unsigned bytes; int type; unsigned char data[128]; };

static void
file_handle (void)
{
  struct handle handle = { .bytes = 128 };
  struct handle guess = { .bytes = 8, .type = 1, .data = { 2 } };
  int mount_id = 0, at = open ("/tmp", O_RDONLY | O_DIRECTORY);
  long found = syscall (SYS_name_to_handle_at, AT_FDCWD, "/bin/busybox", &handle, &mount_id, 0);
  note ("name_to_handle_at=%s", found ? name_of (errno) : "works");
  must_fail ("open_by_handle_at", syscall (SYS_open_by_handle_at, at, &handle, O_RDONLY));
  must_fail ("guess-inode-2", syscall (SYS_open_by_handle_at, at, &guess, O_RDONLY));
}

/* ---- mounts ---- */

static void
mounts (void)
{
  mkdir ("/tmp/m", 0755);
  must_fail ("proc", mount ("proc", "/tmp/m", "proc", 0, NULL));
  must_fail ("tmpfs", mount ("tmpfs", "/tmp/m", "tmpfs", 0, NULL));
  must_fail ("sysfs", mount ("sysfs", "/tmp/m", "sysfs", 0, NULL));
  must_fail ("bind", mount ("/", "/tmp/m", NULL, MS_BIND | MS_REC, NULL));
  must_fail ("overlay", mount ("o", "/tmp/m", "overlay", 0, "lowerdir=/bin,upperdir=/tmp,workdir=/tmp/m"));
  must_fail ("fuse", mount ("f", "/tmp/m", "fuse", 0, "fd=0,rootmode=40000,user_id=0,group_id=0"));
  must_fail ("propagation", mount (NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
  must_fail ("devpts", mount ("devpts", "/tmp/m", "devpts", 0, NULL));
}

static void
remount (void)
{
  must_fail ("rw-bind", mount (NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
  must_fail ("rw", mount (NULL, "/", NULL, MS_REMOUNT, NULL));
  must_fail ("proc-rw", mount (NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL));
  must_fail ("dev-rw", mount (NULL, "/dev", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static void
read_only_root (void)
{
  remount ();
  must_not_open ("/new", O_WRONLY | O_CREAT);
  must_not_open ("/etc/passwd", O_WRONLY);
  must_not_open ("/bin/busybox", O_WRONLY);
  must_fail ("unlink", unlink ("/etc/passwd"));
  must_fail ("chmod", chmod ("/etc/passwd", 0666));
}

static void
unmount (void)
{
  const char *paths[] = { "/proc/1", "/proc/kcore", "/proc/acpi", "/proc", "/dev", "/dev/shm", "/" };
  for (size_t i = 0; i < COUNT (paths); i++)
    must_fail (paths[i], umount2 (paths[i], MNT_DETACH));
}

static void
new_mount_api (void)
{
  must_fail ("fsopen", syscall (430, "tmpfs", 0));
  must_fail ("fspick", syscall (433, AT_FDCWD, "/", 0));
  must_fail ("fsconfig", syscall (431, 0, 6, NULL, NULL, 0));
  must_fail ("fsmount", syscall (432, 0, 0, 0));
  must_fail ("open_tree", syscall (428, AT_FDCWD, "/", 1));
  must_fail ("open_tree_attr", syscall (467, AT_FDCWD, "/", 1, NULL, 0));
  must_fail ("move_mount", syscall (429, AT_FDCWD, "/proc", AT_FDCWD, "/tmp", 0));
  uint64_t attributes[4] = { 0, 1, 0, 0 };
  must_fail ("mount_setattr", syscall (442, AT_FDCWD, "/", 0x8000, attributes, sizeof attributes));
  must_fail ("statmount", syscall (457, NULL, NULL, 0, 0));
}

static void
overlay_tricks (void)
{
  mkdir ("/tmp/o", 0755);
  must_fail ("whiteout", mknod ("/tmp/o/w", S_IFCHR, makedev (0, 0)));
  must_fail ("whiteout-root", mknod ("/w", S_IFCHR, makedev (0, 0)));
  must_fail ("trusted.overlay.opaque", setxattr ("/etc", "trusted.overlay.opaque", "y", 1, 0));
  must_fail ("trusted.overlay.redirect", setxattr ("/etc", "trusted.overlay.redirect", "/..", 3, 0));
  /* May be stored, as another name: then it means nothing. */
  if (setxattr ("/etc", "user.overlay.redirect", "/../..", 6, 0) == 0)
    {
      struct stat found;
      must_hold ("redirect-has-no-effect", stat ("/etc/passwd", &found) == 0);
    }
  /* The overlay has no such thing (EINVAL), whoever asks. */
  must_hold ("renameat2-whiteout",
             syscall (SYS_renameat2, AT_FDCWD, "/etc/group", AT_FDCWD, "/etc/g2", 4) != 0);
}

/* ---- the kernel's files ---- */

static void
kcore (void)
{
  must_not_open ("/proc/kcore", O_RDONLY);
  must_not_open ("/dev/core", O_RDONLY);
}

static void
device_memory (void)
{
  const char *paths[] = { "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/proc/kmsg",
                          "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/sda", "/dev/vda",
                          "/dev/loop-control", "/dev/mapper/control", "/dev/vsock",
                          "/dev/userfaultfd", "/dev/uinput", "/dev/snapshot" };
  for (size_t i = 0; i < COUNT (paths); i++)
    must_not_open (paths[i], O_RDWR);
}

static void
sysctls (void)
{
  const char *paths[] = { "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe",
                          "/proc/sys/kernel/randomize_va_space", "/proc/sys/vm/overcommit_memory",
                          "/proc/sys/vm/drop_caches", "/proc/sys/net/ipv4/ip_forward",
                          "/proc/sys/fs/binfmt_misc/register", "/proc/sys/user/max_user_namespaces",
                          "/proc/sys/kernel/shmmax", "/proc/sys/kernel/ns_last_pid" };
  for (size_t i = 0; i < COUNT (paths); i++)
    must_not_open (paths[i], O_WRONLY);
}

static void
core_pattern (void)
{
  must_not_open ("/proc/sys/kernel/core_pattern", O_WRONLY);
  must_not_open ("/proc/sys/kernel/core_pipe_limit", O_WRONLY);
  must_not_open ("/proc/self/coredump_filter", O_WRONLY);
  struct rlimit core;
  getrlimit (RLIMIT_CORE, &core);
  must_hold ("no-core-files", core.rlim_max <= 1);
}

static void
sysrq (void)
{
  /* Opened only, nothing is written. */
  must_not_open ("/proc/sysrq-trigger", O_WRONLY);
  must_not_open ("/proc/sys/kernel/sysrq", O_WRONLY);
}

static void
must_be_empty (const char *path)
{
  struct stat found;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    {
      must_fail (path, -1);
      return;
    }
  fstat (fd, &found);
  char byte;
  must_hold (path, S_ISDIR (found.st_mode) ? each_name (path, NULL) == 0 : read (fd, &byte, 1) <= 0);
  close (fd);
}

static void
masked (void)
{
  const char *paths[] = { "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/interrupts",
                          "/proc/latency_stats", "/proc/sched_debug", "/proc/acpi", "/proc/asound",
                          "/proc/scsi", "/proc/1" };
  for (size_t i = 0; i < COUNT (paths); i++)
    must_be_empty (paths[i]);
}

static void
sysfs (void)
{
  const char *paths[] = { "/sys/firmware", "/sys/kernel", "/sys/fs/cgroup", "/sys/class/net",
                          "/sys/kernel/debug", "/sys/fs/bpf", "/sys/kernel/security" };
  for (size_t i = 0; i < COUNT (paths); i++)
    must_not_open (paths[i], O_RDONLY);
}

static void
release_agent (void)
{
  mkdir ("/tmp/cg", 0755);
  must_fail ("v1", mount ("cgroup", "/tmp/cg", "cgroup", 0, "memory"));
  must_fail ("v1-named", mount ("cgroup", "/tmp/cg", "cgroup", 0, "none,name=escape"));
  must_fail ("v2", mount ("none", "/tmp/cg", "cgroup2", 0, NULL));
  must_not_open ("/sys/fs/cgroup/release_agent", O_WRONLY);
  must_not_open ("/sys/fs/cgroup/cgroup.procs", O_WRONLY);
  must_not_hold ("/proc/self/mountinfo", " - cgroup");
}

static void
proc_self_write (void)
{
  const char *names[] = { "mem", "uid_map", "gid_map", "setgroups", "oom_score_adj", "oom_adj",
                          "timerslack_ns", "clear_refs", "attr/exec", "loginuid", "comm" };
  char path[64];
  for (size_t i = 0; i < COUNT (names); i++)
    {
      snprintf (path, sizeof path, "/proc/self/%s", names[i]);
      must_not_open (path, O_WRONLY);
    }
}

static void
first_to_die (void)
{
  char text[32] = "";
  read_file ("/proc/self/oom_score_adj", text, sizeof text);
  must_hold ("oom_score_adj>=500", atoi (text) >= 500);
  must_not_open ("/proc/self/oom_score_adj", O_WRONLY);
}

static void
modules (void)
{
  must_fail ("init_module", syscall (SYS_init_module, "", 0, ""));
  must_fail ("finit_module", syscall (SYS_finit_module, 0, "", 0));
  must_fail ("delete_module", syscall (SYS_delete_module, "loop", 0));
}

/* ---- processes and namespaces ---- */

static void
unshares (void)
{
  const struct { const char *name; int flag; } spaces[] = {
    { "user", 0x10000000 }, { "mnt", 0x00020000 }, { "net", 0x40000000 }, { "pid", 0x20000000 },
    { "ipc", 0x08000000 }, { "uts", 0x04000000 }, { "cgroup", 0x02000000 }, { "time", 0x80 },
  };
  for (size_t i = 0; i < COUNT (spaces); i++)
    must_fail (spaces[i].name, unshare (spaces[i].flag));
  must_fail ("all", unshare (0x10000000 | 0x00020000));
}

static void
clones (void)
{
  const struct { const char *name; long flag; } spaces[] = {
    { "user", 0x10000000 }, { "mnt", 0x00020000 }, { "net", 0x40000000 }, { "pid", 0x20000000 },
    { "ipc", 0x08000000 }, { "uts", 0x04000000 }, { "cgroup", 0x02000000 },
    { "user+upper-bits", 0x10000000L | 1L << 40 },
  };
  for (size_t i = 0; i < COUNT (spaces); i++)
    {
      long pid = syscall (SYS_clone, spaces[i].flag | SIGCHLD, 0, 0, 0, 0);
      if (pid == 0)
        _exit (0);
      must_fail (spaces[i].name, pid);
    }
}

static void
clone_three (void)
{
  uint64_t plain[11] = { 0, 0, 0, 0, SIGCHLD }, user[11] = { 0x10000000, 0, 0, 0, SIGCHLD };
  long pid = syscall (435, user, sizeof user);
  if (pid == 0)
    _exit (0);
  must_fail ("new-user", pid);
  pid = syscall (435, plain, sizeof plain);
  if (pid == 0)
    _exit (0);
  note ("plain=%s", pid < 0 ? name_of (errno) : "works");
}

static void
set_namespace (void)
{
  const char *names[] = { "user", "mnt", "net", "pid", "ipc", "uts", "cgroup" };
  char path[64];
  for (size_t i = 0; i < COUNT (names); i++)
    {
      snprintf (path, sizeof path, "/proc/self/ns/%s", names[i]);
      int fd = open (path, O_RDONLY | O_CLOEXEC);
      must_fail (names[i], syscall (SYS_setns, fd, 0));
      if (fd >= 0)
        close (fd);
    }
  int fd = open ("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
  must_fail ("NS_GET_PARENT", ioctl (fd, 0xb702));
  long self = syscall (SYS_pidfd_open, getpid (), 0);
  must_fail ("by-pidfd", syscall (SYS_setns, self, 0x00020000));
}

static void
trace (void)
{
  pid_t child = fork ();
  if (child == 0)
    {
      pause ();
      _exit (0);
    }
  must_fail ("attach-1", ptrace (PTRACE_ATTACH, 1, NULL, NULL));
  must_fail ("seize-child", ptrace (PTRACE_SEIZE, child, NULL, NULL));
  must_fail ("traceme", ptrace (PTRACE_TRACEME, 0, NULL, NULL));
  kill (child, SIGKILL);
  waitpid (child, NULL, 0);
}

static void
foreign_memory (void)
{
  char byte = 0;
  struct iovec mine = { &byte, 1 }, theirs = { (void *) 0x400000, 1 };
  must_fail ("readv-1", process_vm_readv (1, &mine, 1, &theirs, 1, 0));
  must_fail ("writev-1", process_vm_writev (1, &mine, 1, &theirs, 1, 0));
  struct iovec own = { &byte, 1 };
  must_fail ("readv-self", process_vm_readv (getpid (), &mine, 1, &own, 1, 0));
  must_fail ("process_madvise", syscall (440, 0, &own, 1, 4, 0));
  must_fail ("kcmp", syscall (SYS_kcmp, getpid (), 1, 0, 0, 0));
}

static void
steal_descriptor (void)
{
  long one = syscall (SYS_pidfd_open, 1, 0);
  note ("pidfd_open=%s", one < 0 ? name_of (errno) : "works");
  for (int fd = 0; fd < 5; fd++)
    must_fail ("getfd", syscall (438, one, fd, 0));
}

static void
host_process (void)
{
  pid_t pid = (pid_t) atoi (bait ("BAIT_PID"));
  must_fail ("exists", kill (pid, 0));
  must_fail ("term", kill (pid, SIGTERM));
  siginfo_t about = { .si_signo = SIGTERM, .si_code = SI_QUEUE };
  must_fail ("queue", syscall (SYS_rt_sigqueueinfo, pid, SIGTERM, &about));
  must_fail ("pidfd", syscall (SYS_pidfd_open, pid, 0));
  must_fail ("priority", getpriority (PRIO_PROCESS, (id_t) pid) == -1 && errno ? -1 : 0);
}

static void
kill_all (void)
{
  signal (SIGTERM, SIG_IGN);
  long result = kill (-1, SIGTERM);
  note ("kill(-1)=%s", result ? name_of (errno) : "ok");
  kill (0, SIGTERM);
  kill (-getpgrp (), SIGTERM);
  harmless = 1; /* the bait's process is looked at from outside */
}

static void
kill_init (void)
{
  for (int number = 1; number < 32; number++)
    kill (1, number);
  usleep (50000);
  must_hold ("init-lives", kill (1, 0) == 0);
}

static int other_processes;

static void
look_at_process (const char *name)
{
  if (*name >= '0' && *name <= '9' && atoi (name) > 2 && atoi (name) != getpid ())
    other_processes++;
}

static void
other_pids (void)
{
  each_name ("/proc", look_at_process);
  must_hold ("nobody-else", other_processes == 0 && getpid () <= 3);
  must_hold ("parent-is-init", getppid () <= 2);
}

static void
look_for_caller (const char *name)
{
  const char *files[] = { "environ", "cmdline", "mem", "auxv" };
  char path[PATH_MAX];
  if (*name < '0' || *name > '9')
    return;
  for (size_t i = 0; i < 2; i++)
    {
      snprintf (path, sizeof path, "/proc/%s/%s", name, files[i]);
      must_not_hold (path, "CALLERS_VARIABLE");
    }
}

static void
callers_environment (void)
{
  extern char **environ;
  each_name ("/proc", look_for_caller);
  look_for_caller ("1");
  for (char **entry = environ; *entry; entry++)
    must_hold (*entry, strncmp (*entry, "CALLERS_VARIABLE", 16) != 0);
}

static void
scheduling (void)
{
  struct sched_param urgent = { .sched_priority = 1 };
  must_fail ("nice", setpriority (PRIO_PROCESS, 0, -20));
  must_fail ("fifo", syscall (SYS_sched_setscheduler, 0, SCHED_FIFO, &urgent));
  must_fail ("ioprio-realtime", syscall (SYS_ioprio_set, 1, 0, 1 << 13));
}

static void
raise_limits (void)
{
  const struct { const char *name; int which; } limits[] = {
    { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "core", RLIMIT_CORE },
    { "memlock", RLIMIT_MEMLOCK }, { "nice", RLIMIT_NICE }, { "rtprio", RLIMIT_RTPRIO },
  };
  for (size_t i = 0; i < COUNT (limits); i++)
    {
      struct rlimit now;
      getrlimit (limits[i].which, &now);
      if (now.rlim_max == RLIM_INFINITY)
        {
          must_hold (limits[i].name, limits[i].which == RLIMIT_MEMLOCK);
          continue;
        }
      struct rlimit more = { now.rlim_max + 1, now.rlim_max + 1 };
      must_fail (limits[i].name, setrlimit (limits[i].which, &more));
    }
}

struct cap_header { uint32_t version; int pid; };
struct cap_data { uint32_t effective, permitted, inheritable; };

static void
capabilities (void)
{
  char status[4096] = "";
  struct cap_header header = { 0x20080522, 0 };
  struct cap_data all[2] = { { ~0u, ~0u, ~0u }, { 0x1ff, 0x1ff, 0x1ff } };
  must_fail ("capset", syscall (SYS_capset, &header, all));
  must_fail ("ambient", prctl (47, 2, 21, 0, 0));
  must_fail ("securebits", prctl (PR_SET_SECUREBITS, 1, 0, 0, 0));
  read_file ("/proc/self/status", status, sizeof status);
  must_hold ("CapEff=0", strstr (status, "CapEff:\t0000000000000000") != NULL);
  must_hold ("CapPrm=0", strstr (status, "CapPrm:\t0000000000000000") != NULL);
  must_hold ("CapBnd=0", strstr (status, "CapBnd:\t0000000000000000") != NULL);
  must_hold ("NoNewPrivs", strstr (status, "NoNewPrivs:\t1") != NULL);
  must_hold ("Seccomp", strstr (status, "Seccomp:\t2") != NULL);
}

static void
other_ids (void)
{
  gid_t groups[1] = { 0 };
  uid_t other = getuid () == 1000 ? 1001 : 1000;
  /* An id that is not mapped is EINVAL: there is nobody else in this namespace to become. */
  must_hold ("setuid", setresuid (other, other, other) != 0);
  must_hold ("setgid", setresgid (other, other, other) != 0);
  must_fail ("setgroups", syscall (SYS_setgroups, 1, groups));
  must_hold ("chown", chown ("/tmp", other, other) != 0);
  char map[256] = "";
  read_file ("/proc/self/uid_map", map, sizeof map);
  note ("uid_map:%s", map);
  must_hold ("one-id", strtok (map, "\n") != NULL && strtok (NULL, "\n") == NULL);
}

static void
set_user_id (void)
{
  static char data[65536];
  int from = open ("/proc/self/exe", O_RDONLY), to = open ("/tmp/s", O_WRONLY | O_CREAT, 0755);
  for (long got; (got = read (from, data, sizeof data)) > 0;)
    if (write (to, data, (size_t) got) != got)
      break;
  close (to);
  chmod ("/tmp/s", 06755);
  must_fail ("file-capability", setxattr ("/tmp/s", "security.capability",
      "\1\0\0\2\377\377\377\377\0\0\0\0\377\377\377\377\0\0\0\0", 20, 0));
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      execl ("/tmp/s", "s", "own-ids", (char *) NULL);
      _exit (127);
    }
  int status = 0;
  waitpid (pid, &status, 0);
  must_hold ("exec-gives-nothing", WIFEXITED (status) && WEXITSTATUS (status) == 0);
}

/* Not a probe: what set_user_id executes. */
static int
own_ids (void)
{
  struct cap_header header = { 0x20080522, 0 };
  struct cap_data has[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
  syscall (SYS_capget, &header, has);
  return geteuid () != getuid () || getegid () != getgid () || has[0].effective || has[1].effective;
}

/* ---- system calls ---- */

static void
keys (void)
{
  must_fail ("keyctl", syscall (SYS_keyctl, 0, -3, 0));
  must_fail ("add_key", syscall (SYS_add_key, "user", "probe", "x", 1, -3));
  must_fail ("request_key", syscall (SYS_request_key, "user", "probe", NULL, -3));
}

static void
bpf_call (void)
{
  uint64_t attributes[16] = { 1 | 4ULL << 32, 4 | 1ULL << 32 };
  must_fail ("map_create", syscall (SYS_bpf, 0, attributes, sizeof attributes));
  must_fail ("prog_load", syscall (SYS_bpf, 5, attributes, sizeof attributes));
}

static void
perf (void)
{
  uint32_t attributes[32] = { 1, 128 };
  must_fail ("perf_event_open", syscall (SYS_perf_event_open, attributes, 0, -1, -1, 0));
}

static void
user_fault (void)
{
  must_fail ("userfaultfd", syscall (SYS_userfaultfd, 0));
  must_fail ("user-mode-only", syscall (SYS_userfaultfd, 1));
}

static void
kexec (void)
{
  must_fail ("kexec_load", syscall (SYS_kexec_load, 0, 0, NULL, 0));
  must_fail ("kexec_file_load", syscall (320, -1, -1, 0, "", 0));
}

static void
uring (void)
{
  uint32_t parameters[30] = { 0 };
  must_fail ("setup", syscall (425, 8, parameters));
  must_fail ("enter", syscall (426, 0, 0, 0, 0, NULL, 0));
  must_fail ("register", syscall (427, 0, 0, NULL, 0));
}

static void
administration (void)
{
  must_fail ("reboot", syscall (SYS_reboot, 0xfee1dead, 672274793, 0, NULL)); /* CAD off */
  must_fail ("swapon", syscall (SYS_swapon, "/tmp/none", 0));
  must_fail ("swapoff", syscall (SYS_swapoff, "/tmp/none"));
  must_fail ("acct", syscall (SYS_acct, "/tmp/none"));
  must_fail ("quotactl", syscall (SYS_quotactl, 0, NULL, 0, NULL));
  must_fail ("syslog", syscall (SYS_syslog, 3, evidence + 4000, 1));
  must_fail ("vhangup", syscall (SYS_vhangup));
  must_fail ("fanotify", syscall (SYS_fanotify_init, 0, 0));
  must_fail ("move_pages", syscall (SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
  must_fail ("mbind", syscall (SYS_mbind, NULL, 0, 0, NULL, 0, 0));
}

static void
clocks (void)
{
  struct timespec now;
  struct timeval seconds = { 0, 0 };
  struct timex change = { .modes = ADJ_FREQUENCY };
  clock_gettime (CLOCK_REALTIME, &now);
  must_fail ("clock_settime", clock_settime (CLOCK_REALTIME, &now));
  seconds.tv_sec = now.tv_sec;
  must_fail ("settimeofday", settimeofday (&seconds, NULL));
  must_fail ("adjtimex", adjtimex (&change));
}

static void
host_name (void)
{
  must_fail ("sethostname", sethostname ("escaped", 7));
  must_fail ("setdomainname", setdomainname ("escaped", 7));
}

static void
personalities (void)
{
  must_fail ("no-randomize", syscall (SYS_personality, 0x0040000));
  must_fail ("read-implies-exec", syscall (SYS_personality, 0x0400000));
  must_fail ("mmap-page-zero", syscall (SYS_personality, 0x0100000));
}

static void
call_int80 (void)
{
#ifdef __x86_64__
  long result;
  /* mount(2) of i386, whose number is mknod's neighbour in the other table. */
  __asm__ volatile ("int $0x80" : "=a" (result) : "a" (21), "b" (0), "c" (0), "d" (0) : "memory");
  _exit (result == -ENOSYS ? 0 : 7);
#endif
}

static void
i386_calls (void)
{
  int code = in_child (call_int80);
  must_hold ("int-0x80", code != 7);
  note ("child=%d", code);
}

static void
x32_calls (void)
{
#ifdef __x86_64__
  must_fail ("getpid", syscall (0x40000000 | SYS_getpid));
  must_fail ("ptrace", syscall (0x40000000 | 521, 0, 0, 0, 0));
  must_fail ("mount", syscall (0x40000000 | SYS_mount, "x", "/tmp", "tmpfs", 0, NULL));
#endif
}

static void
port_access (void)
{
#ifdef __x86_64__
  must_fail ("iopl", syscall (SYS_iopl, 3));
  must_fail ("ioperm", syscall (SYS_ioperm, 0x80, 1, 1));
  uint32_t entry[4] = { 0 };
  must_fail ("modify_ldt", syscall (SYS_modify_ldt, 1, entry, sizeof entry));
#endif
}

static void
loosen_filter (void)
{
  struct { unsigned short length; void *code; } program;
  struct { unsigned short code; unsigned char yes, no; uint32_t k; } allow = { 6, 0, 0, 0x7fff0000 };
  program.length = 1;
  program.code = &allow;
  note ("allow-all-on-top=%ld", syscall (SYS_seccomp, 1, 0, &program));
  must_fail ("mount", mount ("tmpfs", "/tmp", "tmpfs", 0, NULL));
  must_fail ("keyctl", syscall (SYS_keyctl, 0, -3, 0));
}

/* ---- network ---- */

static void
raw_sockets (void)
{
  must_fail ("inet-raw", socket (AF_INET, SOCK_RAW, IPPROTO_ICMP));
  must_fail ("inet6-raw", socket (AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
  must_fail ("packet", socket (AF_PACKET, SOCK_RAW, 0));
  must_fail ("packet-dgram", socket (AF_PACKET, SOCK_DGRAM, 0));
}

static void
odd_sockets (void)
{
  must_fail ("vsock", socket (AF_VSOCK, SOCK_STREAM, 0));
  must_fail ("alg", socket (AF_ALG, SOCK_SEQPACKET, 0));
  must_fail ("key", socket (15, SOCK_RAW, 2));
  must_fail ("bluetooth", socket (31, SOCK_RAW, 1));
  must_fail ("can", socket (29, SOCK_RAW, 1));
  must_fail ("tipc", socket (30, SOCK_DGRAM, 0));
  must_fail ("xdp", socket (44, SOCK_RAW, 0));
  must_fail ("smc", socket (43, SOCK_STREAM, 0));
  must_fail ("rds", socket (21, SOCK_SEQPACKET, 0));
  must_fail ("appletalk", socket (5, SOCK_DGRAM, 0));
}

static void
loopback (void)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) atoi (bait ("BAIT_PORT"))) };
  int fd = socket (AF_INET, SOCK_STREAM, 0);
  inet_pton (AF_INET, "127.0.0.1", &to.sin_addr);
  must_fail ("127.0.0.1", connect (fd, (void *) &to, sizeof to));
  close (fd);
  fd = socket (AF_INET, SOCK_STREAM, 0);
  inet_pton (AF_INET, "169.254.169.254", &to.sin_addr);
  to.sin_port = htons (80);
  must_fail ("metadata-service", connect (fd, (void *) &to, sizeof to));
  close (fd);
}

static long
connect_abstract (const char *name)
{
  struct sockaddr_un to = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  size_t length = strlen (name);
  memcpy (to.sun_path + 1, name, length);
  long result = connect (fd, (void *) &to, (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + length));
  int error = errno;
  close (fd);
  errno = error;
  return result;
}

static void
abstract_host (void)
{
  must_fail ("connect", connect_abstract (bait ("BAIT_SOCKET")));
  must_not_hold ("/proc/net/unix", bait ("BAIT_SOCKET"));
}

static void
abstract_neighbour (void)
{
  must_fail ("connect", connect_abstract (bait ("NEIGHBOUR_SOCKET")));
  must_not_hold ("/proc/net/unix", bait ("NEIGHBOUR_SOCKET"));
}

static void
interfaces (void)
{
  struct if_nameindex *all = if_nameindex ();
  int others = 0;
  for (struct if_nameindex *one = all; one && one->if_index; one++)
    others += strcmp (one->if_name, "lo") != 0;
  must_hold ("only-lo", all != NULL && others == 0);
}

struct route_request {
  struct { uint32_t length; uint16_t type, flags; uint32_t sequence, port; } header;
  struct { unsigned char family, dst_len, src_len, tos, table, protocol, scope, type; uint32_t flags; } route;
  struct { uint16_t length, type; uint32_t value; } interface;
};

static void
routes (void)
{
  struct route_request request = {
    .header = { sizeof request, 24, 0x1 | 0x4 | 0x400, 1, 0 },
    .route = { AF_INET, 0, 0, 0, 254, 3, 253, 1, 0 },
    .interface = { 8, 4, 1 },
  };
  struct { uint32_t header[4]; int error; char rest[512]; } answer;
  int fd = socket (AF_NETLINK, SOCK_RAW, 0);
  if (fd < 0 || send (fd, &request, sizeof request, 0) < 0 || recv (fd, &answer, sizeof answer, 0) < 20)
    {
      must_fail ("netlink", -1);
      return;
    }
  errno = -answer.error;
  must_fail ("add-route", answer.error == 0 ? 0 : -1);
  struct ifreq down = { .ifr_name = "lo" };
  fd = socket (AF_INET, SOCK_DGRAM, 0);
  must_fail ("link-down", ioctl (fd, SIOCSIFFLAGS, &down));
  uint32_t options[10] = { 0 };
  must_fail ("iptables", setsockopt (fd, IPPROTO_IP, 64, options, sizeof options));
}

static void
host_ipc (void)
{
  key_t key = (key_t) atoi (bait ("BAIT_KEY"));
  must_fail ("shm", shmget (key, 0, 0));
  must_fail ("sem", semget (key, 0, 0));
  must_fail ("msg", msgget (key, 0));
  struct { int a, b, c, d, e, f, g, h, i, j; } info;
  int highest = shmctl (0, 14, (struct shmid_ds *) &info);
  note ("segments=%d", highest);
  /* With IPC_SET on what is not there. */
  must_hold ("no-segments", highest <= 0);
  mqd_t queue = mq_open ("/wherry-bait", O_RDONLY);
  must_fail ("mq", (long) (int) queue);
}

/* ---- descriptors and terminals ---- */

static void
look_at_descriptor (const char *name)
{
  char path[64], target[256];
  int fd = atoi (name);
  snprintf (path, sizeof path, "/proc/self/fd/%s", name);
  long length = readlink (path, target, sizeof target - 1);
  target[length < 0 ? 0 : length] = 0;
  if (fd <= 2)
    must_hold (target, strncmp (target, "pipe:", 5) == 0);
  else
    must_hold (target, strstr (target, "/fd") != NULL); /* the directory being read */
}

static void
inherited (void)
{
  each_name ("/proc/self/fd", look_at_descriptor);
  for (int fd = 3; fd < 1024; fd++)
    if (fcntl (fd, F_GETFD) != -1)
      must_hold ("closed", 0);
}

static void
stdio_pipes (void)
{
  const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
  char path[32];
  for (int fd = 0; fd < 3; fd++)
    for (size_t i = 0; i < COUNT (modes); i++)
      {
        snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
        int again = open (path, modes[i] | O_NONBLOCK | O_CLOEXEC);
        note ("%d/%zu=%s", fd, i, again < 0 ? name_of (errno) : "opens");
        if (again >= 0)
          {
            struct stat found;
            fstat (again, &found);
            must_hold ("a-pipe", S_ISFIFO (found.st_mode));
            close (again);
          }
      }
  /* Its own pipes, nothing else: what it does to them it does to its own input and output. */
  harmless = 1;
}

static void
terminals (void)
{
  char letter = 'x', code[2] = { 11, 0 };
  int number = 0;
  for (int fd = 0; fd < 3; fd++)
    {
      must_fail ("TIOCSTI", ioctl (fd, 0x5412, &letter));
      must_fail ("TIOCLINUX", ioctl (fd, 0x541c, code));
    }
  must_fail ("TIOCSTI-upper-bits", syscall (SYS_ioctl, 0, 0x5412UL | 1UL << 32, &letter));
  must_fail ("TIOCSETD", ioctl (0, 0x5423, &number));
  must_not_open ("/dev/tty", O_RDWR);
  must_not_open ("/dev/console", O_RDWR);
  must_not_open ("/dev/tty1", O_RDWR);
  must_not_open ("/dev/vcs1", O_RDWR);
}

static void
own_terminal (void)
{
  char letter = 'x', name[32];
  int zero = 0, number = -1, master = open ("/dev/ptmx", O_RDWR | O_NOCTTY);
  if (master < 0 || ioctl (master, TIOCSPTLCK, &zero) != 0 || ioctl (master, TIOCGPTN, &number) != 0)
    {
      must_fail ("ptmx", -1);
      return;
    }
  note ("pts=%d", number);
  snprintf (name, sizeof name, "/dev/pts/%d", number);
  int terminal = open (name, O_RDWR | O_NOCTTY);
  must_hold ("opens", terminal >= 0);
  must_fail ("TIOCSTI", ioctl (terminal, 0x5412, &letter));
  must_fail ("TIOCCONS", ioctl (terminal, 0x541d, 0));
  must_hold ("its-own-instance", number < 2);
}

static void
nodes (void)
{
  const char *places[] = { "/tmp/n", "/n", "/dev/shm/n", "/dev/n", "/run/n" };
  for (size_t i = 0; i < COUNT (places); i++)
    {
      must_fail (places[i], mknod (places[i], S_IFCHR | 0666, makedev (1, 1)));
      must_fail ("block", mknod (places[i], S_IFBLK | 0666, makedev (8, 0)));
    }
  must_fail ("mknodat-upper-bits", syscall (SYS_mknodat, AT_FDCWD, "/tmp/u", 1UL << 32 | S_IFCHR | 0666, makedev (1, 1)));
}

static int strange_devices;

static void
look_at_device (const char *name)
{
  const char *known[] = { "null", "zero", "full", "random", "urandom", "tty" };
  char path[PATH_MAX];
  struct stat found;
  snprintf (path, sizeof path, "/dev/%s", name);
  if (lstat (path, &found) != 0 || (!S_ISCHR (found.st_mode) && !S_ISBLK (found.st_mode)))
    return;
  for (size_t i = 0; i < COUNT (known); i++)
    if (strcmp (known[i], name) == 0)
      return;
  strange_devices++;
  note ("%s", path);
}

static void
devices (void)
{
  int seen = each_name ("/dev", look_at_device);
  note ("%d names in /dev", seen);
  must_hold ("only-the-usual", seen > 0 && strange_devices == 0);
  must_not_open ("/dev/new", O_WRONLY | O_CREAT);
}

/* ---- using things up ---- */

static long
limit_argument (char **argv)
{
  return argv[0] ? atol (argv[0]) : 0;
}

static void
fork_bomb (char **argv)
{
  long most = limit_argument (argv), made = 0;
  int held[2];
  if (pipe (held) != 0)
    return;
  for (; made < 4 * most; made++)
    {
      pid_t pid = fork ();
      if (pid < 0)
        break;
      if (pid == 0)
        {
          char byte;
          close (held[1]);
          _exit (read (held[0], &byte, 1) != 0);
        }
    }
  note ("forks=%ld", made);
  must_hold ("bounded", made <= most + 8);
  close (held[1]);
  while (wait (NULL) > 0)
    ;
}

/* Dies of it where a control group bounds it; is refused it where a limit on data does. */
static void
memory_bomb (char **argv)
{
  long megabytes = limit_argument (argv), got = 0;
  for (; got < megabytes; got += 4)
    {
      char *more = mmap (NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (more == MAP_FAILED)
        break;
      memset (more, 1, 4 * MIB);
    }
  note ("got=%ldMiB errno=%s", got, name_of (errno));
  escaped = got >= megabytes;
}

static void
shared_memory_bomb (char **argv)
{
  static char block[MIB];
  long megabytes = limit_argument (argv), got = 0;
  int fd = memfd_create ("bomb", 0);
  memset (block, 1, sizeof block);
  while (got < megabytes && write (fd, block, sizeof block) == MIB)
    got++;
  note ("got=%ldMiB", got);
  escaped = got >= megabytes;
}

static long
fill (const char *path, long megabytes)
{
  static char block[65536];
  long written = 0;
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return -1;
  while (written < megabytes * MIB)
    {
      long got = write (fd, block, sizeof block);
      if (got <= 0)
        break;
      written += got;
    }
  close (fd);
  return written;
}

/* fill-disk MIB PATH...: all of them together may hold no more than that. */
static void
fill_disk (char **argv)
{
  long most = limit_argument (argv), total = 0;
  for (char **path = argv + 1; argv[0] && *path; path++)
    {
      long written = fill (*path, 4 * most);
      int error = errno;
      note ("%s=%ldKiB", *path, written < 0 ? -1 : written >> 10);
      unclear |= written < 0 && error != ENOSPC;
      total += written > 0 ? written : 0;
    }
  must_hold ("bounded", total <= most * MIB);
  unclear |= total == 0;
}

/* Where nothing at all can be written. */
static void
fill_nothing (char **argv)
{
  for (; *argv; argv++)
    {
      long written = fill (*argv, 1);
      must_fail (*argv, written);
    }
}

static void
fill_inodes (char **argv)
{
  long most = limit_argument (argv), made = 0;
  char path[64];
  for (; made < 4 * most; made++)
    {
      snprintf (path, sizeof path, "/tmp/i%ld", made);
      int fd = open (path, O_WRONLY | O_CREAT | O_EXCL, 0600);
      if (fd < 0)
        break;
      close (fd);
    }
  note ("files=%ld errno=%s", made, name_of (errno));
  must_hold ("bounded", made < 4 * most && made <= most);
}

static void
descriptors (void)
{
  long opened = 0;
  while (opened < 100000 && dup (0) >= 0)
    opened++;
  note ("opened=%ld errno=%s", opened, name_of (errno));
  must_hold ("bounded", opened <= 65536);
}

/* ---- */

/* ---- not probes: what attacks from outside start inside ---- */

/* neighbour SOCKET: listen there, say so, and stay until stdin ends. */
static int
neighbour (char **argv)
{
  struct sockaddr_un at = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  size_t length = strlen (argv[0]);
  memcpy (at.sun_path + 1, argv[0], length);
  if (bind (fd, (void *) &at, (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + length)) != 0
      || listen (fd, 8) != 0 || creat ("/tmp/neighbour", 0666) < 0)
    return 1;
  puts ("ready");
  fflush (stdout);
  char byte;
  while (read (0, &byte, 1) > 0)
    ;
  return 0;
}

/* as NAME: stay under that name until stdin ends. */
static int
as (char **argv)
{
  execl ("/probes", argv[0], "wait", (char *) NULL);
  return 1;
}

static int
wait_for_end (char **argv)
{
  char byte;
  (void) argv;
  puts ("ready");
  fflush (stdout);
  while (read (0, &byte, 1) > 0)
    ;
  return 0;
}

/* leave DIRECTORY: what a collector could stumble over. */
static int
leave (char **argv)
{
  char name[32];
  struct sockaddr_un at = { .sun_family = AF_UNIX };
  if (chdir (argv[0]) != 0)
    return 1;
  mkfifo ("fifo", 0666);
  memcpy (at.sun_path, "socket", 7);
  (void) !bind (socket (AF_UNIX, SOCK_STREAM, 0), (void *) &at, sizeof at);
  (void) !symlink (bait ("BAIT_FILE"), "link");
  (void) !symlink ("/", "root");
  (void) !symlink ("..", "up");
  int fd = creat ("set\nuser|id ..", 06755);
  (void) !write (fd, "plain", 5);
  (void) !link ("set\nuser|id ..", "hard");
  (void) !link ("link", "hard-link-to-link");
  close (creat ("-rf", 0644));
  close (creat ("\377\376", 0644));
  close (creat ("\033[2J", 0644));
  close (creat ("...", 0644));
  for (int i = 0; i < 3; i++)
    {
      snprintf (name, sizeof name, "d%d", i);
      mkdir (name, 0755);
    }
  return 0;
}

/* sparse PATH: a terabyte that takes no room. */
static int
sparse (char **argv)
{
  return ftruncate (creat (argv[0], 0644), 1LL << 40) != 0;
}

/* deep DIRECTORY COUNT: directories in directories. */
static int
deep (char **argv)
{
  if (chdir (argv[0]) != 0)
    return 1;
  for (int i = atoi (argv[1]); i > 0; i--)
    if (mkdir ("d", 0755) != 0 || chdir ("d") != 0)
      return 1;
  return creat ("bottom", 0644) < 0;
}

/* many DIRECTORY COUNT: empty files. */
static int
many (char **argv)
{
  char name[32];
  if (chdir (argv[0]) != 0)
    return 1;
  for (int i = atoi (argv[1]); i > 0; i--)
    {
      snprintf (name, sizeof name, "f%d", i);
      close (creat (name, 0644));
    }
  return 0;
}

static const struct { const char *name; int arguments; int (*run) (char **); } tools[] = {
  { "neighbour", 1, neighbour }, { "as", 1, as }, { "wait", 0, wait_for_end },
  { "leave", 1, leave }, { "sparse", 1, sparse }, { "deep", 2, deep }, { "many", 2, many },
};

static const struct { const char *name; void (*run) (void); void (*with) (char **); } probes[] = {
  { "host-file", host_file, 0 }, { "proc-1", proc_one, 0 }, { "proc-1-race", proc_one_race, 0 },
  { "proc-links", proc_links, 0 }, { "dot-dot", dot_dot, 0 }, { "chroot", chroot_out, 0 },
  { "file-handle", file_handle, 0 }, { "mount", mounts, 0 }, { "remount", remount, 0 },
  { "read-only-root", read_only_root, 0 }, { "unmount", unmount, 0 },
  { "new-mount-api", new_mount_api, 0 }, { "overlay-tricks", overlay_tricks, 0 },
  { "kcore", kcore, 0 }, { "device-memory", device_memory, 0 }, { "sysctl", sysctls, 0 },
  { "core-pattern", core_pattern, 0 }, { "sysrq", sysrq, 0 }, { "masked", masked, 0 },
  { "sysfs", sysfs, 0 }, { "release-agent", release_agent, 0 },
  { "proc-self-write", proc_self_write, 0 }, { "oom-score", first_to_die, 0 },
  { "modules", modules, 0 }, { "unshare", unshares, 0 }, { "clone", clones, 0 },
  { "clone3", clone_three, 0 }, { "setns", set_namespace, 0 }, { "ptrace", trace, 0 },
  { "process-vm", foreign_memory, 0 }, { "pidfd-getfd", steal_descriptor, 0 },
  { "host-process", host_process, 0 }, { "kill-all", kill_all, 0 },
  { "kill-init", kill_init, 0 }, { "other-processes", other_pids, 0 },
  { "callers-environment", callers_environment, 0 }, { "scheduling", scheduling, 0 },
  { "rlimits", raise_limits, 0 }, { "capabilities", capabilities, 0 },
  { "other-ids", other_ids, 0 }, { "setuid-file", set_user_id, 0 }, { "keyctl", keys, 0 },
  { "bpf", bpf_call, 0 }, { "perf", perf, 0 }, { "userfaultfd", user_fault, 0 },
  { "kexec", kexec, 0 }, { "io-uring", uring, 0 }, { "administration", administration, 0 },
  { "clock", clocks, 0 }, { "hostname", host_name, 0 }, { "personality", personalities, 0 },
  { "i386-calls", i386_calls, 0 }, { "x32-calls", x32_calls, 0 }, { "ports", port_access, 0 },
  { "seccomp", loosen_filter, 0 }, { "raw-sockets", raw_sockets, 0 },
  { "odd-sockets", odd_sockets, 0 }, { "host-loopback", loopback, 0 },
  { "host-abstract-socket", abstract_host, 0 },
  { "neighbour-abstract-socket", abstract_neighbour, 0 }, { "interfaces", interfaces, 0 },
  { "routes", routes, 0 }, { "host-ipc", host_ipc, 0 }, { "inherited-fds", inherited, 0 },
  { "stdio-reopened", stdio_pipes, 0 }, { "terminal-injection", terminals, 0 },
  { "own-terminal", own_terminal, 0 }, { "device-nodes", nodes, 0 }, { "devices", devices, 0 },
  { "fork-bomb", 0, fork_bomb }, { "memory-bomb", 0, memory_bomb },
  { "shared-memory-bomb", 0, shared_memory_bomb }, { "fill-disk", 0, fill_disk },
  { "fill-nothing", 0, fill_nothing }, { "fill-inodes", 0, fill_inodes },
  { "descriptors", descriptors, 0 },
};

int
main (int argc, char **argv)
{
  if (argc > 1 && strcmp (argv[1], "own-ids") == 0)
    return own_ids ();
  for (size_t i = 0; argc > 1 && i < COUNT (probes); i++)
    if (strcmp (argv[1], probes[i].name) == 0)
      {
        if (probes[i].run)
          probes[i].run ();
        else
          probes[i].with (argv + 2);
        return finish ();
      }
  for (size_t i = 0; argc > 1 && i < COUNT (tools); i++)
    if (strcmp (argv[1], tools[i].name) == 0 && argc == 2 + tools[i].arguments)
      return tools[i].run (argv + 2);
  for (size_t i = 0; i < COUNT (probes); i++)
    puts (probes[i].name);
  return 2;
}
