#include <queues/stream_id.h>

struct str stream_id_text(struct stream_id id, char room[STREAM_ID_BYTES]) {
    char *end = room + STREAM_ID_BYTES - 1;
    *end = '\0';
    char *p = str_put_u64(end, id.seq);
    *--p = '-';
    p = str_put_u64(p, id.ms);
    return str_of(p, (size_t)(end - p));
}

bool stream_id_parse(struct str s, struct stream_id *out) {
    struct str ms;
    struct stream_id id;
    if (!str_cut(&s, '-', &ms) || !str_to_u64(ms, &id.ms) || !str_to_u64(s, &id.seq)) {
        return false;
    }
    *out = id;
    return true;
}
