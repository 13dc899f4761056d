/* Telemetry to a collector: spans, metrics and log lines of this process by OTLP/HTTP in JSON, gzipped. What is recorded is packed at once
 * into a bounded pile per signal, which leaves once a second; metrics every ten seconds. One request per signal is on its way at a time.
 * 429, 502, 503, 504 and no answer: the same again, when Retry-After says or after a growing while, five times in all; anything else is
 * final. What finds the pile full, or does not arrive, is dropped and counted (telemetry_dropped_total): nothing ever waits for a
 * collector. */
#ifndef IO_OTLP_H
#define IO_OTLP_H

#include <base/otlp.h>
#include <io/loop.h>

struct otlp;

struct otlp_options {
    const char *endpoint;          /* base URL, "http://127.0.0.1:4318": /v1/traces and so on are added */
    const char *headers;           /* "name=value,name=value", percent-encoded (OTEL_EXPORTER_OTLP_HEADERS) */
    int64_t sample_per_million;    /* of the traces that begin here */
    struct otlp_resource resource; /* borrowed until otlp_close */
};

/* From now on spans and log lines of this process are taken. ERR_INVALID: no such URL, or headers that are none. */
MUST struct err otlp_new(struct loop *l, const struct otlp_options *o, struct otlp **out);
/* Takes nothing more, sends what there is, running the loop for at most a second: everything else on it must be closed. NULL is fine. */
void otlp_close(struct otlp *o);

#endif
