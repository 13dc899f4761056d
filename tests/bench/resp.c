#include "resp.h"

#include "tool.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_BYTES = 4 << 20, IN_BYTES = 1 << 20, READ_BYTES = 64 << 10 };

struct resp {
    int fd;
    char *out, *in;
    size_t out_n, out_cap;
    size_t at, in_n, in_cap; /* in: what is read, from `at` on not yet taken */
};

static void put(struct resp *r, const void *p, size_t n) {
    while (r->out_n + n > r->out_cap) {
        r->out_cap *= 2;
        r->out = realloc(r->out, r->out_cap);
        if (r->out == NULL) {
            die("memory", "none left");
        }
    }
    memcpy(r->out + r->out_n, p, n);
    r->out_n += n;
}

static void put_count(struct resp *r, char kind, size_t n) {
    char text[24];
    int len = snprintf(text, sizeof text, "%c%zu\r\n", kind, n);
    put(r, text, (size_t)len);
}

void resp_begin(struct resp *r, size_t argc) { put_count(r, '*', argc); }

void resp_bytes(struct resp *r, const void *p, size_t n) {
    put_count(r, '$', n);
    put(r, p, n);
    put(r, "\r\n", 2);
}

void resp_text(struct resp *r, const char *text) { resp_bytes(r, text, strlen(text)); }

void resp_number(struct resp *r, long v) {
    char text[24];
    int n = snprintf(text, sizeof text, "%ld", v);
    resp_bytes(r, text, (size_t)n);
}

void resp_flush(struct resp *r) {
    size_t done = 0;
    while (done < r->out_n) {
        ssize_t n = write(r->fd, r->out + done, r->out_n - done);
        if (n < 0) {
            die_errno("redis: write");
        }
        done += (size_t)n;
    }
    r->out_n = 0;
}

static void fill(struct resp *r) {
    if (r->at == r->in_n) {
        r->at = r->in_n = 0;
    } else if (r->in_cap - r->in_n < READ_BYTES) {
        memmove(r->in, r->in + r->at, r->in_n - r->at);
        r->in_n -= r->at;
        r->at = 0;
        if (r->in_cap - r->in_n < READ_BYTES) {
            r->in_cap *= 2;
            r->in = realloc(r->in, r->in_cap);
        }
    }
    if (r->in == NULL) {
        die("memory", "none left");
    }
    ssize_t n = read(r->fd, r->in + r->in_n, r->in_cap - r->in_n);
    if (n <= 0) {
        die("redis", "the connection ended");
    }
    r->in_n += (size_t)n;
}

/* One line without its end; borrowed until the next read. */
static char *line(struct resp *r) {
    size_t looked = 0;
    for (;;) {
        char *from = r->in + r->at, *end = memchr(from + looked, '\n', r->in_n - r->at - looked);
        if (end != NULL) {
            end[-1] = '\0';
            r->at += (size_t)(end - from) + 1;
            return from;
        }
        looked = r->in_n - r->at;
        fill(r);
    }
}

static const char *take(struct resp *r, size_t n) {
    while (r->in_n - r->at < n + 2) {
        fill(r);
    }
    r->at += n + 2;
    return r->in + r->at - n - 2;
}

static const char *head(struct resp *r) {
    const char *l = line(r);
    if (*l == '-') {
        die("redis", l + 1);
    }
    return l;
}

static long number(const char *l) { return strtol(l + 1, NULL, 10); }

long resp_skip(struct resp *r) {
    const char *l = head(r);
    char kind = *l;
    long v = number(l);
    if (kind == '$' && v >= 0) {
        (void)take(r, (size_t)v);
    }
    for (long i = 0; kind == '*' && i < v; i++) {
        (void)resp_skip(r);
    }
    return kind == ':' ? v : 0;
}

long resp_array(struct resp *r) { return number(head(r)); }

const char *resp_string(struct resp *r, size_t *out_n) {
    long n = number(head(r));
    if (n < 0) {
        return NULL;
    }
    *out_n = (size_t)n;
    return take(r, (size_t)n);
}

void resp_do(struct resp *r, size_t argc, const char *const *argv) {
    resp_begin(r, argc);
    for (size_t i = 0; i < argc; i++) {
        resp_text(r, argv[i]);
    }
    resp_flush(r);
    (void)resp_skip(r);
}

double resp_info(struct resp *r, const char *section, const char *field) {
    size_t n;
    resp_begin(r, 2);
    resp_text(r, "INFO");
    resp_text(r, section);
    resp_flush(r);
    const char *text = resp_string(r, &n), *found = text != NULL ? memmem(text, n, field, strlen(field)) : NULL;
    if (found == NULL) {
        die("redis: INFO has no", field);
    }
    return strtod(found + strlen(field) + 1, NULL);
}

double resp_cpu_seconds(struct resp *r) { return resp_info(r, "cpu", "used_cpu_user") + resp_info(r, "cpu", "used_cpu_sys"); }

struct resp *resp_dial(int argc, char **argv) {
    struct resp *r = must_alloc(1, sizeof *r);
    *r = (struct resp){.out = must_alloc(1, OUT_BYTES), .out_cap = OUT_BYTES, .in = must_alloc(1, IN_BYTES), .in_cap = IN_BYTES};
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)option_long(argc, argv, "--port", 6379)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (r->fd < 0 || connect(r->fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        die_errno("redis: connect");
    }
    (void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const char *user = option(argc, argv, "--user"), *password = option(argc, argv, "--password");
    if (user != NULL && password != NULL) {
        resp_do(r, 3, (const char *const[]){"AUTH", user, password});
    }
    return r;
}
