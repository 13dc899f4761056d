/* Declared types (handler.types) in the API: checked at the door, known to penstock.enqueue in Postgres. */
#ifndef API_DECLARED_H
#define API_DECLARED_H

#include "server.h"

/* HUP: reads the file anew. A bad one is logged, and the types stay as they were. */
void declared_reload(struct api *api);
/* Tells Postgres which types there are, and which declared ones no more; tries again until it is told. */
void declared_tell(struct api *api);
/* A call has ended: sets that only older calls can still know are given up. */
void declared_forget(struct api *api, bool all);

#endif
