/* Payments at a provider: authorize, capture, void, refund, with a ledger. Job types payment.*, service payments_service. Amounts
 * are minor units. */
#ifndef PAYMENTS_PAYMENTS_H
#define PAYMENTS_PAYMENTS_H

#include <jobs/type.h>

extern const struct module payments_module;

#endif
