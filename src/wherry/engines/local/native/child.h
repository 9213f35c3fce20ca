/* What relay.c and funker.c share: a program that is their child, whose signals and end are heard,
 * and its port on the loopback.
 *
 * NAME is what each of them calls itself, and is defined before this is included.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t program;
static int signals;                /* a descriptor: which signals have come */
static int is_over, code = 125;    /* whether the program has ended, and how */
static sigset_t before;

static void
die (const char *what)
{
  dprintf (STDERR_FILENO, "[wherry " NAME "] %s: %s\n", what, strerror (errno));
  _exit (125);
}

static long long
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* From now on signals are read, but those that a terminal stops programs with. */
static void
block_signals (void)
{
  sigset_t ours;
  sigfillset (&ours);
  sigdelset (&ours, SIGTSTP);
  sigdelset (&ours, SIGTTIN);
  sigdelset (&ours, SIGTTOU);
  sigprocmask (SIG_BLOCK, &ours, &before);
  signals = signalfd (-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0)
    die ("signalfd");
}

/* Hand signals on to the program, and learn of its end. */
static void
hear_signals (void)
{
  struct signalfd_siginfo info;
  while (read (signals, &info, sizeof info) == sizeof info)
    if (info.ssi_signo == SIGCHLD)
      {
        int status;
        pid_t ended;
        while ((ended = waitpid (-1, &status, WNOHANG)) > 0)
          if (ended == program)
            {
              is_over = 1;
              code = WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
            }
      }
    else if (!is_over)
      kill (program, (int) info.ssi_signo);
}

/* It may be too late for the signal: then nobody is there any more to be served. */
static void
die_with_parent (pid_t parent)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (125);
}

/* Start the program; prepare is called in its process, and may be NULL. */
static void
start (char **argv, void (*prepare) (void))
{
  pid_t parent = getpid ();
  program = fork ();
  if (program < 0)
    die ("fork");
  if (program > 0)
    return;
  die_with_parent (parent);
  if (prepare != NULL)
    prepare ();
  sigprocmask (SIG_SETMASK, &before, NULL);
  execvp (argv[0], argv);
  int error = errno;
  dprintf (STDERR_FILENO, "[wherry " NAME "] %s: %s\n", argv[0], strerror (error));
  _exit (error == ENOENT || error == ENOTDIR ? 127 : 126);
}

/* Return a socket that connects to the port, or has connected; -1 when it is refused at once. */
static int
connect_to (int family, uint16_t port, int flags)
{
  struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons (port) };
  struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons (port) };
  four.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  six.sin6_addr = in6addr_loopback;
  int fd = socket (family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0)
    return -1;
  int result = family == AF_INET ? connect (fd, (struct sockaddr *) &four, sizeof four)
                                 : connect (fd, (struct sockaddr *) &six, sizeof six);
  if (result != 0 && errno != EINPROGRESS)
    {
      close (fd);
      return -1;
    }
  return fd;
}
