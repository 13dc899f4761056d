/* What is said to the simulator and what its answers mean; no I/O. */
#ifndef PAYMENTS_SIM_WIRE_H
#define PAYMENTS_SIM_WIRE_H

#include <base/buf.h>
#include <jansson.h>

#include "provider.h"

enum { SIM_SIGNATURE_BYTES = 65 };

/* The body of a call, and its signature: hex HMAC-SHA256 with the secret. */
MUST struct err sim_request(const struct provider_call *c, struct str secret, struct buf *body,
                            char signature[SIM_SIGNATURE_BYTES]);

/* Reads an answer. Its strings point into *out_body, which the caller releases (json_decref, also NULL). */
void sim_read_call(enum op_kind kind, int status, struct str body, json_t **out_body, struct provider_answer *out);
void sim_read_lookup(int status, struct str body, json_t **out_body, struct provider_answer *out);

/* The HTTP client's error: did the request leave? */
void sim_read_error(struct err e, struct provider_answer *out);

#endif
