/* HTTP(S) and SMTP client: libcurl's multi interface on the loop. Bounded in flight and waiting; every call has a deadline.
 * Calls to addresses that users name (webhooks) are vetted: the SSRF rules are applied to the resolved address when the
 * socket is opened, which closes DNS rebinding; https only, ports 443 and 8443, no redirects, no proxy, no userinfo.
 * The ranges of allow_cidr are exempt, also from the https and port rule. */
#ifndef IO_HTTP_CLIENT_H
#define IO_HTTP_CLIENT_H

#include <base/err.h>
#include <base/str.h>
#include <io/http_server.h>
#include <io/loop.h>

struct http_client;
struct http_call;

struct http_client_options {
    size_t max_in_flight, max_waiting; /* more: ERR_BUSY */
    const char *allow_cidr;            /* "127.0.0.0/8,::1/128"; NULL or "": none */
    const char *user_agent;
};

MUST struct err http_client_new(struct loop *l, const struct http_client_options *o, struct http_client **out);
/* Pending calls fail with ERR_CLOSED before it returns; also from a callback. NULL is fine. May wait up to a second for a mail
 * whose relay's name is being resolved. */
void http_client_close(struct http_client *c);

struct http_spec {
    const char *method; /* "GET", "POST" */
    struct str url;
    const struct http_header *headers; /* CR, LF or NUL in one: ERR_INVALID */
    size_t headers_n;
    struct str traceparent; /* header; p NULL: none. Where the call is recorded (base/span.h) it is that of its own span */
    struct str body;
    int64_t deadline_ms;
    size_t max_answer_bytes; /* the rest is not read */
    bool vetted;             /* apply the SSRF rules */
};

struct http_reply {
    int status;
    struct str body;        /* at most max_answer_bytes */
    struct str retry_after; /* header value; p is NULL when absent */
};

/* err: ERR_NET_NOT_SENT (name, refused, TLS, deadline before the first byte left), ERR_NET_UNKNOWN (it may have arrived),
 * ERR_NET_ADDRESS, ERR_INVALID (url, headers), ERR_BUSY, ERR_CANCELLED, ERR_CLOSED, ERR_NOMEM. reply is NULL exactly when err is set.
 * The callback runs exactly once, never before http_send returns. */
typedef void http_cb(void *arg, struct err err, const struct http_reply *reply);

/* Everything in spec is copied. The handle is valid until the callback; for http_cancel. NULL only when memory is so short
 * that not even the refusal can be kept: then the callback never runs. */
struct http_call *http_send(struct http_client *c, const struct http_spec *spec, http_cb *cb, void *arg);
void http_cancel(struct http_call *call); /* the callback runs with ERR_CANCELLED, from the loop */

/* One mail, over a connection of its own, in one of four threads (libcurl's SMTP blocks). From, to, subject and message_id are
 * refused with ERR_INVALID when they carry CR, LF or NUL; from and to are bare addresses, local@domain in ASCII. The subject
 * is encoded (RFC 2047) when it is not ASCII. The server's last answer decides: 4yz → ERR_TRANSIENT, 5yz → ERR_REFUSED,
 * connection failed before DATA was answered → ERR_NET_NOT_SENT (INFRA is the caller's to judge), lost after → ERR_NET_UNKNOWN. */
struct mail_spec {
    const char *url;                          /* smtp://host:port */
    struct str from, to, subject, message_id; /* message_id without <> */
    struct str text;                          /* UTF-8 */
    int64_t deadline_ms;
};
typedef void mail_cb(void *arg, struct err err);
struct http_call *mail_send(struct http_client *c, const struct mail_spec *spec, mail_cb *cb, void *arg);

/* What a call that was made on behalf of owner (loop_owner) waits for, in words; NULL: there is none. */
const char *http_client_waits(const struct http_client *c, uint32_t owner);

/* What the SSRF rules say of a url before its name is resolved: ERR_NET_ADDRESS where a vetted call will not go (ERR_INVALID: it is none),
 * with what is wrong; localhost and addresses, however they are written, are judged as addresses. ERR_NOMEM. */
MUST struct err http_url_vet(struct str url, const char *allow_cidr);

/* True when the SSRF rules allow a connection to this socket address (struct sockaddr_in or _in6). */
struct sockaddr;
bool http_address_allowed(const struct sockaddr *address, const char *allow_cidr);

#endif
