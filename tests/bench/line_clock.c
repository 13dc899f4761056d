/* line_clock: when did each job begin? Reads a worker's standard error, notes the time at which a line arrives that names a job, and at
 * the end prints "<us> <job>" for each, in order. Lines that one read brought have one time.
 * Both sides of a latency row are measured by it: the worker's own log line of an attempt, written when a no-op handler has returned, and
 * the bare client's line. */
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { JOB_BYTES = 36, LINES_MAX = 1 << 20, BUFFER_BYTES = 1 << 20 };

struct seen {
    int64_t us;
    char job[JOB_BYTES];
};

static struct seen *seen;
static size_t seen_n;

static void look(const char *line, size_t n, int64_t us) {
    static const char mark[] = "\"job\":\"";
    const char *found = memmem(line, n, mark, sizeof mark - 1);
    if (found == NULL || seen_n == LINES_MAX) {
        return;
    }
    found += sizeof mark - 1;
    if (line + n - found >= JOB_BYTES) {
        seen[seen_n].us = us;
        memcpy(seen[seen_n++].job, found, JOB_BYTES);
    }
}

int main(void) {
    static char buffer[BUFFER_BYTES];
    size_t n = 0;
    seen = must_alloc(LINES_MAX, sizeof *seen);
    for (;;) {
        ssize_t got = read(STDIN_FILENO, buffer + n, sizeof buffer - n);
        int64_t us = tool_wall_us();
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', n - (size_t)(line - buffer))) != NULL) {
            look(line, (size_t)(end - line), us);
            line = end + 1;
        }
        n -= (size_t)(line - buffer);
        memmove(buffer, line, n);
        if (n == sizeof buffer) {
            die("line_clock", "a line without an end");
        }
    }
    for (size_t i = 0; i < seen_n; i++) {
        (void)printf("%lld %.*s\n", (long long)seen[i].us, JOB_BYTES, seen[i].job);
    }
    return 0;
}
