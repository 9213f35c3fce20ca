/* Lets a program that was made for Funker be called through stdin and stdout.
 *
 *   funker PORT PROGRAM [ARG...]
 *
 * Starts PROGRAM as its child, which listens on PORT and serves one connection. When there is
 * something on stdin, or its end, 127.0.0.1:PORT (or [::1]:PORT) is connected to as soon as it
 * accepts: not earlier, since the first connection is the only one. Stdin is sent, its end is a
 * half-close, and what is answered is written to stdout. PROGRAM itself has an empty stdin, and
 * what it prints goes to stderr: stdout holds the answer and nothing else.
 *
 * The exit code is 0 when there was an answer. Without one it is PROGRAM's, or 1 if that is 0:
 * 128+N for the death by signal N, 127 when there is no such program, 126 when it cannot be
 * executed, 125 when we fail ourselves.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
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

#define BUFFER 65536
#define GRACE 2000
#define FIRST_TRY 1
#define LAST_TRY 50

static pid_t program, feeder;
static int signals, is_over, code;
static sigset_t before;

static void
die (const char *what)
{
  dprintf (STDERR_FILENO, "[wherry funker] %s: %s\n", what, strerror (errno));
  exit (125);
}

static long long
now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* It may be too late for the signal: then nobody is there any more to be served. */
static void
die_with_parent (pid_t parent)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (125);
}

static void
start (char **argv)
{
  pid_t parent = getpid ();
  program = fork ();
  if (program < 0)
    die ("fork");
  if (program > 0)
    return;
  die_with_parent (parent);
  int nothing = open ("/dev/null", O_RDONLY);
  if (nothing >= 0)
    dup2 (nothing, STDIN_FILENO);
  if (nothing > STDERR_FILENO)
    close (nothing);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  sigprocmask (SIG_SETMASK, &before, NULL);
  execvp (argv[0], argv);
  int error = errno;
  dprintf (STDERR_FILENO, "[wherry funker] %s: %s\n", argv[0], strerror (error));
  _exit (error == ENOENT || error == ENOTDIR ? 127 : 126);
}

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

/* Wait until fd can be read from, for at most so many milliseconds; fd may be -1. */
static int
await (int fd, int most)
{
  struct pollfd watched[2] = { { .fd = signals, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
  if (poll (watched, 2, most) < 0 && errno != EINTR)
    die ("poll");
  if (watched[0].revents)
    hear_signals ();
  return fd >= 0 && watched[1].revents != 0;
}

static int
connect_to (int family, uint16_t port)
{
  struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons (port) };
  struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons (port) };
  four.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  six.sin6_addr = in6addr_loopback;
  int fd = socket (family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  int failed = family == AF_INET ? connect (fd, (struct sockaddr *) &four, sizeof four)
                                 : connect (fd, (struct sockaddr *) &six, sizeof six);
  if (failed)
    {
      close (fd);
      return -1;
    }
  return fd;
}

static int
reach (uint16_t port)
{
  int delay = FIRST_TRY;
  while (!is_over)
    {
      int fd = connect_to (AF_INET, port);
      if (fd < 0)
        fd = connect_to (AF_INET6, port);
      if (fd >= 0)
        return fd;
      await (-1, delay);
      delay = delay * 2 > LAST_TRY ? LAST_TRY : delay * 2;
    }
  return -1;
}

static void
feed (int to)
{
  pid_t parent = getpid ();
  feeder = fork ();
  if (feeder < 0)
    die ("fork");
  if (feeder > 0)
    return;
  die_with_parent (parent);
  static char data[BUFFER];
  ssize_t count;
  while ((count = read (STDIN_FILENO, data, sizeof data)) > 0)
    for (ssize_t at = 0, sent; at < count; at += sent)
      if ((sent = send (to, data + at, (size_t) (count - at), MSG_NOSIGNAL)) < 0)
        _exit (0);
  shutdown (to, SHUT_WR);
  _exit (0);
}

/* Return how many bytes were answered, or -1 when the answer was cut. */
static long long
relay (int from)
{
  static char data[BUFFER];
  long long all = 0;
  for (;;)
    {
      if (!await (from, -1))
        continue;
      ssize_t count = read (from, data, sizeof data);
      if (count < 0)
        return -1;
      if (count == 0)
        return all;
      for (ssize_t at = 0, written; at < count; at += written)
        if ((written = write (STDOUT_FILENO, data + at, (size_t) (count - at))) < 0)
          return -1;
      all += count;
    }
}

int
main (int argc, char **argv)
{
  uint16_t port = argc >= 3 ? (uint16_t) atoi (argv[1]) : 0;
  sigset_t ours;

  if (port == 0)
    {
      dprintf (STDERR_FILENO, "[wherry funker] usage: funker PORT PROGRAM [ARG...]\n");
      return 125;
    }
  sigfillset (&ours);
  sigdelset (&ours, SIGTSTP);
  sigdelset (&ours, SIGTTIN);
  sigdelset (&ours, SIGTTOU);
  sigprocmask (SIG_BLOCK, &ours, &before);
  signals = signalfd (-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0)
    die ("signalfd");
  start (argv + 2);
  while (!is_over && !await (STDIN_FILENO, -1))
    continue;
  int connection = reach (port);
  long long answered = 0;
  if (connection >= 0)
    {
      feed (connection);
      answered = relay (connection);
      close (connection);
    }
  for (long long end = now () + GRACE; !is_over && now () < end;)
    await (-1, (int) (end - now ()) + 1);
  if (answered > 0)
    return 0;
  const char *said = answered < 0 ? "the answer was cut"
                     : connection < 0 ? "the program ended before it accepted a connection"
                                      : "the program answered nothing";
  dprintf (STDERR_FILENO, "[wherry funker] %s\n", said);
  return is_over && code != 0 ? code : 1;
}
