/* Orders: placed, paid for through contracts/services.h, confirmed, canceled. Job types order.*, service orders_service. */
#ifndef ORDERS_ORDERS_H
#define ORDERS_ORDERS_H

#include <jobs/type.h>

extern const struct module orders_module;

#endif
