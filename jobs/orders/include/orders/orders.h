/* Orders: placed, paid for through contracts/services.h, confirmed, canceled. Job types order.*, service orders_service.
 *
 * An order whose payment is frozen (contracts/services.h) is neither confirmed nor refused: it stays authorizing, its job is done
 * with 409 payment_frozen, and a person decides. order.cancel moves it to canceling, where it stays until then. */
#ifndef ORDERS_ORDERS_H
#define ORDERS_ORDERS_H

#include <jobs/type.h>

extern const struct module orders_module;

#endif
