/* Canonical log lines: one JSON object per event on standard error, fixed keys first:
 *   {"ts":"…","level":"info","event":"job.done","role":"worker","pid":1, …fields}
 * logfmt instead of JSON when standard error is a terminal. Values are escaped, control characters too, and cut at 1 KiB;
 * fields that do not fit a line of PIPE_BUF bytes are left out and "truncated":true says so.
 * Library code (base, queues, jobs) returns errors and never logs; a process logs each event once. Writing never blocks
 * the loop: a line that a full pipe does not take is dropped and counted (M_LOG_DROPPED). Inside loop_run the lines of a turn
 * are held and leave together at its end (a killed process takes them along), with an error at once. One thread; the process
 * ignores SIGPIPE. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <base/clock.h>
#include <base/err.h>
#include <base/ids.h>
#include <base/trace.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *key;
    enum { LOG_STR, LOG_INT, LOG_REAL, LOG_BOOL, LOG_UUID, LOG_TRACE } kind;
    struct str s;
    int64_t i;
    double d;
    const void *p; /* struct uuid or struct trace */
};

#define LF_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_STR, .s = (v)})
#define LF_C(k, v) ((struct log_field){.key = (k), .kind = LOG_STR, .s = str_c(v)})
#define LF_INT(k, v) ((struct log_field){.key = (k), .kind = LOG_INT, .i = (int64_t)(v)})
#define LF_REAL(k, v) ((struct log_field){.key = (k), .kind = LOG_REAL, .d = (v)})
#define LF_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_BOOL, .i = (v)})
#define LF_UUID(k, v) ((struct log_field){.key = (k), .kind = LOG_UUID, .p = (v)})
/* trace_id and span_id; at most one in a line. */
#define LF_TRACE(v) ((struct log_field){.key = "trace_id", .kind = LOG_TRACE, .p = (v)})
#define LF_ERR(e) LF_C("error", err_name((e).code)), LF_C("detail", (e).detail)

/* Call at start, and again in a forked child or when standard error was replaced. role is borrowed for ever. */
void log_setup(const char *role, enum log_level least);
bool log_level_parse(struct str s, enum log_level *out); /* "debug", "info", "warn" or "error" */
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

/* What was written, for somebody else who takes it, too: nothing of it may be kept, and nothing logged meanwhile. Lines below the least
 * level, and those below warn of a trace that is not sampled, do not come: their number would be that of the jobs. */
struct log_record {
    struct wall at;
    enum log_level level;
    const char *event;
    const struct log_field *fields;
    size_t n;
    const struct trace *trace; /* NULL: of none */
};
typedef void log_sink(void *arg, const struct log_record *r);
void log_also(log_sink *sink, void *arg); /* NULL: nobody */

/* The loop's. true: lines below error, at most 64 KiB of them, wait for the next log_flush; false (at first): none waits. */
void log_hold(bool hold);
void log_flush(void);

/* LOG(INFO, "job.done", LF_UUID("job", &id), LF_INT("ms", 3)); at least one field. */
#define LOG(level, event, ...)                                                     \
    log_write(LOG_LEVEL_##level, (event), (const struct log_field[]){__VA_ARGS__}, \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

#endif
