/* Spans and log records; metrics are in metrics_otlp.c. */
#include "otlp_private.h"

#include <base/crypto.h>
#include <base/json.h>
#include <math.h>

enum { ID_HEX_MAX = 33 };

void otlp_add_u64(struct buf *out, uint64_t v) {
    char room[U64_DIGITS];
    char *digits = str_put_u64(room + sizeof room, v);
    buf_add_char(out, '"');
    buf_add(out, str_of(digits, (size_t)(room + sizeof room - digits)));
    buf_add_char(out, '"');
}

void otlp_add_times(struct buf *out, const char *keys[2], struct mono from, struct mono to) {
    uint64_t us = (uint64_t)clock_unix_us(from);
    buf_addf(out, ",\"%s\":", keys[0]);
    otlp_add_u64(out, us * 1000);
    buf_addf(out, ",\"%s\":", keys[1]);
    otlp_add_u64(out, (us + (uint64_t)(to.us - from.us)) * 1000);
}

void otlp_add_hex(struct buf *out, const char *key, const uint8_t *id, size_t n) {
    char hex[ID_HEX_MAX];
    hex_encode(id, n, hex);
    buf_addf(out, "\"%s\":\"%s\"", key, hex);
}

static void begin_attr(struct buf *out, bool *first, const char *key) {
    buf_add(out, *first ? STR("{\"key\":\"") : STR(",{\"key\":\""));
    buf_add_c(out, key);
    *first = false;
}

void otlp_add_attr(struct buf *out, bool *first, const char *key, struct str v) {
    begin_attr(out, first, key);
    buf_add_c(out, "\",\"value\":{\"stringValue\":");
    json_add_string(out, v);
    buf_add_c(out, "}}");
}

void otlp_add_attr_int(struct buf *out, bool *first, const char *key, int64_t v) {
    char room[I64_TEXT_BYTES];
    begin_attr(out, first, key);
    buf_add_c(out, "\",\"value\":{\"intValue\":\"");
    buf_add(out, str_from_i64(v, room));
    buf_add_c(out, "\"}}");
}

void otlp_begin(struct buf *out, enum otlp_signal signal, const struct otlp_resource *r) {
    static const char *const names[OTLP_SIGNALS][3] = {{"resourceSpans", "scopeSpans", "spans"},
                                                       {"resourceMetrics", "scopeMetrics", "metrics"},
                                                       {"resourceLogs", "scopeLogs", "logRecords"}};
    bool first = true;
    buf_addf(out, "{\"%s\":[{\"resource\":{\"attributes\":[", names[signal][0]);
    otlp_add_attr(out, &first, "service.name", STR("penstock"));
    otlp_add_attr(out, &first, "service.version", STR(PENSTOCK_VERSION));
    otlp_add_attr(out, &first, "service.instance.id", r->process);
    otlp_add_attr(out, &first, "host.name", r->host);
    otlp_add_attr_int(out, &first, "process.pid", r->pid);
    otlp_add_attr(out, &first, "penstock.role", r->role);
    buf_addf(out, "]},\"%s\":[{\"scope\":{\"name\":\"penstock\",\"version\":\"%s\"},\"%s\":[", names[signal][1], PENSTOCK_VERSION,
             names[signal][2]);
}

/* ---- spans ---- */

static void add_links(struct buf *out, const struct span *s) {
    if (s->links_n == 0) {
        return;
    }
    buf_add_c(out, ",\"links\":[");
    for (size_t i = 0; i < s->links_n; i++) {
        buf_add_c(out, i > 0 ? ",{" : "{");
        otlp_add_hex(out, "traceId", s->links[i].trace_id, sizeof s->links[i].trace_id);
        buf_add_char(out, ',');
        otlp_add_hex(out, "spanId", s->links[i].span_id, sizeof s->links[i].span_id);
        buf_addf(out, ",\"flags\":%u}", s->links[i].flags);
    }
    buf_add_char(out, ']');
}

static void add_span_attrs(struct buf *out, const struct span *s) {
    bool first = true;
    buf_add_c(out, ",\"attributes\":[");
    for (size_t i = 0; i < s->attrs_n; i++) {
        const struct span_attr *a = &s->attrs[i];
        if (a->is_int) {
            otlp_add_attr_int(out, &first, a->key, a->i);
        } else if (a->s.p != NULL) {
            otlp_add_attr(out, &first, a->key, a->s);
        }
    }
    if (s->error != NULL) {
        otlp_add_attr(out, &first, "error.type", str_c(s->error));
    }
    buf_add_char(out, ']');
}

void otlp_add_span(struct buf *out, const struct span *s) {
    static const uint8_t none[sizeof s->parent];
    buf_add_char(out, '{');
    otlp_add_hex(out, "traceId", s->trace.trace_id, sizeof s->trace.trace_id);
    buf_add_char(out, ',');
    otlp_add_hex(out, "spanId", s->trace.span_id, sizeof s->trace.span_id);
    if (memcmp(s->parent, none, sizeof none) != 0) {
        buf_add_char(out, ',');
        otlp_add_hex(out, "parentSpanId", s->parent, sizeof s->parent);
    }
    buf_addf(out, ",\"flags\":%u,\"kind\":%d,\"name\":", s->trace.flags, (int)s->kind);
    json_add_string(out, s->name);
    otlp_add_times(out, (const char *[]){"startTimeUnixNano", "endTimeUnixNano"}, s->began, s->ended);
    add_span_attrs(out, s);
    add_links(out, s);
    if (s->error != NULL) {
        buf_add_c(out, ",\"status\":{\"code\":2,\"message\":");
        json_add_string(out, s->message);
        buf_add_char(out, '}');
    }
    buf_add_char(out, '}');
}

/* ---- log records ---- */

static void add_double_attr(struct buf *out, bool *first, const char *key, double d) {
    begin_attr(out, first, key);
    buf_addf(out, isfinite(d) ? "\",\"value\":{\"doubleValue\":%.9g}}" : "\",\"value\":{\"doubleValue\":\"%g\"}}", d);
}

/* The fields of lines as the conventions, and the spans, name them: on standard error they are read by people, and short. */
static const char *name_of(const char *key) {
    static const char *const names[][2] = {
        {"job", "messaging.message.id"},
        {"root", "messaging.message.conversation_id"},
        {"queue", "messaging.destination.name"},
        {"method", "http.request.method"},
        {"path", "url.path"},
        {"route", "http.route"},
        {"status", "http.response.status_code"},
        {"bytes", "http.response.body.size"},
        {"error", "error.type"},
        {"tenant", "penstock.tenant"},
        {"type", "penstock.job.type"},
        {"attempt", "penstock.attempt"},
        {"outcome", "penstock.outcome"},
        {"problem", "penstock.problem"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(key, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return key;
}

static void add_field(struct buf *out, bool *first, const struct log_field *f) {
    char text[UUID_TEXT_BYTES];
    const char *name = name_of(f->key);
    switch (f->kind) {
    case LOG_STR:
        otlp_add_attr(out, first, name, f->s);
        break;
    case LOG_INT:
        otlp_add_attr_int(out, first, name, f->i);
        break;
    case LOG_REAL:
        add_double_attr(out, first, name, f->d);
        break;
    case LOG_BOOL:
        begin_attr(out, first, name);
        buf_addf(out, "\",\"value\":{\"boolValue\":%s}}", f->i != 0 ? "true" : "false");
        break;
    case LOG_UUID:
        uuid_text(*(const struct uuid *)f->p, text);
        otlp_add_attr(out, first, name, str_c(text));
        break;
    case LOG_TRACE: /* a member of the record, not an attribute */
    default:
        break;
    }
}

void otlp_add_log(struct buf *out, const struct log_record *r) {
    static const struct {
        int number;
        const char *text;
    } severities[] = {{5, "DEBUG"}, {9, "INFO"}, {13, "WARN"}, {17, "ERROR"}};
    bool first = true;
    buf_addf(out, "{\"timeUnixNano\":\"%lld000000\",\"severityNumber\":%d,\"severityText\":\"%s\",\"eventName\":\"%s\"",
             (long long)r->at.ms, severities[r->level].number, severities[r->level].text, r->event);
    buf_addf(out, ",\"body\":{\"stringValue\":\"%s\"},\"attributes\":[", r->event);
    for (size_t i = 0; i < r->n; i++) {
        add_field(out, &first, &r->fields[i]);
    }
    buf_add_char(out, ']');
    if (r->trace != NULL) {
        buf_add_char(out, ',');
        otlp_add_hex(out, "traceId", r->trace->trace_id, sizeof r->trace->trace_id);
        buf_add_char(out, ',');
        otlp_add_hex(out, "spanId", r->trace->span_id, sizeof r->trace->span_id);
        buf_addf(out, ",\"flags\":%u", r->trace->flags);
    }
    buf_add_char(out, '}');
}

/* ---- answers ---- */

int64_t otlp_rejected(enum otlp_signal signal, struct str answer, char *out_why, size_t size) {
    static const char *const members[OTLP_SIGNALS] = {"rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"};
    json_t *json;
    int64_t n = 0;
    out_why[0] = '\0';
    if (err_is_set(json_read(answer, &json))) {
        return 0;
    }
    const json_t *partial = json_object_get(json, "partialSuccess");
    struct str why = json_opt_str(partial, "errorMessage", STR(""));
    if (!str_to_i64(json_opt_str(partial, members[signal], STR("")), &n)) {
        n = json_opt_i64(partial, members[signal], 0); /* some write it as a number */
    }
    (void)str_copy_c(str_of(why.p, why.n < size ? why.n : size - 1), out_why, size);
    json_decref(json);
    return n > 0 ? n : 0;
}
