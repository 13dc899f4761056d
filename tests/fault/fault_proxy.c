/* fault_proxy LISTEN_PORT TARGET_PORT: a TCP proxy on loopback that misbehaves on command. One command a line on standard input:
 *   pass       forwards (as at the start)
 *   swallow    forwards what clients send, drops what the server answers: the work is done, the caller never hears
 *   stall      reads nothing from either side: half-open
 *   strand     the connections of now are half-open for good; what was said before stays in force for new ones
 *   cut        resets every connection, once; what was said before stays in force
 *   refuse     resets new connections as well, until pass
 * It answers each with a line "ok". It ends with its standard input. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum mode { PASS, SWALLOW, STALL, REFUSE };

struct pair;

struct side {
    uv_tcp_t tcp;
    struct pair *pair;
    struct side *other;
    int open, reading;
};

struct pair {
    struct side client, server;
    struct pair *next, **at;
    int handles; /* not yet closed */
    int stranded;
};

struct write {
    uv_write_t req;
    char data[];
};

static uv_loop_t loop;
static struct sockaddr_in target;
static struct pair *pairs;
static enum mode mode;

static void die(const char *what, int rc) {
    (void)fprintf(stderr, "fault_proxy: %s: %s\n", what, uv_strerror(rc));
    exit(1);
}

static void on_closed(uv_handle_t *h) {
    struct side *s = h->data;
    struct pair *p = s->pair;
    if (--p->handles == 0) {
        *p->at = p->next;
        if (p->next != NULL) {
            p->next->at = p->at;
        }
        free(p);
    }
}

static void side_reset(struct side *s) {
    if (s->open) {
        s->open = 0;
        if (uv_tcp_close_reset(&s->tcp, on_closed) != 0) {
            uv_close((uv_handle_t *)&s->tcp, on_closed);
        }
    }
}

static void side_close(struct side *s) {
    if (s->open) {
        s->open = 0;
        uv_close((uv_handle_t *)&s->tcp, on_closed);
    }
}

static void pair_close(struct pair *p, void (*how)(struct side *s)) {
    how(&p->client);
    how(&p->server);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
    static char room[65536];
    (void)h;
    (void)suggested;
    *buf = uv_buf_init(room, sizeof room);
}

static void on_written(uv_write_t *req, int status) {
    struct side *s = req->data;
    free(req);
    if (status < 0) {
        pair_close(s->pair, side_close);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct side *s = stream->data;
    if (n < 0) {
        pair_close(s->pair, n == UV_ECONNRESET ? side_reset : side_close);
        return;
    }
    if (n == 0 || (mode == SWALLOW && s == &s->pair->server)) {
        return;
    }
    struct write *w = malloc(sizeof *w + (size_t)n);
    if (w == NULL) {
        die("write", UV_ENOMEM);
    }
    memcpy(w->data, buf->base, (size_t)n);
    w->req.data = s;
    uv_buf_t out = uv_buf_init(w->data, (unsigned)n);
    if (!s->other->open || uv_write(&w->req, (uv_stream_t *)&s->other->tcp, &out, 1, on_written) != 0) {
        free(w);
    }
}

static void set_reading(struct side *s, int on) {
    on = on && !s->pair->stranded;
    if (s->open && s->reading != on) {
        s->reading = on;
        (void)(on ? uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read) : uv_read_stop((uv_stream_t *)&s->tcp));
    }
}

static void on_connected(uv_connect_t *req, int status) {
    struct pair *p = req->data;
    free(req);
    if (status < 0) {
        pair_close(p, side_reset); /* the server is away: so are we */
        return;
    }
    set_reading(&p->client, mode != STALL);
    set_reading(&p->server, mode != STALL);
}

static void side_init(struct pair *p, struct side *s, struct side *other) {
    (void)uv_tcp_init(&loop, &s->tcp);
    s->tcp.data = s;
    s->pair = p;
    s->other = other;
    s->open = 1;
    p->handles++;
}

static void on_connection(uv_stream_t *listener, int status) {
    struct pair *p = status == 0 ? calloc(1, sizeof *p) : NULL;
    uv_connect_t *req = p != NULL ? malloc(sizeof *req) : NULL;
    if (req == NULL) {
        die("accept", status != 0 ? status : UV_ENOMEM);
    }
    side_init(p, &p->client, &p->server);
    side_init(p, &p->server, &p->client);
    p->next = pairs;
    p->at = &pairs;
    if (pairs != NULL) {
        pairs->at = &p->next;
    }
    pairs = p;
    (void)uv_accept(listener, (uv_stream_t *)&p->client.tcp);
    (void)uv_tcp_nodelay(&p->client.tcp, 1);
    (void)uv_tcp_nodelay(&p->server.tcp, 1);
    req->data = p;
    if (mode == REFUSE || uv_tcp_connect(req, &p->server.tcp, (const struct sockaddr *)&target, on_connected) != 0) {
        free(req);
        pair_close(p, side_reset);
    }
}

static void set_mode(enum mode m) {
    mode = m;
    for (struct pair *p = pairs; p != NULL; p = p->next) {
        set_reading(&p->client, m != STALL);
        set_reading(&p->server, m != STALL);
    }
}

static void strand(void) {
    for (struct pair *p = pairs; p != NULL; p = p->next) {
        p->stranded = 1;
        set_reading(&p->client, 0);
        set_reading(&p->server, 0);
    }
}

static void cut(void) {
    for (struct pair *p = pairs, *next; p != NULL; p = next) {
        next = p->next;
        pair_close(p, side_reset);
    }
}

static void obey(const char *line) {
    if (strcmp(line, "pass") == 0) {
        set_mode(PASS);
    } else if (strcmp(line, "swallow") == 0) {
        set_mode(SWALLOW);
    } else if (strcmp(line, "stall") == 0) {
        set_mode(STALL);
    } else if (strcmp(line, "strand") == 0) {
        strand();
    } else if (strcmp(line, "cut") == 0) {
        cut();
    } else if (strcmp(line, "refuse") == 0) {
        set_mode(REFUSE);
        cut();
    } else {
        (void)fprintf(stderr, "fault_proxy: \"%s\" is no command\n", line);
        exit(2);
    }
    (void)printf("ok\n");
    (void)fflush(stdout);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    static char line[64];
    static size_t at;
    (void)stream;
    if (n < 0) {
        exit(0);
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] == '\n') {
            line[at] = '\0';
            at = 0;
            obey(line);
        } else if (at + 1 < sizeof line) {
            line[at++] = buf->base[i];
        }
    }
}

static int port_of(const char *text) {
    char *end;
    long v = strtol(text, &end, 10);
    return *end == '\0' && v > 0 && v < 65536 ? (int)v : 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in here;
    uv_tcp_t listener;
    uv_pipe_t input;
    if (argc != 3 || port_of(argv[1]) == 0 || port_of(argv[2]) == 0) {
        (void)fprintf(stderr, "usage: fault_proxy LISTEN_PORT TARGET_PORT\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_loop_init(&loop);
    (void)uv_ip4_addr("127.0.0.1", port_of(argv[1]), &here);
    (void)uv_ip4_addr("127.0.0.1", port_of(argv[2]), &target);
    (void)uv_tcp_init(&loop, &listener);
    int rc = uv_tcp_bind(&listener, (const struct sockaddr *)&here, 0);
    rc = rc == 0 ? uv_listen((uv_stream_t *)&listener, 128, on_connection) : rc;
    if (rc != 0) {
        die("listen", rc);
    }
    (void)uv_pipe_init(&loop, &input, 0);
    rc = uv_pipe_open(&input, 0);
    rc = rc == 0 ? uv_read_start((uv_stream_t *)&input, on_alloc, on_input) : rc;
    if (rc != 0) {
        die("standard input", rc);
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    return uv_run(&loop, UV_RUN_DEFAULT);
}
