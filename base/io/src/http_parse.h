/* The head of a request, taken apart and judged; no input or output. llhttp has read the same bytes before: it finds the
 * end of the head and the framing of the body. This is a second reading by stricter rules, and both must agree. */
#ifndef IO_HTTP_PARSE_H
#define IO_HTTP_PARSE_H

#include <io/http_server.h>

struct http_framing {
    bool version_1_0;
    bool chunked;
    bool has_length;
    uint64_t length; /* Content-Length; 0 without one */
    bool expects_continue;
};

/* status 0: nothing to complain about; else the answer's status and a sentence for its body (static). */
struct http_verdict {
    int status;
    const char *reason;
};

/* head is the whole head with its empty line, in memory that lives as long as the request. Sets method, target, path, query
 * and headers (an array in the arena). */
struct http_verdict http_parse_head(struct str head, struct arena *a, struct http_request *req, struct http_framing *out);

#endif
