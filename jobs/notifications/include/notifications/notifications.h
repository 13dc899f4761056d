/* Notifications: webhooks (Standard Webhooks 1.0.0) and e-mail, asked for at the API or by events (order.confirmed).
 * Neither receiver can be asked whether it got a message, so delivery is at least once: the id — webhook-id, Message-ID — is
 * constant over all attempts, and after an unknown outcome on_unknown decides: "resend" (default) or "never". */
#ifndef NOTIFICATIONS_NOTIFICATIONS_H
#define NOTIFICATIONS_NOTIFICATIONS_H

#include <jobs/type.h>

extern const struct module notifications_module;

#endif
