/* A broker in memory: it notes what is sent and answers with what it was told, at once. Replies are written in a small
 * language: 'text' :1 _ (nil) !error [ … ]. No memory is allocated here, so that torture is the tested code's alone. */
#ifndef FAKE_BROKER_H
#define FAKE_BROKER_H

#include <base/reply.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum { FAKE_SENT_BYTES = 64 * 1024, FAKE_NODES = 4096 };

struct fake {
    struct broker broker;
    struct err err;            /* the answer, when set */
    const struct reply *reply; /* the answer otherwise */
    unsigned calls;
    size_t argc;
    int64_t deadline_ms;
    char sent[FAKE_SENT_BYTES]; /* the last call, words with a space between; bytes that cannot be printed as \xx */
};

static inline void fake_note(struct fake *f, size_t argc, const struct str *argv) {
    char *at = f->sent, *end = f->sent + sizeof f->sent - 8;
    for (size_t i = 0; i < argc; i++) {
        if (i > 0) {
            *at++ = ' ';
        }
        for (size_t k = 0; k < argv[i].n && at < end; k++) {
            unsigned char c = (unsigned char)argv[i].p[k];
            if (c > ' ' && c < 127) {
                *at++ = (char)c;
            } else {
                at += snprintf(at, 8, "\\%02x", c);
            }
        }
    }
    *at = '\0';
}

static inline void fake_call(void *self, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb, void *arg) {
    struct fake *f = self;
    f->calls++;
    f->argc = argc;
    f->deadline_ms = deadline_ms;
    fake_note(f, argc, argv);
    cb(arg, f->err, err_is_set(f->err) ? NULL : f->reply);
}

static inline void fake_init(struct fake *f) {
    f->broker = (struct broker){fake_call, f};
    f->err = OK;
    f->reply = NULL;
    f->calls = 0;
    f->sent[0] = '\0';
}

struct nodes {
    struct reply node[FAKE_NODES];
    struct reply *slot[FAKE_NODES];
    size_t n, slots;
};

static inline struct reply *node_new(struct nodes *m, int type) {
    assert_true(m->n < FAKE_NODES);
    struct reply *r = &m->node[m->n++];
    *r = (struct reply){.type = type};
    return r;
}

static inline const char *node_array(struct nodes *m, const char *p, struct reply *r);

static inline const char *node_parse(struct nodes *m, const char *p, struct reply **out) {
    char *end;
    switch (*p) {
    case '[':
        *out = node_new(m, REPLY_ARRAY);
        return node_array(m, p + 1, *out);
    case ':':
        *out = node_new(m, REPLY_INTEGER);
        (*out)->integer = strtoll(p + 1, &end, 10);
        return end;
    case '_':
        *out = node_new(m, REPLY_NIL);
        return p + 1;
    case '!':
    case '\'':
        *out = node_new(m, *p == '!' ? REPLY_ERROR : REPLY_STRING);
        end = strchr(p + 1, *p == '!' ? '\0' : '\'');
        (*out)->str = (char *)p + 1;
        (*out)->len = (size_t)(end - p - 1);
        return *p == '!' ? end : end + 1;
    default:
        fail_msg("what is this in a reply: %s", p);
        return p;
    }
}

static inline const char *node_array(struct nodes *m, const char *p, struct reply *r) {
    struct reply *found[512];
    size_t n = 0;
    for (;;) {
        while (*p == ' ') {
            p++;
        }
        if (*p == ']') {
            break;
        }
        assert_true(n < 512);
        p = node_parse(m, p, &found[n]);
        n++;
    }
    assert_true(m->slots + n <= FAKE_NODES);
    r->element = &m->slot[m->slots];
    r->elements = n;
    for (size_t i = 0; i < n; i++) {
        r->element[i] = found[i];
    }
    m->slots += n;
    return p + 1;
}

/* Valid until the next reply_of with the same nodes. */
static inline struct reply *reply_of(struct nodes *m, const char *text) {
    struct reply *r = NULL;
    m->n = m->slots = 0;
    (void)node_parse(m, text, &r);
    return r;
}

#endif
