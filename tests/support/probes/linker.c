/* Poses as the dynamic linker of an image whose program is /proc/self/exe.
 *
 * The kernel then maps bubblewrap, from the host, and starts this code in its place: what it does
 * to /proc/self/exe it does to the host's file. Without a C library, so that nothing of the
 * mapped program is needed.
 */

static long
call (long number, long first, long second, long third)
{
  long result;
  __asm__ volatile ("syscall" : "=a" (result) : "a" (number), "D" (first), "S" (second), "d" (third)
                    : "rcx", "r11", "memory");
  return result;
}

static void
say (const char *text)
{
  long length = 0;
  while (*(volatile const char *) (text + length))
    length++;
  call (1, 1, (long) text, length);
}

void _start (void);

void
_start (void)
{
  const char *self = "/proc/self/exe";
  int worked = 0;
  worked |= call (90, (long) self, 0751, 0) >= 0;    /* chmod */
  worked |= call (2, (long) self, 1, 0) >= 0;        /* open O_WRONLY */
  worked |= call (76, (long) self, 0, 0) >= 0;       /* truncate */
  say (worked ? "ESCAPED changed the host's bubblewrap\n" : "CONTAINED chmod, open and truncate refused\n");
  call (60, 0, 0, 0);
}
