/* What a service manager (systemd) hands to a process and wants to hear from it. Both protocols are small and stable: sd_notify(3),
 * sd_listen_fds(3). Without a manager, that is without their variables in the environment, nothing happens. */
#ifndef IO_SERVICE_H
#define IO_SERVICE_H

#include <base/err.h>
#include <io/loop.h>

struct service;

enum service_state {
    SERVICE_STATUS,    /* only the status line has changed */
    SERVICE_READY,     /* at the end of the start, and of a reload */
    SERVICE_RELOADING, /* READY follows */
    SERVICE_STOPPING,
};
enum { SERVICE_STATUS_BYTES = 160, SERVICE_LISTEN_BYTES = 64 };

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment: children shall not speak for us. While there is a watchdog
 * the loop feeds it, so it bites when the loop stands still. ERR_INVALID: a variable is no socket's name, or no number. */
MUST struct err service_new(struct loop *l, struct service **out);
/* Never waits. What the manager does not take now is sent later, the latest state and status only. */
void service_tell(struct service *s, enum service_state state, const char *status, ...) PRINTF_LIKE(3, 4);
void service_free(struct service *s); /* NULL is fine */

/* The listening TCP socket that the process was started with, now the caller's, close-on-exec, and its address ("127.0.0.1:8080",
 * "[::1]:8080"). *out_fd 0: none, and out_listen as it was. ERR_INVALID: there are several, or it is none. Takes LISTEN_PID, LISTEN_FDS and
 * LISTEN_FDNAMES out of the environment. */
MUST struct err service_socket(int *out_fd, char out_listen[SERVICE_LISTEN_BYTES]);

#endif
