/* Lets a server in a container be reached from outside, where the container has no network.
 *
 *   relay DOOR PORT PROGRAM [ARG...]
 *
 * Connects to DOOR, a unix socket on which wherry listens, and then starts PROGRAM as its child.
 * 'U' is said through the door as soon as 127.0.0.1:PORT (or [::1]:PORT) accepts a connection.
 * From then on each descriptor that comes through the door, one with every byte, is one end of a
 * connection, and is relayed to that port: both ways at once, with half-closes, and with at most
 * BUFFER bytes waiting in each direction. For each one 'A' is said, or 'N' when PROGRAM has ended.
 * The end of the door is the end of its owner: PROGRAM gets SIGTERM, and GRACE milliseconds later
 * all is over.
 *
 * Signals are handed on to PROGRAM. When it ends, what is still on its way is delivered, for at
 * most GRACE milliseconds, and its exit code is ours: 128+N for the death by signal N, 127 when
 * there is no such program, 126 when it cannot be executed, 125 when we fail ourselves.
 */
#define _GNU_SOURCE
#define NAME "relay"
#include "child.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/un.h>

#define BUFFER 65536
#define GRACE 2000
#define EVENTS 64
#define TURNS 8
#define FIRST_TRY 2
#define LAST_TRY 100

enum { OUTER, INNER };

struct pipe
{
  size_t start, length;
  char data[BUFFER];
};

struct connection;

struct end
{
  struct connection *connection;
  int fd;
  int at_end;   /* nothing more will be read from it */
  int shut;     /* nothing more will be written to it */
  int watched;  /* epoll knows it */
  uint32_t interest;
};

struct connection
{
  struct connection *next, *previous;
  int connecting, dead;
  struct end ends[2];
  struct pipe from[2]; /* what was read from that end, and goes to the other one */
};

static struct connection *connections, *graveyard;
static int door, poller, family = AF_INET;
static int is_up;
static uint16_t port;
static long long deadline, next_try;
static int delay = FIRST_TRY;
static void
watch (int fd, void *what, uint32_t events)
{
  struct epoll_event event = { .events = events, .data.ptr = what };
  if (epoll_ctl (poller, EPOLL_CTL_ADD, fd, &event) != 0)
    die ("epoll_ctl");
}

/* ---- the program's port ------------------------------------------------------------------ */

static int
dial (void)
{
  int one = 1, fd = connect_to (family, port, SOCK_NONBLOCK);
  if (fd >= 0)
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* An owner that is gone is noticed by the end of the door. */
static void
tell (const char *byte)
{
  if (send (door, byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
    die ("the door");
}

static int
error_of (int fd)
{
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt (fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

/* Nothing else is to be done while nobody listens, and the loopback answers at once. */
static void
try_port (void)
{
  int fd = dial ();
  struct pollfd answer = { .fd = fd, .events = POLLOUT };
  if (fd < 0 || poll (&answer, 1, LAST_TRY) != 1 || error_of (fd) != 0)
    {
      if (fd >= 0)
        close (fd);
      family = family == AF_INET ? AF_INET6 : AF_INET;
      delay = delay * 2 < LAST_TRY ? delay * 2 : LAST_TRY;
      next_try = now () + delay;
      return;
    }
  close (fd);
  is_up = 1;
  tell ("U");
}

/* ---- connections ------------------------------------------------------------------------- */

static void
forget (struct end *end)
{
  if (end->watched)
    epoll_ctl (poller, EPOLL_CTL_DEL, end->fd, NULL);
  end->watched = 0;
}

/* Events of this turn may still name it: the memory is given back after them. */
static void
bury (struct connection *it)
{
  if (it->dead)
    return;
  it->dead = 1;
  for (int side = 0; side < 2; side++)
    {
      forget (&it->ends[side]);
      close (it->ends[side].fd);
    }
  if (it->previous)
    it->previous->next = it->next;
  else
    connections = it->next;
  if (it->next)
    it->next->previous = it->previous;
  it->next = graveyard;
  graveyard = it;
}

static void
open_connection (int outer)
{
  int inner = is_over ? -1 : dial ();
  struct connection *it = inner < 0 ? NULL : malloc (sizeof *it);
  if (it == NULL)
    {
      close (outer);
      if (inner >= 0)
        close (inner);
      return;
    }
  memset (it, 0, offsetof (struct connection, from));
  it->ends[OUTER] = (struct end) { .connection = it, .fd = outer };
  it->ends[INNER] = (struct end) { .connection = it, .fd = inner };
  for (int side = 0; side < 2; side++)
    it->from[side].start = it->from[side].length = 0;
  it->connecting = 1;
  it->next = connections;
  if (connections)
    connections->previous = it;
  connections = it;
  for (int side = 0; side < 2; side++)
    {
      struct end *end = &it->ends[side];
      end->interest = side == INNER ? EPOLLOUT : 0;
      end->watched = 1;
      watch (end->fd, end, end->interest);
    }
}

static int
would_block (void)
{
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Move what can be moved from one side to the other; returns -1 when the connection is broken. */
static int
move (struct connection *it, int side)
{
  struct end *from = &it->ends[side], *to = &it->ends[!side];
  struct pipe *pipe = &it->from[side];
  for (int turn = 0; turn < TURNS; turn++)
    {
      ssize_t count = 0;
      if (pipe->length == 0 && !from->at_end)
        {
          count = recv (from->fd, pipe->data, BUFFER, MSG_DONTWAIT);
          int broken = count < 0 && !would_block ();
          if (broken && side == OUTER)
            return -1;
          from->at_end = count == 0 || broken;
          pipe->start = 0;
          pipe->length = count > 0 ? (size_t) count : 0;
        }
      if (pipe->length == 0)
        break;
      count = send (to->fd, pipe->data + pipe->start, pipe->length,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && !would_block ())
        {
          if (side == INNER)
            return -1;
          /* The program takes no more of the request; it may have answered all the same. */
          from->at_end = to->shut = 1;
          pipe->length = 0;
        }
      if (count <= 0)
        break;
      pipe->start += (size_t) count;
      pipe->length -= (size_t) count;
    }
  if (from->at_end && pipe->length == 0 && !to->shut)
    {
      shutdown (to->fd, SHUT_WR);
      to->shut = 1;
    }
  return 0;
}

static void
wish (struct connection *it, int side)
{
  struct end *end = &it->ends[side];
  uint32_t interest = 0;
  if (!end->at_end && it->from[side].length == 0)
    interest |= EPOLLIN;
  if (it->from[!side].length > 0)
    interest |= EPOLLOUT;
  if (end->at_end && end->shut)
    {
      forget (end); /* its hang-up would be told for ever */
      return;
    }
  if (end->watched && interest != end->interest)
    {
      struct epoll_event event = { .events = interest, .data.ptr = end };
      end->interest = interest;
      epoll_ctl (poller, EPOLL_CTL_MOD, end->fd, &event);
    }
}

static void
attend (struct end *end, uint32_t events)
{
  struct connection *it = end->connection;
  if (it->dead)
    return;
  /* Closed without our having said the last word: the caller has left. */
  int left = end == &it->ends[OUTER] && (events & (EPOLLHUP | EPOLLERR)) && !end->shut;
  if (it->connecting && end == &it->ends[INNER])
    {
      left |= error_of (end->fd) != 0;
      it->connecting = 0;
    }
  if (left || (!it->connecting && (move (it, OUTER) != 0 || move (it, INNER) != 0)))
    {
      bury (it);
      return;
    }
  if (it->ends[OUTER].shut && it->ends[INNER].shut)
    {
      bury (it);
      return;
    }
  if (!it->connecting)
    for (int side = 0; side < 2; side++)
      wish (it, side);
}

/* ---- the door and the program ------------------------------------------------------------- */

static void
end_program (void)
{
  if (deadline == 0)
    deadline = now () + GRACE;
  if (!is_over)
    kill (program, SIGTERM);
}

static void
answer_door (void)
{
  char byte;
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control;
  struct iovec vector = { &byte, 1 };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control };
  ssize_t count = recvmsg (door, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (count < 0 && would_block ())
    return;
  if (count <= 0)
    {
      epoll_ctl (poller, EPOLL_CTL_DEL, door, NULL);
      end_program ();
      return;
    }
  for (struct cmsghdr *at = CMSG_FIRSTHDR (&message); at; at = CMSG_NXTHDR (&message, at))
    if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS)
      {
        int fd;
        memcpy (&fd, CMSG_DATA (at), sizeof fd);
        tell (is_over ? "N" : "A");
        open_connection (fd);
      }
}

/* What is on its way when the program has ended is delivered, but not for ever. */
static void
look_after_program (void)
{
  hear_signals ();
  if (is_over && deadline == 0)
    deadline = now () + GRACE;
}

static void
open_door (const char *path)
{
  struct sockaddr_un to = { .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof to.sun_path)
    {
      errno = ENAMETOOLONG;
      die (path);
    }
  strcpy (to.sun_path, path);
  door = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (door < 0 || connect (door, (struct sockaddr *) &to, sizeof to) != 0)
    die (path);
}

static int
patience (void)
{
  long long least = -1, time = now ();
  if (deadline > 0)
    least = deadline;
  if (!is_up && !is_over && (least < 0 || next_try < least))
    least = next_try;
  if (least < 0)
    return -1;
  return least > time ? (int) (least - time) : 0;
}

static int
is_finished (void)
{
  if (is_over && connections == NULL)
    return 1;
  return deadline > 0 && now () >= deadline;
}

int
main (int argc, char **argv)
{
  struct epoll_event events[EVENTS];

  port = argc >= 4 ? (uint16_t) atoi (argv[2]) : 0;
  if (port == 0)
    {
      dprintf (STDERR_FILENO, "[wherry relay] usage: relay DOOR PORT PROGRAM [ARG...]\n");
      return 125;
    }
  open_door (argv[1]);
  block_signals ();
  poller = epoll_create1 (EPOLL_CLOEXEC);
  if (poller < 0)
    die ("epoll_create1");
  start (argv + 3, NULL);
  watch (door, &door, EPOLLIN);
  watch (signals, &signals, EPOLLIN);
  while (!is_finished ())
    {
      if (!is_up && !is_over && now () >= next_try)
        try_port ();
      int count = epoll_wait (poller, events, EVENTS, patience ());
      for (int at = 0; at < count; at++)
        if (events[at].data.ptr == &door)
          answer_door ();
        else if (events[at].data.ptr == &signals)
          look_after_program ();
        else
          attend (events[at].data.ptr, events[at].events);
      while (graveyard != NULL)
        {
          struct connection *it = graveyard;
          graveyard = it->next;
          free (it);
        }
    }
  return is_over ? code : 128 + SIGKILL;
}
