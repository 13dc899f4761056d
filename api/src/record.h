/* The spans of the API: of each request, its statements and the jobs that it sends. Nothing while spans are off. */
#ifndef API_RECORD_H
#define API_RECORD_H

#include <base/span.h>

struct acceptance;
struct call;
struct http_request;

/* The request's own span, and what was done within it: recorded when its trace is, and when it failed here: with a
 * 5xx, but for 503, which says in thousands that there is too much to do. */
void record_request(struct call *c, const struct http_request *req, int status, size_t bytes);
void record_query(struct call *c, const char *statement, const struct span_mark *mark, struct err err);
void record_sending(const struct acceptance *a, struct err err);
/* The statement that n acceptances shared. */
void record_accepted(struct acceptance *const *rows, size_t n, struct mono began, struct err err);

#endif
