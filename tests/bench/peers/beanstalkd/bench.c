/* beanstalkd by one connection. enqueue: as many puts in flight as others have jobs in a call; consume: as many reserves in flight as the
 * probe has entries in a read, and a delete for each job; work: one reserve at a time. */
#include "tool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAYLOAD_BYTES = 256, JOB_BYTES = 36, ID_BYTES = 20, PUTS = 50, RESERVES = 64, IN_BYTES = 1 << 18, OUT_BYTES = 1 << 17 };

static int server;
static char in[IN_BYTES], out[OUT_BYTES];
static size_t in_at, in_n, out_n;
static long jobs;

static void dial(long port) {
    const struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1;
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (const struct sockaddr *)&where, sizeof where) != 0 ||
        setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0) {
        die_errno("beanstalkd");
    }
}

static void put_bytes(const char *p, size_t n) {
    if (n > OUT_BYTES - out_n) {
        die("beanstalkd", "more than fits in one write");
    }
    memcpy(out + out_n, p, n);
    out_n += n;
}

static void put_text(const char *text) { put_bytes(text, strlen(text)); }

static void flush(void) {
    for (size_t done = 0; done < out_n;) {
        ssize_t n = write(server, out + done, out_n - done);
        if (n < 0) {
            die_errno("beanstalkd");
        }
        done += (size_t)n;
    }
    out_n = 0;
}

/* Until so many bytes are there behind in_at. Before it waits, what was put is sent. */
static const char *need(size_t n) {
    while (in_n - in_at < n) {
        memmove(in, in + in_at, in_n - in_at);
        in_n -= in_at;
        in_at = 0;
        flush();
        ssize_t got = read(server, in + in_n, sizeof in - in_n);
        if (got <= 0) {
            die("beanstalkd", "it has gone");
        }
        in_n += (size_t)got;
    }
    return in + in_at;
}

/* The next line, which ends with \r\n; it stays where it is until the next read. */
static const char *take_line(size_t *out_bytes) {
    size_t n = 2;
    while (memcmp(need(n) + n - 2, "\r\n", 2) != 0) {
        n++;
    }
    const char *line = in + in_at;
    in_at += n;
    *out_bytes = n;
    return line;
}

/* {"job":"<36 digits>","pad":"…"}, to be run again when it is not deleted within two minutes */
static void put_job(long number) {
    char payload[PAYLOAD_BYTES + 3], head[64];
    int n = snprintf(payload, sizeof payload, "{\"job\":\"%0*ld\",\"pad\":\"", JOB_BYTES, number);
    memset(payload + n, 'x', PAYLOAD_BYTES - (size_t)n);
    memcpy(payload + PAYLOAD_BYTES - 2, "\"}\r\n", 4);
    (void)snprintf(head, sizeof head, "put 0 0 120 %d\r\n", PAYLOAD_BYTES);
    put_text(head);
    put_bytes(payload, PAYLOAD_BYTES + 2);
}

static void await_puts(long n) {
    for (; n > 0; n--) {
        size_t bytes;
        if (strncmp(take_line(&bytes), "INSERTED", strlen("INSERTED")) != 0) {
            die("beanstalkd", "a job was not inserted");
        }
    }
}

static void enqueue(void) {
    for (long done = 0; done < jobs;) {
        long n = jobs - done < PUTS ? jobs - done : PUTS;
        for (long i = 0; i < n; i++) {
            put_job(done + i);
        }
        await_puts(n);
        done += n;
    }
}

static void say_begun(const char *payload) {
    char line[JOB_BYTES + 16];
    int n = snprintf(line, sizeof line, "{\"job\":\"%.*s\"}\n", JOB_BYTES, payload + strlen("{\"job\":\""));
    if (write(STDERR_FILENO, line, (size_t)n) != n) {
        die_errno("standard error");
    }
}

/* RESERVED <id> <bytes>, and the payload behind it: the job is run, and to be deleted. */
static void run(const char *line, size_t n, int say) {
    const char *id = line + strlen("RESERVED "), *space = memchr(id, ' ', n - strlen("RESERVED "));
    char remove[ID_BYTES + 16];
    if (space == NULL || space - id > ID_BYTES) {
        die("beanstalkd", "a job without an id");
    }
    (void)snprintf(remove, sizeof remove, "delete %.*s\r\n", (int)(space - id), id);
    const char *payload = need(PAYLOAD_BYTES + 2);
    if (say) {
        say_begun(payload);
    }
    in_at += PAYLOAD_BYTES + 2;
    put_text(remove);
}

static void consume(long reserves, int say) {
    long asked = 0;
    for (; asked < jobs && asked < reserves; asked++) {
        put_text("reserve\r\n");
    }
    for (long deleted = 0; deleted < jobs;) {
        size_t n;
        const char *line = take_line(&n);
        if (strncmp(line, "DELETED", strlen("DELETED")) == 0) {
            deleted++;
            continue;
        }
        if (strncmp(line, "RESERVED ", strlen("RESERVED ")) != 0) {
            die("beanstalkd", "neither RESERVED nor DELETED");
        }
        run(line, n, say);
        if (asked < jobs) {
            put_text("reserve\r\n");
            asked++;
        }
    }
}

/* Each job at its time: nothing waits for an answer before the end, and all of them fit into the socket's buffer. */
static void produce(long rate) {
    int64_t start = tool_wall_us() + 100000;
    for (long i = 0; i < jobs; i++) {
        tool_sleep_until(start + i * 1000000 / rate);
        put_job(i);
        flush();
    }
    await_puts(jobs);
    for (long i = 0; i < jobs; i++) {
        (void)printf("%lld %0*ld\n", (long long)(start + i * 1000000 / rate), JOB_BYTES, i);
    }
}

/* Says that all is ready, waits for a line, and says when the work is done; the end of the input is its end. */
static void say_ready(void) {
    (void)puts("ready");
    (void)fflush(stdout);
    if (getchar() == EOF) {
        exit(0);
    }
}

static void say_done(void) {
    (void)puts("done");
    (void)fflush(stdout);
    while (getchar() != EOF) {
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    long rate = option_long(argc, argv, "--rate", 1000);
    jobs = option_long(argc, argv, "--jobs", 1000);
    if (jobs < 1 || rate < 1) {
        die("beanstalkd_peer", "--jobs or --rate out of range");
    }
    dial(option_long(argc, argv, "--port", 11300));
    if (strcmp(mode, "produce") == 0) {
        produce(rate);
        return 0;
    }
    say_ready();
    if (strcmp(mode, "enqueue") == 0) {
        enqueue();
    } else if (strcmp(mode, "consume") == 0) {
        consume(RESERVES, 0);
    } else if (strcmp(mode, "work") == 0) {
        consume(1, 1);
    } else {
        die("beanstalkd_peer", "enqueue, consume, work or produce");
    }
    say_done();
    return 0;
}
