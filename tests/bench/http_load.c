/* http_load: requests of one kind at 127.0.0.1:--port, over --connections kept alive, each with an Idempotency-Key of its own, but for NDJSON,
 * whose lines would have them.
 *   closed  --requests in all, the next one of a connection when it has its answer; one line of JSON
 *   paced   --rate a second, whether those before are answered or not; a line "<us when it was to be sent> <us of its answer> <id>" each
 *   open    the same with answers of any status, and a line "<us when it was to be sent> <us of its answer> <status> <Retry-After, or 0>" each
 * --path, --type (the body's), --body, --token (of an API key); every answer must have the status --status. The id is the first "id" of the
 * answer, or "-". */
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ID_BYTES = 36, ANSWER_BYTES = 256 << 10, HEAD_BYTES = 512, CONNECTIONS_MAX = 256 };

struct request {
    int64_t due_us, answered_us;
    long status, retry_after;
    char id[ID_BYTES + 1];
};

struct connection {
    struct request *request; /* NULL: idle */
    char *in;
    size_t n;
};

static struct {
    const char *path, *type, *body;
    const char *authorization; /* the header, or "" */
    bool open;
    long port, connections, requests, rate, status, begun, done;
    int64_t start_us, key_prefix;
    struct request *all;
    struct connection connection[CONNECTIONS_MAX];
    struct pollfd polled[CONNECTIONS_MAX];
} load;

static int dial(void) {
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)load.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        die_errno("connect");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void write_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0) {
            die_errno("write");
        }
        p += done;
        n -= (size_t)done;
    }
}

static void send_request(long c, struct request *r) {
    static char *text;
    size_t body_n = strlen(load.body);
    if (text == NULL) {
        text = must_alloc(HEAD_BYTES + body_n, 1);
    }
    char key[64] = "";
    if (strcmp(load.type, "application/x-ndjson") != 0) {
        (void)snprintf(key, sizeof key, "Idempotency-Key: bench-%lld-%ld-%ld\r\n", (long long)load.key_prefix, (long)getpid(),
                       (long)(r - load.all));
    }
    int head =
        snprintf(text, HEAD_BYTES, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%s%sContent-Length: %zu\r\n\r\n",
                 load.path, load.type, load.authorization, key, body_n);
    if (head < 0 || head >= HEAD_BYTES) {
        die("http_load", "the path or the type is too long");
    }
    memcpy(text + head, load.body, body_n);
    load.connection[c].request = r;
    load.connection[c].n = 0;
    write_all(load.polled[c].fd, text, (size_t)head + body_n);
}

/* The number in a header of the answer, "\r\nName: "; 0 without it. */
static long header_number(const struct connection *c, const char *end, const char *name) {
    const char *found = memmem(c->in, (size_t)(end - c->in), name, strlen(name));
    return found != NULL ? strtol(found + strlen(name), NULL, 10) : 0;
}

/* Is the answer whole? */
static bool is_whole(const struct connection *c, const char **out_body, size_t *out_n) {
    const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
    if (end == NULL) {
        return false;
    }
    *out_body = end + 4;
    *out_n = (size_t)header_number(c, end, "\r\nContent-Length: ");
    return (size_t)(*out_body - c->in) + *out_n <= c->n;
}

static void take_id(const char *body, size_t n, struct request *r) {
    const char *found = memmem(body, n, "\"id\":\"", 6);
    (void)snprintf(r->id, sizeof r->id, "%.*s", found != NULL ? ID_BYTES : 1, found != NULL ? found + 6 : "-");
}

static void take_status(const struct connection *c, const char *body) {
    c->request->status = c->n > 12 ? strtol(c->in + 9, NULL, 10) : 0;
    c->request->retry_after = header_number(c, body, "\r\nRetry-After: ");
    if (!load.open && c->request->status != load.status) {
        die("http_load: an answer of another status", c->in);
    }
}

static void receive(long i) {
    struct connection *c = &load.connection[i];
    const char *body;
    size_t body_n;
    ssize_t n = recv(load.polled[i].fd, c->in + c->n, ANSWER_BYTES - 1 - c->n, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        die("http_load", "a connection ended, or an answer is too long");
    }
    c->n += (size_t)n;
    c->in[c->n] = '\0';
    if (c->request == NULL || !is_whole(c, &body, &body_n)) {
        return;
    }
    take_status(c, body);
    c->request->answered_us = tool_wall_us();
    take_id(body, body_n, c->request);
    c->request = NULL;
    load.done++;
}

static int64_t due_us(long request) { return load.rate > 0 ? load.start_us + request * 1000000 / load.rate : load.start_us; }

/* Gives idle connections what is due. */
static void send_due(void) {
    for (long c = 0; c < load.connections && load.begun < load.requests; c++) {
        if (load.connection[c].request != NULL) {
            continue;
        }
        if (due_us(load.begun) > tool_wall_us()) {
            return;
        }
        struct request *r = &load.all[load.begun];
        r->due_us = due_us(load.begun++);
        send_request(c, r);
    }
}

static void run(void) {
    load.start_us = tool_wall_us() + (load.rate > 0 ? 100000 : 0);
    while (load.done < load.requests) {
        send_due();
        int64_t wait = load.begun < load.requests && load.begun - load.done < load.connections
                           ? due_us(load.begun) - tool_wall_us()
                           : 1000000;
        wait = wait > 0 ? wait : 0;
        const struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        if (ppoll(load.polled, (nfds_t)load.connections, &timeout, NULL) < 0) {
            die_errno("poll");
        }
        for (long c = 0; c < load.connections; c++) {
            if (load.polled[c].revents != 0) {
                receive(c);
            }
        }
    }
}

static void say(double began, double cpu) {
    if (load.rate == 0) {
        (void)printf("{\"requests\":%ld,\"wall\":%.6f,\"cpu\":%.6f}\n", load.requests, tool_seconds() - began,
                     tool_cpu_seconds() - cpu);
        return;
    }
    for (const struct request *r = load.all; r < load.all + load.requests; r++) {
        (void)printf("%lld %lld ", (long long)r->due_us, (long long)r->answered_us);
        if (load.open) {
            (void)printf("%ld %ld\n", r->status, r->retry_after);
        } else {
            (void)printf("%s\n", r->id);
        }
    }
}

static const char *text_option(int argc, char **argv, const char *name, const char *fallback) {
    const char *given = option(argc, argv, name);
    return given != NULL ? given : fallback;
}

static void authorize(const char *token) {
    char *header = must_alloc(HEAD_BYTES, 1);
    if (token != NULL) {
        (void)snprintf(header, HEAD_BYTES, "Authorization: Bearer %s\r\n", token);
    }
    load.authorization = header;
}

int main(int argc, char **argv) {
    load.open = argc > 1 && strcmp(argv[1], "open") == 0;
    bool paced = load.open || (argc > 1 && strcmp(argv[1], "paced") == 0);
    load.path = text_option(argc, argv, "--path", "/v1/jobs");
    load.type = text_option(argc, argv, "--type", "application/json");
    load.body = text_option(argc, argv, "--body", "{}");
    load.port = option_long(argc, argv, "--port", 8080);
    load.connections = option_long(argc, argv, "--connections", 16);
    load.requests = option_long(argc, argv, "--requests", 1000);
    load.rate = paced ? option_long(argc, argv, "--rate", 100) : 0;
    load.status = option_long(argc, argv, "--status", 202);
    if ((!paced && (argc < 2 || strcmp(argv[1], "closed") != 0)) || load.connections < 1 || load.connections > CONNECTIONS_MAX ||
        load.requests < 1 || (paced && load.rate < 1)) {
        die("http_load", "closed, paced or open; --connections, --requests and --rate in range");
    }
    authorize(option(argc, argv, "--token"));
    load.key_prefix = tool_wall_us();
    load.all = must_alloc((size_t)load.requests, sizeof *load.all);
    for (long c = 0; c < load.connections; c++) {
        load.connection[c].in = must_alloc(ANSWER_BYTES, 1);
        load.polled[c] = (struct pollfd){.fd = dial(), .events = POLLIN};
    }
    double began = tool_seconds(), cpu = tool_cpu_seconds();
    run();
    say(began, cpu);
    return 0;
}
