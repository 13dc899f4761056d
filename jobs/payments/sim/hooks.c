/* The sink for webhooks: one line per received one in FILE.hooks, written before the answer. */
#include <base/crypto.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "sim.h"

enum { PATH_BYTES = 4096, LINE_BYTES = 64 * 1024 };

struct err hooks_open(struct sim *s, const char *book_path) {
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s.hooks", book_path);
    if (n < 0 || (size_t)n >= sizeof path) {
        return err_make(ERR_INVALID, "the path of the book is too long");
    }
    s->hooks_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return s->hooks_fd >= 0 ? OK : err_errno(errno, path);
}

static void add_header(struct buf *line, const struct http_request *req, const char *key, const char *name) {
    buf_addf(line, ",\"%s\":", key);
    json_add_string(line, http_request_header(req, name));
}

static struct err note(struct sim *s, const struct http_request *req, int status) {
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    struct buf line;
    TRY(sha256(req->body, digest));
    hex_encode(digest, sizeof digest, hex);
    buf_init(&line, LINE_BYTES);
    buf_addf(&line, "{\"at_ms\":%lld,\"path\":", (long long)loop_wall(s->loop).ms);
    json_add_string(&line, req->path);
    add_header(&line, req, "webhook_id", "webhook-id");
    add_header(&line, req, "webhook_timestamp", "webhook-timestamp");
    add_header(&line, req, "webhook_signature", "webhook-signature");
    buf_addf(&line, ",\"body_sha256\":\"%s\",\"status\":%d}\n", hex, status);
    struct err e = buf_status(&line);
    if (!err_is_set(e) && write(s->hooks_fd, line.p, line.n) != (ssize_t)line.n) {
        e = err_errno(errno, "write");
    }
    buf_free(&line);
    return e;
}

void hooks_receive(struct sim *s, struct http_request *req) {
    struct hook_script now = {.status = 200};
    char seconds[24];
    if (s->hook_script.left > 0) {
        s->hook_script.left--;
        now = s->hook_script;
    }
    s->count[COUNT_HOOKS]++;
    struct err e = note(s, req, now.drop_after ? 0 : now.status);
    if (err_is_set(e)) {
        sim_die("the hooks file", e);
    }
    if (now.drop_after) {
        http_drop(req);
        return;
    }
    (void)snprintf(seconds, sizeof seconds, "%lld", (long long)now.retry_after_s);
    struct http_header retry_after = {STR("Retry-After"), str_c(seconds)};
    http_respond(req, &(struct http_answer){.status = now.status, .headers = &retry_after, .headers_n = now.retry_after_s > 0});
}

/* {"status":503,"retry_after":1,"count":N,"action":"drop_after"}: how the next N webhooks are answered. */
void hooks_script(struct sim *s, struct http_request *req) {
    json_t *o = NULL;
    struct err e = json_read(req->body, &o);
    int64_t status = json_opt_i64(o, "status", 200);
    if (err_is_set(e) || status < 200 || status > 599) {
        sim_answer(req, 400, "{\"outcome\":\"invalid\"}");
    } else {
        s->hook_script = (struct hook_script){.status = (int)status,
                                              .retry_after_s = json_opt_i64(o, "retry_after", 0),
                                              .left = json_opt_i64(o, "count", 0),
                                              .drop_after = str_is(json_opt_str(o, "action", STR_NONE), "drop_after")};
        sim_answer(req, 200, "{}");
    }
    json_decref(o);
}
