/* Values of request headers and query parameters, read strictly. Pure functions over bytes. */
#ifndef API_HEADER_H
#define API_HEADER_H

#include <base/arena.h>
#include <base/clock.h>

/* Idempotency-Key: an RFC 8941 string ("…", with \" and \\) or the same bare; 1 to LIMIT_KEY_BYTES printable ASCII characters. */
bool header_key(struct str value, struct arena *a, struct str *out);

/* "pen_<id>_<secret>"; and that behind "Bearer ". */
bool header_api_key(struct str value, struct str *out_id, struct str *out_secret);
bool header_bearer(struct str value, struct str *out_id, struct str *out_secret);

/* The value of a cookie in a Cookie field; p NULL: there is none. */
struct str header_cookie(struct str value, const char *name);

/* One Prefer field (RFC 7240). Leaves alone what it does not mention, and what it does not understand. */
struct prefer {
    int64_t wait_ms; /* -1: not said */
    bool respond_async;
};
void header_prefer(struct str value, struct prefer *out);

/* ?wait=: "30", "30s", "500ms". */
bool header_wait(struct str value, int64_t *out_ms);

/* If-None-Match, If-Match: a list of entity tags, or "*"; compared weakly. */
bool header_etag_is_in(struct str value, struct str etag);
bool header_is_etag(struct str value); /* one entity tag, strong or weak */
/* The strong tag "<version>", as our representations have; false for anything else. */
bool header_version(struct str value, int64_t *out);

/* Host, with or without a port, names this machine whatever a name server says: localhost, 127.x.x.x, [::1]. */
bool header_host_is_local(struct str value);

/* Content-Type is this media type; charset, if given, utf-8. */
bool header_media_is(struct str value, const char *type);
bool header_accepts(struct str accept, const char *type); /* named in it, and not with q=0 */

/* RFC 3339, "2026-11-28T21:13:34.123Z", any offset; digits beyond milliseconds are dropped. */
bool header_time(struct str value, struct wall *out);

#endif
