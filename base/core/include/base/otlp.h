/* Records of the OpenTelemetry protocol as JSON text (OTLP/HTTP: https://opentelemetry.io/docs/specs/otlp/): ids in hex, numbers of 64 bits
 * as strings, times in nanoseconds. A request is otlp_begin, records with commas between, OTLP_END. */
#ifndef BASE_OTLP_H
#define BASE_OTLP_H

#include <base/buf.h>
#include <base/log.h>
#include <base/span.h>

enum otlp_signal { OTLP_TRACES, OTLP_METRICS, OTLP_LOGS, OTLP_SIGNALS };

/* Who speaks: the attributes of every request. Borrowed for the call. */
struct otlp_resource {
    struct str role, process, host; /* "worker", "<host>:<pid>" */
    int64_t pid;
};
void otlp_begin(struct buf *out, enum otlp_signal signal, const struct otlp_resource *r);
#define OTLP_END STR("]}]}]}") /* of any signal */

void otlp_add_span(struct buf *out, const struct span *s);
void otlp_add_log(struct buf *out, const struct log_record *r);
/* Every series of this process, cumulative since began. Names are the families' with dots for the first "_", units beside them: what a
 * collector writes for Prometheus is again what /metrics shows. */
void otlp_add_metrics(struct buf *out, struct mono began, struct mono now);

/* How many records a collector that answers 2xx says that it refused; 0 for what is no such answer. *out_why is its message, cut, or "". */
int64_t otlp_rejected(enum otlp_signal signal, struct str answer, char *out_why, size_t size);

#endif
