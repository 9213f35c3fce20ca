/* The first program of a ready container: waits for its call, then becomes what is called.
 *
 *   gate CONTROL
 *   gate -
 *
 * CONTROL is one end of a stream socket. The gate says 'R' when the sandbox stands; reads one
 * call; and executes it. CONTROL closes on exec, so its end without another word means that the
 * program runs; a failure is told as 'E' and the errno as three digits.
 *
 * With "-" the call comes on stdin, followed by the program's own input, of which nothing is
 * read; nothing is said at first, and a failure is one line on stderr. The file this was executed
 * from is removed, where the user may do that: it is no part of the image.
 *
 * A call is: a length (4 bytes, little-endian, at most 4 MiB) of what follows; the number of
 * arguments and of environment strings (4 bytes each); then those strings, each with its NUL.
 * With "-" the counts are followed by 4 bytes that are 1 when there is no input, which /dev/null
 * then stands for, and the environment is laid over the one that is there.
 * The program is looked for in PATH of the environment given, and a file in no known form is
 * taken for a script of /bin/sh, as in glibc's execvp, with which bubblewrap executes programs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define MOST (4u << 20)
#define MOST_STRINGS (64u << 10)

#define ON_STDIN (control == STDIN_FILENO)

static int control;
/* Not touched, not there: these cost a waiting container no memory. */
static char data[MOST];
static char *pointers[MOST_STRINGS + 3];
static char *merged[2 * MOST_STRINGS + 1];
static char path[PATH_MAX + NAME_MAX + 2];

static void
fail (int error)
{
  char text[] = { 'E', (char) ('0' + error / 100), (char) ('0' + error / 10 % 10),
                  (char) ('0' + error % 10) };
  char line[] = "[wherry gate] errno 000\n";
  memcpy (line + sizeof line - 5, text + 1, 3);
  if (ON_STDIN ? write (STDERR_FILENO, line, sizeof line - 1) < 0
               : write (control, text, sizeof text) < 0)
    _exit (125);
  _exit (error == ENOENT ? 127 : 126);
}

/* The caller is gone, or has no call for us: no word to be said to anybody. */
static void
read_exactly (void *into, size_t length)
{
  char *at = into;
  while (length > 0)
    {
      ssize_t got = read (control, at, length);
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        _exit (125);
      at += got;
      length -= (size_t) got;
    }
}

/* Point LIST at COUNT strings that start at AT; returns what follows, NULL when they are fewer. */
static char *
strings (char *at, char *end, uint32_t count, char **list)
{
  for (; count > 0; count--)
    {
      char *stop = at < end ? memchr (at, 0, (size_t) (end - at)) : NULL;
      if (stop == NULL)
        return NULL;
      *list++ = at;
      at = stop + 1;
    }
  *list = NULL;
  return at;
}

static int
same_name (const char *one, const char *other)
{
  size_t length = strcspn (one, "=");
  return strncmp (one, other, length) == 0 && (other[length] == '=' || other[length] == 0);
}

/* Returns the environment that is there with VARIABLES in place of those of the same name. */
static char **
overlay (char **variables)
{
  size_t own = 0, count;
  for (; environ[own] != NULL; own++)
    {
      if (own == MOST_STRINGS)
        fail (E2BIG);
      merged[own] = environ[own];
    }
  for (count = own; *variables != NULL; variables++)
    {
      size_t at = 0;
      while (at < own && !same_name (*variables, merged[at]))
        at++;
      merged[at < own ? at : count++] = *variables;
    }
  return merged;
}

static void
no_input (void)
{
  int null = open ("/dev/null", O_RDWR);
  if (null > STDIN_FILENO)
    {
      dup2 (null, STDIN_FILENO);
      close (null);
    }
}

/* There is room for one more before ARGUMENTS. */
static void
execute (char *file, char **arguments)
{
  char *program = arguments[0];
  execve (file, arguments, environ);
  if (errno != ENOEXEC)
    return;
  arguments[-1] = "/bin/sh";
  arguments[0] = file;
  execve (arguments[-1], arguments - 1, environ);
  arguments[0] = program;
}

/* Returns with errno when nothing could be executed. */
static void
search (char **arguments)
{
  char *program = arguments[0];
  size_t length = strlen (program);
  const char *list = getenv ("PATH");
  int denied = 0;

  errno = length == 0 ? ENOENT : ENAMETOOLONG;
  if (strchr (program, '/') != NULL)
    {
      execute (program, arguments);
      return;
    }
  if (length == 0 || length > NAME_MAX)
    return;
  for (const char *at = list ? list : "/bin:/usr/bin"; at != NULL;)
    {
      size_t directory = strcspn (at, ":");
      if (directory < PATH_MAX)
        {
          char *end = path;
          memcpy (end, at, directory);
          end += directory;
          if (directory > 0)
            *end++ = '/';
          memcpy (end, program, length + 1);
          execute (path, arguments);
          if (errno == EACCES)
            denied = 1;
          else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE && errno != ENODEV
                   && errno != ETIMEDOUT)
            return;
        }
      at = at[directory] ? at + directory + 1 : NULL;
    }
  if (denied)
    errno = EACCES;
}

static int
number (const char *text)
{
  int value = 0;
  while (*text >= '0' && *text <= '9')
    value = value * 10 + (*text++ - '0');
  return value;
}

/* Tell that the sandbox stands. */
static void
stand (const char *where, const char *self)
{
  if (strcmp (where, "-") == 0)
    {
      control = STDIN_FILENO;
      if (self[0] == '/')
        unlink (self);
      return;
    }
  control = number (where);
  if (control == STDIN_FILENO || fcntl (control, F_SETFD, FD_CLOEXEC) != 0
      || write (control, "R", 1) != 1)
    _exit (125);
}

int
main (int argc, char **argv)
{
  uint32_t header[4] = { 0 };

  if (argc != 2)
    return 125;
  stand (argv[1], argv[0]);
  read_exactly (header, ON_STDIN ? sizeof header : sizeof header - sizeof *header);
  uint32_t counts = ON_STDIN ? 12 : 8, length = header[0] - counts;
  if (header[0] < counts || length > MOST || header[1] == 0 || header[1] > MOST_STRINGS
      || header[2] > MOST_STRINGS - header[1])
    fail (EINVAL);
  read_exactly (data, length);

  char *end = data + length;
  char **arguments = pointers + 1, **environment = arguments + header[1] + 1;
  char *at = strings (data, end, header[1], arguments);
  if (at == NULL || strings (at, end, header[2], environment) != end)
    fail (EINVAL);
  if (ON_STDIN)
    {
      if (header[3])
        no_input ();
      environment = overlay (environment);
    }
  else
    {
      /* The descriptor this program was executed from is nobody else's business. */
      if (control > 3)
        syscall (SYS_close_range, 3, control - 1, 0);
      syscall (SYS_close_range, control + 1, ~0u, 0);
    }
  environ = environment;
  search (arguments);
  fail (errno);
}
