/* The servers that the jobs of one process call (jobs/dependency.h), by name: "payments", "mail", the origin of a handler or a webhook. */
#ifndef JOBS_DEPENDENCIES_H
#define JOBS_DEPENDENCIES_H

#include <base/buf.h>
#include <jobs/dependency.h>

struct dependencies;
MUST struct err dependencies_new(struct dependencies **out);
void dependencies_free(struct dependencies *t); /* NULL is fine */

/* Made when it is new. tenant empty: one of a few that are known beforehand, and that all share; it stays. Else a server that this tenant
 * chose: what its jobs make of it, and what it makes of them, is no other's. Such are forgotten when there are too many, those that nobody
 * uses first. NULL, which is not watched: too many in use, no memory, or t is NULL (a module alone). */
struct dependency *dependencies_find(struct dependencies *t, struct str tenant, struct str name);

/* "https://host:port" of a URL; all of it if it is none. */
struct str dependency_origin(struct str url);

/* Once a second: most is what the process may run at once; series are set, and what opened or closed is logged. */
void dependencies_beat(struct dependencies *t, size_t most, int64_t now_us);

/* The names of those that are not closed, with commas between them; "webhooks" for all that are not named. */
void dependencies_list_open(const struct dependencies *t, struct buf *out);
/* The same as JSON, but for what has no name: {"mail":"what its last failed call came to", …}. Nothing when there is none. */
void dependencies_list_why(const struct dependencies *t, struct buf *out);

#endif
