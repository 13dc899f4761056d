/* What the bench's small programs share: options, clocks, an end with a message. They are bare on purpose and stop at the first error. */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <stddef.h>
#include <stdint.h>

_Noreturn void die(const char *what, const char *why);
_Noreturn void die_errno(const char *what);
void *must_alloc(size_t n, size_t size); /* zeroed; freed by the end of the process */

/* The word behind --name; NULL, or the fallback, when it is not given. */
const char *option(int argc, char **argv, const char *name);
long option_long(int argc, char **argv, const char *name, long fallback);

double tool_seconds(void);     /* monotonic */
double tool_cpu_seconds(void); /* of this process so far */
int64_t tool_wall_us(void);    /* since 1970: to be compared with the times of other processes of this machine */
void tool_sleep_until(int64_t wall_us);

#endif
