/* For the judge: what the keys hold, without a command. */
#include "mini_data.h"

struct str mini_field(struct mini *m, struct str key, struct str field) {
    const struct field *f = field_find(key_lookup(m, key), field);
    return f != NULL ? f->value : STR("");
}

struct str mini_string(struct mini *m, struct str key) {
    const struct key *k = key_lookup(m, key);
    return k != NULL ? k->string : STR("");
}

size_t mini_size(struct mini *m, struct str key) {
    const struct key *k = key_lookup(m, key);
    if (k == NULL) {
        return 0;
    }
    return k->type == VALUE_STREAM ? k->stream.n : HASH_COUNT(k->fields);
}

bool mini_has_entry(struct mini *m, struct str stream, struct stream_id id) {
    struct key *k = key_lookup(m, stream);
    const struct entry *e = k != NULL ? entry_find(&k->stream, id) : NULL;
    return e != NULL && e < k->stream.entries + k->stream.n && stream_id_eq(e->id, id);
}

size_t mini_pending(struct mini *m, struct str stream) {
    const struct key *k = key_lookup(m, stream);
    return k != NULL ? k->stream.pending_n : 0;
}

int64_t mini_field_int(struct mini *m, struct str key, struct str field) {
    const struct field *f = field_find(key_lookup(m, key), field);
    int64_t v = 0;
    if (f != NULL) {
        (void)str_to_i64(f->value, &v);
    }
    return v;
}

void mini_each_field(struct mini *m, struct str key, mini_field_cb *cb, void *arg) {
    struct key *k = key_lookup(m, key);
    if (k != NULL) {
        for (const struct field *f = k->fields; f != NULL; f = f->hh.next) {
            cb(arg, f->name, f->value);
        }
    }
}

void mini_each_entry(struct mini *m, struct str stream, mini_entry_cb *cb, void *arg) {
    struct key *k = key_lookup(m, stream);
    for (size_t i = 0; k != NULL && i < k->stream.n; i++) {
        uint32_t n;
        const char *p = k->stream.entries[i].fields.p; /* "h", then the header */
        memcpy(&n, p + 5, sizeof n);
        cb(arg, k->stream.entries[i].id, str_of(p + 9, n));
    }
}
