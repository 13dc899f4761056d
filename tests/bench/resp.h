/* The floor of a Redis client: one blocking connection, RESP written and read by hand, as many commands in flight as the caller likes. */
#ifndef BENCH_RESP_H
#define BENCH_RESP_H

#include <stddef.h>

struct resp;

/* To 127.0.0.1:--port, as --user with --password when they are given. */
struct resp *resp_dial(int argc, char **argv);

/* A command is resp_begin and as many arguments as it said; nothing is sent before resp_flush. */
void resp_begin(struct resp *r, size_t argc);
void resp_bytes(struct resp *r, const void *p, size_t n);
void resp_text(struct resp *r, const char *text);
void resp_number(struct resp *r, long v);
void resp_flush(struct resp *r);

/* Reads one reply and forgets it; an integer's value, else 0. */
long resp_skip(struct resp *r);
/* The parts of a reply, in their order. An array's length, -1 for nil; a string, borrowed until the next read, NULL for nil. */
long resp_array(struct resp *r);
const char *resp_string(struct resp *r, size_t *out_n);

void resp_do(struct resp *r, size_t argc, const char *const *argv); /* sends a command and skips its reply */
double resp_info(struct resp *r, const char *section, const char *field);
double resp_cpu_seconds(struct resp *r); /* of the server, all threads */

#endif
