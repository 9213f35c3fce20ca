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
#define NAME "funker"
#include "child.h"

#include <fcntl.h>
#include <poll.h>

#define BUFFER 65536
#define GRACE 2000
#define FIRST_TRY 1
#define LAST_TRY 50

static pid_t feeder;

/* Stdin and stdout are the call's: the program has neither. */
static void
part_from_call (void)
{
  int nothing = open ("/dev/null", O_RDONLY);
  if (nothing >= 0)
    dup2 (nothing, STDIN_FILENO);
  if (nothing > STDERR_FILENO)
    close (nothing);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
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
reach (uint16_t port)
{
  int delay = FIRST_TRY;
  while (!is_over)
    {
      int fd = connect_to (AF_INET, port, 0);
      if (fd < 0)
        fd = connect_to (AF_INET6, port, 0);
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

  if (port == 0)
    {
      dprintf (STDERR_FILENO, "[wherry funker] usage: funker PORT PROGRAM [ARG...]\n");
      return 125;
    }
  block_signals ();
  start (argv + 2, part_from_call);
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
