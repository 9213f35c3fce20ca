/* The first program of a ready container: waits for its call, and executes it.
 *
 *   gate CONTROL
 *   gate -
 *
 * CONTROL is one end of a stream socket. The gate says 'R' when the sandbox stands; reads one
 * call; and becomes it. CONTROL closes on exec, so its end without another word means that the
 * program runs; a failure is told as 'E' and the errno as three digits.
 *
 * With "-" the gate is the container's init. The call comes on stdin, followed by the program's
 * own input, of which nothing is read. The program is a child: signals are passed on to it, orphans
 * are reaped, and when it has ended everything else is ended too. Then what became of it is
 * written to the end of stdout and of stderr, for whoever knows the secret of this call:
 *
 *   0xc1  SECRET (16 bytes)  'X' and the exit code, or 'E' and the errno  (3 bytes)
 *
 * Nothing is written when the program died by a signal, or ended with a code that means so: then
 * the engine has to be asked why. The file this was executed from is removed, where the user may
 * do that: it is no part of the image.
 *
 * A call is: a length (4 bytes, little-endian, at most 4 MiB) of what follows; the number of
 * arguments and of environment strings (4 bytes each); then those strings, each with its NUL.
 * With "-" the counts are followed by 4 bytes that are 1 when there is no input, which /dev/null
 * then stands for, and by the secret; the environment is laid over the one that is there.
 * The program is looked for in PATH of the environment given, and a file in no known form is
 * taken for a script of /bin/sh, as in glibc's execvp, with which bubblewrap executes programs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define MOST (4u << 20)
#define MOST_STRINGS (64u << 10)

#define ON_STDIN (control == STDIN_FILENO)
#define SECRET 16
#define IS_INIT (getpid () == 1)

static int control;
/* What the call begins with: its length, its counts, with "-" the flag and the secret. */
static struct
{
  uint32_t length, arguments, variables, no_input;
  char secret[SECRET];
} header;
/* Where the child of an init tells why it could not execute the program. */
static int failed = -1;
static sigset_t every, before;
/* Not touched, not there: these cost a waiting container no memory. */
static char data[MOST];
static char *pointers[MOST_STRINGS + 3];
static char *merged[2 * MOST_STRINGS + 1];
static char path[PATH_MAX + NAME_MAX + 2];

/* In one piece, or not at all: a pipe takes so few bytes at once. */
static void
append (int stream, const char *text, size_t length)
{
  struct pollfd room = { .fd = stream, .events = POLLOUT };
  while (write (stream, text, length) < 0)
    if (errno == EAGAIN) /* of the program's making: the pipe is its own too */
      poll (&room, 1, -1);
    else if (errno != EINTR)
      return;
}

/* The last words of an init, and its end. */
static void
conclude (char what, unsigned value, int code)
{
  char text[1 + SECRET + 3] = { '\xc1' };
  memcpy (text + 1, header.secret, SECRET);
  text[1 + SECRET] = what;
  text[2 + SECRET] = (char) value;
  text[3 + SECRET] = (char) (value >> 8);
  append (STDOUT_FILENO, text, sizeof text);
  append (STDERR_FILENO, text, sizeof text);
  _exit (code);
}

static void
fail (int error)
{
  int code = error == ENOENT ? 127 : 126;
  char text[] = { 'E', (char) ('0' + error / 100), (char) ('0' + error / 10 % 10),
                  (char) ('0' + error % 10) };
  if (failed >= 0)
    _exit (write (failed, &error, sizeof error) < 0 ? 125 : code);
  if (ON_STDIN)
    conclude ('E', (unsigned) error, code);
  _exit (write (control, text, sizeof text) < 0 ? 125 : code);
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

/* Wait for the first of the call; meanwhile a signal ends an init too, which none does by itself. */
static void
await_call (void)
{
  struct signalfd_siginfo got;
  struct pollfd either[] = { { .fd = control, .events = POLLIN },
                             { .fd = signalfd (-1, &every, SFD_CLOEXEC), .events = POLLIN } };
  for (;;)
    {
      poll (either, 2, -1);
      if (either[0].revents)
        break;
      if (either[1].revents && read (either[1].fd, &got, sizeof got) == sizeof got
          && got.ssi_signo != SIGCHLD && got.ssi_signo != SIGCONT && got.ssi_signo != SIGWINCH
          && got.ssi_signo != SIGURG && got.ssi_signo != SIGTSTP && got.ssi_signo != SIGTTIN
          && got.ssi_signo != SIGTTOU)
        _exit (128 + (int) got.ssi_signo);
    }
  close (either[1].fd);
}

/* Tell that the sandbox stands. */
static void
stand (const char *where, const char *self)
{
  if (strcmp (where, "-") == 0)
    {
      control = STDIN_FILENO;
      /* The program may have the same user, and must not learn the secret. */
      if (prctl (PR_SET_DUMPABLE, 0) != 0)
        _exit (125);
      prctl (PR_SET_NAME, "docker-init");
      memset (&every, 0xff, sizeof every); /* sigfillset leaves out what a C library uses */
      sigprocmask (SIG_SETMASK, &every, &before);
      if (self[0] == '/')
        unlink (self);
      await_call ();
      return;
    }
  control = number (where);
  if (control == STDIN_FILENO || fcntl (control, F_SETFD, FD_CLOEXEC) != 0
      || write (control, "R", 1) != 1)
    _exit (125);
}

static void
become (char **arguments, char **environment)
{
  environ = environment;
  search (arguments);
  fail (errno);
}

/* Reap whatever ends until the program has; returns how. */
static int
await_end (pid_t program)
{
  for (;;)
    {
      int status, signal;
      for (pid_t ended; (ended = waitpid (-1, &status, WNOHANG)) > 0;)
        if (ended == program)
          return status;
      signal = sigwaitinfo (&every, NULL);
      if (signal > 0 && signal != SIGCHLD)
        kill (program, signal);
    }
}

/* The program is a child, in a process group of its own, as below any other init. */
static void
stay (char **arguments, char **environment)
{
  int told[2], error, status;
  if (pipe2 (told, O_CLOEXEC) != 0)
    fail (errno);
  pid_t program = fork ();
  if (program < 0)
    fail (errno);
  if (program == 0)
    {
      failed = told[1];
      memset (header.secret, 0, SECRET);
      setpgid (0, 0);
      if (header.no_input)
        no_input ();
      sigprocmask (SIG_SETMASK, &before, NULL);
      become (arguments, environment);
    }
  close (told[1]);
  ssize_t got;
  while ((got = read (told[0], &error, sizeof error)) < 0 && errno == EINTR)
    ;
  status = await_end (program);
  /* A container ends with its program. Who is gone can write nothing after the last words. */
  if (IS_INIT && kill (-1, SIGKILL) == 0)
    while (waitpid (-1, NULL, 0) > 0)
      ;
  if (got == sizeof error)
    fail (error);
  if (WIFSIGNALED (status))
    _exit (128 + WTERMSIG (status));
  if (WEXITSTATUS (status) < 128)
    conclude ('X', (unsigned) WEXITSTATUS (status), WEXITSTATUS (status));
  _exit (WEXITSTATUS (status));
}

int
main (int argc, char **argv)
{
  if (argc != 2)
    return 125;
  stand (argv[1], argv[0]);
  uint32_t counts = ON_STDIN ? sizeof header - 4 : 8;
  read_exactly (&header, 4 + counts);
  uint32_t length = header.length - counts;
  if (header.length < counts || length > MOST || header.arguments == 0
      || header.arguments > MOST_STRINGS || header.variables > MOST_STRINGS - header.arguments)
    fail (EINVAL);
  read_exactly (data, length);

  char *end = data + length;
  char **arguments = pointers + 1, **environment = arguments + header.arguments + 1;
  char *at = strings (data, end, header.arguments, arguments);
  if (at == NULL || strings (at, end, header.variables, environment) != end)
    fail (EINVAL);
  if (ON_STDIN)
    stay (arguments, overlay (environment));
  /* The descriptor this program was executed from is nobody else's business. */
  if (control > 3)
    syscall (SYS_close_range, 3, control - 1, 0);
  syscall (SYS_close_range, control + 1, ~0u, 0);
  become (arguments, environment);
}
