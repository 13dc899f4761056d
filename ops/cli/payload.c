#include "payload.h"

#include <base/json.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int read_file(const struct options *o, FILE *f, const char *name, struct buf *out) {
    size_t got = 1;
    while (got > 0 && out->n <= LIMIT_HTTP_BODY_BYTES) {
        char *to = buf_reserve(out, 4096);
        got = to != NULL ? fread(to, 1, 4096, f) : 0;
        buf_commit(out, got);
    }
    if (ferror(f) != 0) {
        return cli_fail(o, EXIT_NO_INPUT, "%.200s cannot be read: %s", name, strerror(errno));
    }
    return EXIT_SUCCESS;
}

static int read_data(const struct options *o, enum option_id which, struct buf *out) {
    const char *data = o->value[which] != NULL ? o->value[which] : "{}";
    if (strcmp(data, "-") == 0) {
        return read_file(o, stdin, "standard input", out);
    }
    if (data[0] != '@') {
        buf_add_c(out, data);
        return EXIT_SUCCESS;
    }
    FILE *f = fopen(data + 1, "re");
    if (f == NULL) {
        return cli_fail(o, EXIT_NO_INPUT, "%.200s cannot be read: %s", data + 1, strerror(errno));
    }
    int code = read_file(o, f, data + 1, out);
    (void)fclose(f);
    return code;
}

/* The text goes into the request as it was given; read here only so that it is one JSON value. */
static int check_data(const struct options *o, const struct buf *data) {
    json_t *v = NULL;
    struct err e = buf_status(data);
    if (e.code == ERR_TOO_LARGE || data->n > LIMIT_HTTP_BODY_BYTES) {
        return cli_fail(o, EXIT_BAD_INPUT, "the payload is larger than %d bytes", LIMIT_PAYLOAD_BYTES);
    }
    if (!err_is_set(e)) {
        e = json_read(buf_str(data), &v);
    }
    json_decref(v);
    return err_is_set(e) ? cli_fail(o, e.code == ERR_NOMEM ? EXIT_INTERNAL : EXIT_BAD_INPUT, "the payload: %s", e.detail)
                         : EXIT_SUCCESS;
}

int payload_read(const struct options *o, enum option_id which, struct buf *out) {
    int code = read_data(o, which, out);
    return code == EXIT_SUCCESS ? check_data(o, out) : code;
}
