/* The step before bubblewrap: what it cannot do itself, in one small static program.
 *
 *   launcher PPID UID GID SCRATCH TMP_BYTES PROCESSES DATA_BYTES CGROUPS FDS BWRAP [ARG...]
 *
 * argv[0] is the container's marker and is handed on, so that a reaper finds the sandbox by it.
 *
 *   1. die with the caller, leave its session, default signals, no core dumps;
 *   2. join the cgroups (CGROUPS: one cgroup.procs file a line, or "-");
 *   3. started by root: become UID:GID, an unprivileged id ("-1": stay who we are);
 *   4. close every descriptor but 0, 1, 2 and FDS (","-separated, or "-");
 *   5. in a user and mount namespace of our own, mount a tmpfs of TMP_BYTES on SCRATCH: the
 *      only place the sandbox's overlay can write to, bounded and gone with the namespace; and
 *      put a whole /dev together there, as bubblewrap would, which takes it ten times as long;
 *   6. make bubblewrap's own file read-only there: a sandbox can reach it (/proc/self/exe), and
 *      it may belong to the user that the sandbox is on the host;
 *   7. bound processes and data by rlimits ("-": unbounded): they count within that user
 *      namespace only, so they bound this one sandbox, also where no cgroup can be made;
 *   8. exec bubblewrap, without any capability (exec as a non-zero id drops them).
 *
 * launcher.py does the same where there is no compiler; keep the two alike.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static void
die (const char *what)
{
  dprintf (2, "wherry-launcher: %s: %s\n", what, strerror (errno));
  _exit (125);
}

static void
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write (fd, text, strlen (text)) < 0)
    die (path);
  close (fd);
}

static void
die_with_parent (pid_t parent)
{
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) != 0)
    die ("PR_SET_PDEATHSIG");
  if (getppid () != parent)
    _exit (125);
}

static void
join_cgroups (char *paths)
{
  if (strcmp (paths, "-") == 0)
    return;
  for (char *path = strtok (paths, "\n"); path; path = strtok (NULL, "\n"))
    write_file (path, "0");
}

static void
become (uid_t uid, gid_t gid)
{
  if (uid == (uid_t) -1)
    return;
  if (setgroups (0, NULL) != 0 || setresgid (gid, gid, gid) != 0 || setresuid (uid, uid, uid) != 0)
    die ("becoming the sandbox user");
  /* A change of ids makes a process undumpable, and its /proc files root's. */
  if (prctl (PR_SET_DUMPABLE, 1) != 0)
    die ("PR_SET_DUMPABLE");
}

static void
close_range_or_die (unsigned first, unsigned last)
{
  if (first > last || syscall (SYS_close_range, first, last, 0) == 0)
    return;
  if (errno != ENOSYS)
    die ("close_range");
  if (last > 65535)
    last = 65535;
  for (unsigned fd = first; fd <= last; fd++)
    close ((int) fd);
}

/* FDS is in ascending order. */
static void
close_other_descriptors (char *fds)
{
  unsigned next = 3;
  if (strcmp (fds, "-") != 0)
    for (char *word = strtok (fds, ","); word; word = strtok (NULL, ","))
      {
        unsigned keep = (unsigned) strtoul (word, NULL, 10);
        close_range_or_die (next, keep - 1);
        next = keep + 1;
      }
  close_range_or_die (next, ~0U);
}

static void
bounded_scratch (const char *scratch, const char *bytes)
{
  char text[96];
  uid_t uid = getuid ();
  gid_t gid = getgid ();

  if (unshare (CLONE_NEWUSER | CLONE_NEWNS) != 0)
    die ("creating a user namespace");
  write_file ("/proc/self/setgroups", "deny");
  snprintf (text, sizeof text, "%u %u 1", uid, uid);
  write_file ("/proc/self/uid_map", text);
  snprintf (text, sizeof text, "%u %u 1", gid, gid);
  write_file ("/proc/self/gid_map", text);

  /* A file without content takes a kilobyte of the kernel's memory, and no page. */
  unsigned long long inodes = strtoull (bytes, NULL, 10) / 4096 + 1024;
  snprintf (text, sizeof text, "size=%s,nr_inodes=%llu,mode=0700", bytes, inodes);
  if (mount ("wherry", scratch, "tmpfs", MS_NODEV | MS_NOSUID, text) != 0)
    die (scratch);
  umask (0);
  if (chdir (scratch) != 0 || mkdir ("upper", 0755) != 0 || mkdir ("work", 0755) != 0
      || mkdir ("tmp", 01777) != 0 || mkdir ("run", 0755) != 0 || mkdir ("shm", 01777) != 0
      || mkdir ("dev", 0755) != 0 || mkdir ("empty", 0555) != 0)
    die (scratch);
  umask (022);
}

static void
bind_device (const char *name)
{
  char host[32];
  snprintf (host, sizeof host, "/dev/%s", name);
  int fd = open (name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (fd < 0 || close (fd) != 0 || mount (host, name, NULL, MS_BIND, NULL) != 0)
    die (host);
}

/* In the scratch directory. Read-only, its devices and shm aside. */
static void
prepare_dev (void)
{
  static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
  static const char *const links[][2]
    = { { "/proc/self/fd", "fd" },       { "/proc/self/fd/0", "stdin" },
        { "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
        { "/proc/kcore", "core" },       { "pts/ptmx", "ptmx" } };

  if (mount ("dev", "dev", NULL, MS_BIND, NULL) != 0 || chdir ("dev") != 0)
    die ("dev");
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    bind_device (devices[i]);
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink (links[i][0], links[i][1]) != 0)
      die (links[i][1]);
  if (mkdir ("shm", 0755) != 0 || mount ("../shm", "shm", NULL, MS_BIND, NULL) != 0)
    die ("/dev/shm");
  if (mkdir ("pts", 0755) != 0
      || mount ("devpts", "pts", "devpts", MS_NOSUID | MS_NOEXEC,
                "newinstance,ptmxmode=0666,mode=620") != 0)
    die ("/dev/pts");
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
  if (mount (NULL, ".", NULL, flags, NULL) != 0)
    die ("/dev");
}

static void
write_protect (const char *program)
{
  struct statvfs found;
  if (mount (program, program, NULL, MS_BIND, NULL) != 0 || statvfs (program, &found) != 0)
    die (program);
  /* What the mount was made with is locked: it cannot be left out. */
  unsigned long locked = found.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC);
  if (mount (NULL, program, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | locked, NULL) != 0)
    die (program);
}

static void
limit (int resource, const char *text)
{
  if (strcmp (text, "-") == 0)
    return;
  rlim_t most = (rlim_t) strtoull (text, NULL, 10);
  struct rlimit now;
  if (getrlimit (resource, &now) != 0)
    die ("getrlimit");
  if (most > now.rlim_max)
    most = now.rlim_max;
  now.rlim_cur = now.rlim_max = most;
  if (setrlimit (resource, &now) != 0)
    die ("setrlimit");
}

int
main (int argc, char **argv)
{
  if (argc < 11)
    {
      errno = EINVAL;
      die ("arguments");
    }
  pid_t parent = (pid_t) strtol (argv[1], NULL, 10);
  uid_t uid = (uid_t) strtol (argv[2], NULL, 10);
  gid_t gid = (gid_t) strtol (argv[3], NULL, 10);

  die_with_parent (parent);
  setsid ();
  /* When memory runs out on the host, what runs in sandboxes goes first. */
  write_file ("/proc/self/oom_score_adj", "500");
  join_cgroups (argv[8]);
  become (uid, gid);
  close_other_descriptors (argv[9]);
  bounded_scratch (argv[4], argv[5]);
  prepare_dev ();
  write_protect (argv[10]);
  if (chdir ("/") != 0)
    die ("/");
  limit (RLIMIT_CORE, "0");
  limit (RLIMIT_NOFILE, "65536");
  limit (RLIMIT_NPROC, argv[6]);
  limit (RLIMIT_DATA, argv[7]);
  /* Changing ids cleared the death signal; the parent may have gone since. */
  die_with_parent (parent);

  char *program = argv[10];
  argv[10] = argv[0];
  execv (program, argv + 10);
  die (program);
}
